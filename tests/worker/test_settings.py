"""Where a setting comes from, what is refused, and what never gets printed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from db.session import make_engine
from rendering.secrets import is_unambiguous, mask_url
from worker.errors import SettingsError
from worker.settings import FILE_NAME, SETTINGS, Resolved, Settings, pass_to_child, resolve


class Places:
    """The places that may hold a setting, in folders of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.user = folder / "here", folder / "user"
        self.folder.mkdir()
        self.user.mkdir()
        self.environ: dict[str, str] = {}

    def resolve(self, **options: object) -> Resolved:
        return resolve(options, environ=self.environ, folder=self.folder, user_folder=self.user)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_each_stronger_source_wins_and_is_named(places: Places) -> None:
    def expect(value: int, source: str) -> None:
        found = places.resolve()
        assert (found.settings.batch_size, found.sources["batch_size"]) == (value, source)

    expect(0, "default")
    (places.user / "settings.toml").write_text("batch_size = 2\n")
    expect(2, str(places.user / "settings.toml"))
    (places.folder / FILE_NAME).write_text("batch_size = 3\n")
    expect(3, str(places.folder / FILE_NAME))
    (places.folder / ".env").write_text("FASHION_CASCADE_BATCH_SIZE=4\nOTHER=1\n")
    expect(4, str(places.folder / ".env"))
    places.environ["FASHION_CASCADE_BATCH_SIZE"] = "5"
    expect(5, "environment")
    found = places.resolve(batch_size=6, model=None)
    assert (found.settings.batch_size, found.sources["batch_size"]) == (6, "option")
    assert found.sources["model"] == "default"


@pytest.mark.parametrize("text", ["many", "5000", "4097", "2.5", "-1", "nan"])
def test_an_invalid_value_is_refused_by_name(places: Places, text: str) -> None:
    places.environ["FASHION_CASCADE_BATCH_SIZE"] = text
    with pytest.raises(SettingsError, match="FASHION_CASCADE_BATCH_SIZE: expected a whole number"):
        places.resolve()


@pytest.mark.parametrize("value", ["true", "1.5", '"x"', "[1]", "1e999", "inf"])
def test_an_invalid_value_in_a_file_is_refused(places: Places, value: str) -> None:
    (places.folder / FILE_NAME).write_text(f"batch_size = {value}\n")
    with pytest.raises(SettingsError, match=re.escape(str(places.folder / FILE_NAME))):
        places.resolve()


def test_an_unknown_name_in_a_file_is_refused_with_a_suggestion(places: Places) -> None:
    (places.folder / FILE_NAME).write_text("batchsize = 3\n")
    with pytest.raises(SettingsError, match="did you mean batch_size"):
        places.resolve()


def test_an_invalid_toml_file_is_refused(places: Places) -> None:
    (places.folder / FILE_NAME).write_text("batch_size = = 3\n")
    with pytest.raises(SettingsError, match="expected a TOML file"):
        places.resolve()


def test_an_unknown_variable_is_reported_not_refused(places: Places) -> None:
    places.environ["FASHION_CASCADE_BATCHSIZE"] = "3"
    assert places.resolve().unknown_variables == ("FASHION_CASCADE_BATCHSIZE",)


def test_an_empty_variable_counts_as_unset(places: Places) -> None:
    places.environ["FASHION_CASCADE_MODEL"] = ""
    assert places.resolve().sources["model"] == "default"


def test_roots_are_a_list(places: Places) -> None:
    places.environ["FASHION_CASCADE_ROOTS"] = "/a, /b c ,"
    assert places.resolve().settings.roots == ("/a", "/b c")
    (places.folder / FILE_NAME).write_text('roots = ["/with,comma"]\n')
    del places.environ["FASHION_CASCADE_ROOTS"]
    assert places.resolve().settings.roots == ("/with,comma",)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://***@host/db"),
        ("postgresql://me:s@cr:et@host/db", "postgresql://***@host/db"),
        ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
        (
            "postgresql://host/db?user=me&password=secret",
            "postgresql://host/db?user=me&password=***",
        ),
        ("postgresql://secret-token@host/db", "postgresql://***@host/db"),
        ("postgresql://me:p@secret/w:rd#%@host/db", "postgresql://***@host/db"),
        ("postgresql://h/db?sslpassword=secret&a=b", "postgresql://h/db?sslpassword=***&a=b"),
        ("postgres:/me:secret@host/db", "***@host/db"),
        ("me:secret@host/db", "***@host/db"),
        ("sqlite:///file.db", "sqlite:///file.db"),
        ("sqlite:////home/me@work/c.db", "sqlite:////home/me@work/c.db"),
        ("/home/me:x@work/c.db", "/home/me:x@work/c.db"),
    ],
)
def test_passwords_are_masked(places: Places, url: str, shown: str) -> None:
    assert mask_url(url) == shown
    rows = places.resolve(catalogue_url=url).shown()
    assert next(row["value"] for row in rows if row["name"] == "catalogue_url") == shown
    assert "secret" not in str(rows)


def test_every_setting_has_a_help_text() -> None:
    for setting in SETTINGS:
        assert setting.help.endswith(".")
        assert setting.variable == f"FASHION_CASCADE_{setting.name.upper()}"
        assert setting.parse(setting.default) == setting.default


def test_conflicting_settings_are_refused_by_both_names() -> None:
    with pytest.raises(SettingsError, match=r"visibility_timeout is 100 s and shard_time_limit"):
        Settings(visibility_timeout=100, shard_time_limit=60, lease_seconds=10)
    with pytest.raises(SettingsError, match=r"lease_seconds is 250 s and visibility_timeout"):
        Settings(visibility_timeout=200, shard_time_limit=60, lease_seconds=250)


def test_urls_in_model_store_and_roots_are_masked(places: Places) -> None:
    url = "s3://secret-token@bucket/x"
    rows = places.resolve(model_store=url, roots=("/photos", url + "?X-Amz-Signature=abc")).shown()
    shown = {row["name"]: row["value"] for row in rows}
    assert shown["model_store"] == "s3://***@bucket/x"
    assert shown["roots"] == "/photos,s3://***@bucket/x?X-Amz-Signature=***"


@pytest.mark.parametrize(
    "url", ["redis://:p@ss/w:rd#%@host:6379/0", "redis:/:p@ss@host", "p@ss", "redis://h:rd#@x"]
)
def test_an_ambiguous_broker_url_is_refused_and_not_shown(places: Places, url: str) -> None:
    places.environ["FASHION_CASCADE_BROKER_URL"] = url
    with pytest.raises(SettingsError, match="percent-encode") as caught:
        places.resolve()
    assert "ss" not in str(caught.value).partition("expected")[2].replace("password", "")
    assert "rd#" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://u:p%40ss@[::1]:6379/0?a=b",
        "postgresql://me:a:b@h1:1,h2:2/db",
        "postgresql:///db?host=/run&user=me@corp",
        "sqlite:////a@b/c#d.db",
    ],
)
def test_urls_that_can_be_told_apart(url: str) -> None:
    assert is_unambiguous(url)


def test_a_value_comes_from_the_file_that_its_variable_names(places: Places) -> None:
    file = places.folder / "secret"
    file.write_bytes(b"redis://:pass word@h/0\n")
    places.environ["FASHION_CASCADE_BROKER_URL_FILE"] = str(file)
    found = places.resolve()
    assert found.settings.broker_url == "redis://:pass word@h/0"
    assert found.unknown_variables == ()
    assert places.resolve(broker_url="redis://x/0").settings.broker_url == "redis://x/0"
    places.environ["FASHION_CASCADE_BROKER_URL"] = "redis://h/0"
    with pytest.raises(SettingsError, match=r"BROKER_URL and FASHION_CASCADE_BROKER_URL_FILE"):
        places.resolve()


HARD = "a:b@c/d?e#f%20g\"h'i\\j $k é,"


def test_a_password_stands_apart_from_its_url_whatever_it_is(places: Places) -> None:
    file = places.folder / "secret"
    file.write_text(f"{HARD}\n", encoding="utf-8")
    places.environ |= {
        "FASHION_CASCADE_BROKER_PASSWORD_FILE": str(file),
        "FASHION_CASCADE_BROKER_URL": "redis://h:1/2",
        "FASHION_CASCADE_CATALOGUE_PASSWORD": HARD,
        "FASHION_CASCADE_CATALOGUE_URL": "postgresql://me@h/db?sslmode=require",
    }
    found = places.resolve().settings
    broker = urlsplit(found.broker_url)
    assert (unquote(broker.password or ""), broker.hostname, broker.port) == (HARD, "h", 1)
    catalogue = make_engine(found.catalogue_url).url
    assert (catalogue.username, catalogue.password, catalogue.host) == ("me", HARD, "h")
    assert catalogue.query == {"sslmode": "require"}
    shown = {row["name"]: row["value"] for row in places.resolve().shown()}
    assert shown["broker_password"] == "***" and shown["broker_url"] == "redis://***@h:1/2"


def test_a_url_with_a_password_of_its_own_and_a_password_are_refused(places: Places) -> None:
    places.environ["FASHION_CASCADE_BROKER_PASSWORD"] = "secret1"
    places.environ["FASHION_CASCADE_BROKER_URL"] = "redis://:secret2@h/0"
    with pytest.raises(SettingsError, match="broker_url has a password, and broker_pass") as caught:
        places.resolve()
    assert "secret" not in str(caught.value)
    pass_to_child(places.environ, "broker_url", "redis://:secret3@h/0")  # as `up` does
    assert places.resolve().settings.broker_url == "redis://:secret3@h/0"


def test_a_file_and_a_socket_with_a_password(places: Places) -> None:
    places.environ["FASHION_CASCADE_CATALOGUE_PASSWORD"] = "pass"
    assert places.resolve().settings.catalogue_url == "sqlite:///catalogue.db"
    places.environ["FASHION_CASCADE_BROKER_PASSWORD"] = "p@ss"
    socket = places.resolve(broker_url="redis+socket:///run/r.sock").settings.broker_url
    assert socket == "redis+socket://:p%40ss@/run/r.sock"


@pytest.mark.parametrize("variable", [s.variable for s in SETTINGS if s.secret or s.url])
def test_each_secret_comes_from_a_file_and_not_from_both(places: Places, variable: str) -> None:
    file = places.folder / "secret"
    file.write_text("x://y\n")
    places.environ |= {variable: "x://y", f"{variable}_FILE": str(file)}
    with pytest.raises(SettingsError, match=f"{variable} and {variable}_FILE are both set"):
        places.resolve()


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff", b"x" * 70_000])
def test_a_secret_file_that_cannot_be_used_is_refused(
    places: Places, content: bytes | None
) -> None:
    file = places.folder / "secret"
    if content is not None:
        file.write_bytes(content)
    places.environ["FASHION_CASCADE_CATALOGUE_URL_FILE"] = str(file)
    with pytest.raises(SettingsError, match="FASHION_CASCADE_CATALOGUE_URL_FILE"):
        places.resolve()


def test_a_dotenv_does_not_expand_the_environment(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS_SECRET", "secret")
    (places.folder / ".env").write_text("FASHION_CASCADE_MODEL=x${CALLERS_SECRET}\n")
    assert places.resolve().settings.model == "x${CALLERS_SECRET}"


def test_a_dotenv_that_is_no_text_is_refused(places: Places) -> None:
    (places.folder / ".env").write_bytes(b"FASHION_CASCADE_MODEL=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env: expected UTF-8 text"):
        places.resolve()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_dotenv_of_another_user_is_not_read_and_this_is_said(places: Places) -> None:
    file = places.folder / ".env"
    file.write_text("FASHION_CASCADE_MODEL=x\n")
    os.chown(file, 12345, 12345)
    found = places.resolve()
    assert found.settings.model == "default"
    assert ["belongs to another user" in hint for hint in found.hints()] == [True]


def test_a_child_gets_the_value_and_not_the_file(places: Places) -> None:
    places.environ["FASHION_CASCADE_BROKER_URL_FILE"] = "/nowhere"
    pass_to_child(places.environ, "broker_url", "redis://h/1")
    pass_to_child(places.environ, "pool_size", 3)
    found = places.resolve().settings
    assert (found.broker_url, found.pool_size) == ("redis://h/1", 3)


def test_a_comma_in_a_password_of_the_roots_is_refused_and_not_shown(places: Places) -> None:
    places.environ["FASHION_CASCADE_ROOTS"] = "/photos,s3://me:pa,ss@bucket"
    with pytest.raises(SettingsError, match="percent-encode a comma") as caught:
        places.resolve()
    assert "pa,ss" not in str(caught.value)
    roots = ("/photos", "s3://me:pa%2Css@bucket", "/home/me@work")
    places.environ["FASHION_CASCADE_ROOTS"] = ",".join(roots)
    assert places.resolve().settings.roots == roots
