"""Hosts, bodies, slow senders and headers: what is refused before any handler runs."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from db.catalogue import Catalogue
from tests.web.serving import served
from web import server
from web.access import Access, Secrets
from web.hosts import Hosts, is_loopback


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:80", 200),
        ("page.example", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("page.example.evil", 400),
        ("", 400),
        ("127.0.0.1@evil.example", 400),
    ],
)
def test_only_the_names_of_the_server_are_answered(
    catalogue: Catalogue, tmp_path: Path, host: str, status: int
) -> None:
    with served(catalogue, tmp_path, allowed=["page.example"]) as client:
        assert client.get("/healthz", headers={"Host": host}).status_code == status
        assert client.get("/", headers={"Host": host}).status_code == status


def test_a_server_on_all_addresses_answers_to_the_one_that_it_was_reached_by() -> None:
    hosts = Hosts("0.0.0.0")
    assert hosts.accept("10.1.2.3:8000", "10.1.2.3")
    assert not hosts.accept("evil.example:8000", "10.1.2.3")
    assert not hosts.accept("localhost", "10.1.2.3")


def test_loopback_is_told_from_other_hosts() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))


def test_every_answer_has_the_safe_headers(catalogue: Catalogue, tmp_path: Path) -> None:
    with served(catalogue, tmp_path) as client:
        for path in ("/", "/healthz", "/nowhere", "/?sort=x", "/static/page.js"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert "script-src 'self'" in policy and "unsafe" not in policy, path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"


def test_pages_have_no_inline_script_or_style(catalogue: Catalogue, tmp_path: Path) -> None:
    with served(catalogue, tmp_path) as client:
        page = client.get("/").text
        assert page.count("<script") == page.count("<script src=") == 1
        assert "<style" not in page and " style=" not in page and " onclick=" not in page


def test_a_body_of_ten_megabytes_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    def streamed() -> Iterator[bytes]:  # without a Content-Length
        for _ in range(160):
            yield bytes(65536)

    access = Access(Secrets(token="t"))
    headers = {"Authorization": "Bearer t"}
    with served(catalogue, tmp_path, access=access) as client:
        for content in (bytes(10_000_000), streamed()):
            with suppress(httpx.WriteError, httpx.ReadError):  # closed while it was sending
                found = client.post("/api/corrections", content=content, headers=headers)
                assert found.status_code == 413
        assert client.get("/healthz").status_code == 200


def test_an_answer_does_not_wait_for_the_client_s_acknowledgement(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    with served(catalogue, tmp_path) as client:
        seconds = []
        for _ in range(40):  # a new connection is acknowledged at once
            began = time.perf_counter()
            assert client.get("/healthz").content
            seconds.append(time.perf_counter() - began)
        assert min(seconds[20:]) < 0.03  # Linux acknowledges after 0.04 s


def test_a_sender_of_incomplete_headers_loses_its_connection(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.2)
    with served(catalogue, tmp_path) as client:
        address = ("127.0.0.1", client.base_url.port)
        for start in (
            b"",
            b"GET / HTTP/1.1\r\nHost: lo",
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ",
        ):
            with socket.create_connection(address, timeout=30) as connection:
                connection.sendall(start)
                with suppress(ConnectionResetError):
                    assert connection.recv(100) == b""  # closed by the server, without an answer
        # and so does one that answered a whole request before
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /he")
            received = b""
            with suppress(ConnectionResetError):
                while piece := connection.recv(4096):
                    received += piece
            assert received.count(b"200 OK") == 1
        assert client.get("/healthz").status_code == 200
