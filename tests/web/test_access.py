"""Who may come in and who may write: attempts from outside, each refused."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from db.catalogue import Catalogue
from db.queries import Filter, rows
from tests.commands.running import run
from tests.db.samples import MODEL, labelled, put, register
from tests.web.serving import served
from web import login
from web.access import SESSION_SECONDS, Access, Secrets
from web.attempts import PER_ADDRESS, WINDOW_SECONDS, Attempts

PASSWORD, TOKEN = "correct horse", "battery staple"


@pytest.fixture(autouse=True)
def not_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login.routes, "__kwdefaults__", {"slowed_seconds": 0.0})


@pytest.fixture
def store(catalogue: Catalogue) -> Catalogue:
    put(register(catalogue), [labelled("/a/1.jpg")], MODEL, "spring")
    return catalogue


@contextmanager
def guarded(store: Catalogue, folder: Path, **more: object) -> Iterator[httpx.Client]:
    access = Access(Secrets(PASSWORD, TOKEN, **more))  # type: ignore[arg-type]
    with served(store, folder, access=access) as client:
        yield client


def origin(client: httpx.Client) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


def log_in(client: httpx.Client, secret: str = PASSWORD, there: str = "/") -> httpx.Response:
    data = {"secret": secret, "next": there}
    return client.post("/login", data=data, headers=origin(client))


def csrf(client: httpx.Client) -> str:
    found = re.search(r'<meta name="csrf" content="(\w+)">', client.get("/").text)
    assert found is not None
    return found[1]


def correction(store: Catalogue) -> dict[str, object]:
    (row,) = rows(store.engine, Filter())
    choice = {"id": row.id, "label": "shoes/male/boots", "seen": row.label}
    return {"by": "mara", "choices": [choice]}


def label(store: Catalogue) -> str | None:
    (row,) = rows(store.engine, Filter())
    return row.human_label


READS = ("/pictures/1/small", "/api/pictures", "/api/v1/stats", "/metrics", "/facets/label")


def test_nothing_but_the_health_is_open(store: Catalogue, tmp_path: Path) -> None:
    with guarded(store, tmp_path) as client:
        assert client.get("/healthz").status_code == 200
        for path in READS:
            assert client.get(path).status_code == 401, path
        for path in ("/", "/?crawl=spring", "/pictures/1"):
            found = client.get(path)
            assert found.status_code == 303 and found.headers["location"].startswith("/login")
            assert "shoes" not in found.text
        body = correction(store)
        assert client.post("/api/corrections", json=body, headers=origin(client)).status_code == 401
        assert label(store) is None


def test_a_password_opens_everything_and_logging_out_closes_it(
    store: Catalogue, tmp_path: Path
) -> None:
    with guarded(store, tmp_path) as client:
        found = log_in(client, there="/?crawl=spring")
        assert (found.status_code, found.headers["location"]) == (303, "/?crawl=spring")
        cookie = found.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Secure" not in cookie
        for path in ("/", *READS):
            assert client.get(path).status_code == 200, path
        assert client.post("/logout", headers=origin(client)).status_code == 303
        assert client.get("/api/pictures").status_code == 401


@pytest.mark.parametrize(
    "there", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_to_this_page_only(store: Catalogue, tmp_path: Path, there: str) -> None:
    with guarded(store, tmp_path) as client:
        assert log_in(client, there=there).headers["location"] == "/"


def test_wrong_passwords_and_tokens_are_refused_and_then_not_looked_at(
    store: Catalogue, tmp_path: Path
) -> None:
    with guarded(store, tmp_path) as client:
        for _ in range(PER_ADDRESS):
            assert log_in(client, "wrong").status_code == 403
        found = log_in(client)  # the right one
        assert found.status_code == 429 and int(found.headers["retry-after"]) > 0
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/pictures", headers=right).status_code == 429


def test_attempts_are_forgotten_after_a_while_and_after_a_success() -> None:
    now = 1000.0
    attempts = Attempts(lambda: now)
    assert all(attempts.allow("a") for _ in range(PER_ADDRESS))
    assert not attempts.allow("a")
    assert attempts.allow("b")
    now += WINDOW_SECONDS + 1
    for _ in range(5 * PER_ADDRESS):
        assert attempts.allow("a")
        attempts.succeeded("a")


def test_a_program_reads_and_writes_by_token(store: Catalogue, tmp_path: Path) -> None:
    with guarded(store, tmp_path) as client:
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/pictures", headers=right).status_code == 200
        for wrong in ("Bearer wrong", f"Basic {TOKEN}", f"Bearer {PASSWORD}", "Bearer"):
            found = client.get("/api/pictures", headers={"Authorization": wrong})
            assert found.status_code == 401, wrong
        done = client.post("/api/v1/corrections", json=correction(store), headers=right)
        assert (done.status_code, done.json()["changed"]) == (200, 1)
        assert label(store) == "shoes/male/boots"


def test_a_session_is_forged_by_nobody_and_ends(store: Catalogue, tmp_path: Path) -> None:
    now = 1000.0
    access = Access(Secrets(PASSWORD), clock=lambda: now)
    cookie = access.cookie(access.new_session(logged_in=False))
    assert access.session_of(cookie) is not None
    id, _, ends, mac = cookie.split(".")
    for forged in (f"{id}.1.{ends}.{mac}", f"{id}.0.{int(ends) + 1}.{mac}", "", "...", "ä.1.9.x"):
        assert access.session_of(forged) is None
    assert Access(Secrets(PASSWORD)).session_of(cookie) is None  # of another server
    now += SESSION_SECONDS
    assert access.session_of(cookie) is None


def test_a_write_needs_the_origin_and_the_token_of_its_own_session(
    store: Catalogue, tmp_path: Path
) -> None:
    with served(store, tmp_path) as client:
        token = csrf(client)
        with httpx.Client(base_url=client.base_url) as other:
            others_token = csrf(other)
        own = origin(client)
        port = client.base_url.port
        attempts: list[dict[str, str]] = [
            {},
            own,
            {"X-CSRF-Token": token},
            own | {"X-CSRF-Token": others_token},
            own | {"X-CSRF-Token": token[:-1]},
            own | {"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"},
            own | {"X-CSRF-Token": token, "Sec-Fetch-Site": "same-site"},
            {"Origin": "null", "X-CSRF-Token": token},
            {"Origin": "https://evil.example", "X-CSRF-Token": token},
            {"Origin": f"http://127.0.0.1:{port + 1}", "X-CSRF-Token": token},
            {"Origin": f"http://localhost:{port}", "X-CSRF-Token": token},
            {"Origin": f"http://127.0.0.1:{port}@evil.example", "X-CSRF-Token": token},
        ]
        for headers in attempts:
            done = client.post("/api/v1/corrections", json=correction(store), headers=headers)
            assert done.status_code == 403, headers
        client.cookies.clear()
        headers = own | {"X-CSRF-Token": token}
        done = client.post("/api/v1/corrections", json=correction(store), headers=headers)
        assert done.status_code == 403
        assert label(store) is None
        headers["X-CSRF-Token"] = csrf(client)
        done = client.post("/api/v1/corrections", json=correction(store), headers=headers)
        assert done.status_code == 200 and label(store) == "shoes/male/boots"


def test_read_only_has_no_writes(store: Catalogue, tmp_path: Path) -> None:
    with served(store, tmp_path, read_only=True) as client:
        headers = origin(client) | {"X-CSRF-Token": csrf(client)}
        for name in ("corrections", "undo", "requeue", "release"):
            done = client.post(f"/api/v1/{name}", json=correction(store), headers=headers)
            assert done.status_code in (404, 405), name
        assert label(store) is None


@pytest.mark.parametrize("trusted", [True, False])
def test_a_proxy_names_the_user_only_if_it_is_trusted(
    store: Catalogue, tmp_path: Path, trusted: bool
) -> None:
    proxies = ["127.0.0.0/8"] if trusted else ["10.0.0.0/8"]
    with guarded(store, tmp_path, user_header="X-Remote-User", trusted_proxies=proxies) as client:
        log_in(client)
        headers = {"X-Forwarded-Proto": "https", "X-Remote-User": "boss"}
        page = client.get("/", headers=headers).text
        assert ('name="user" content="boss"' in page) == trusted
        assert ("Secure" in log_in_by(client, headers)) == trusted
        headers |= {"Authorization": f"Bearer {TOKEN}"}
        client.post("/api/v1/corrections", json=correction(store), headers=headers)
        (batch,) = client.get("/api/v1/batches", headers=headers).json()["batches"]
        assert batch["by"] == ("boss" if trusted else "mara")


def log_in_by(client: httpx.Client, headers: dict[str, str]) -> str:
    data = {"secret": PASSWORD}
    found = client.post("/login", data=data, headers=origin(client) | headers)
    return found.headers["set-cookie"]


def test_a_link_on_another_site_is_followed_once_more_from_here(
    store: Catalogue, tmp_path: Path
) -> None:
    with guarded(store, tmp_path) as client:
        found = client.get("/?crawl=a%22b", headers={"Sec-Fetch-Site": "cross-site"})
        assert found.status_code == 200 and "set-cookie" not in found.headers
        assert 'content="0;url=/?crawl=a%22b"' in found.text


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"by": "m"}', b'{"by": "m", "choices": []}', b'{"by": 3, "choices": 4}']
    + [b'{"by": "m", "choices": [1]}', b'{"by": "m", "choices": [{"id": "1", "label": "a"}]}']
    + [b'{"by": "m", "where": "colour=red", "label": null, "expected": 1}', b"[" * 100_000]
    + [b'{"by": "", "choices": [{"id": 1, "label": null, "seen": null}]}', b"\xff\xfe"]
    + [b'{"by": "m", "choices": [{"id": 1, "label": "no such label", "seen": null}]}'],
)
def test_a_wrong_body_is_refused_with_what_was_expected(
    store: Catalogue, tmp_path: Path, body: bytes
) -> None:
    with guarded(store, tmp_path) as client:
        right = {"Authorization": f"Bearer {TOKEN}"}
        found = client.post("/api/v1/corrections", content=body, headers=right)
        assert found.status_code == 400 and found.json()["error"]
        assert label(store) is None


def test_a_slow_body_is_refused(
    store: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.guard.Guard.__init__.__defaults__", (0.2,))
    with guarded(store, tmp_path) as client:
        address = ("127.0.0.1", client.base_url.port)
        head = f"POST /api/corrections HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}"
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(f"{head}\r\nContent-Length: 100\r\n\r\n{{".encode())
            assert b" 408 " in connection.recv(4096)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_serve_refuses_other_hosts_without_a_secret_or_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("serve", "--host", host, exit_code=2).stderr
    assert "FASHION_CASCADE_SERVE_PASSWORD" in said and "FASHION_CASCADE_SERVE_TOKEN" in said
    monkeypatch.setenv("FASHION_CASCADE_SERVE_TOKEN", TOKEN)
    said = run("serve", "--host", host, exit_code=2).stderr
    assert "FASHION_CASCADE_ROOTS" in said and TOKEN not in said
    monkeypatch.setenv("FASHION_CASCADE_SERVE_TRUSTED_PROXIES", "everybody")
    assert "10.0.0.0/8" in run("serve", exit_code=2).stderr
