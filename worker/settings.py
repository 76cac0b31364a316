"""The settings, declared once for options, environment, files and docs.

The first source that has a value wins: an option of the command, ``FASHION_CASCADE_NAME`` in the
environment, the same line in ``.env`` of the current folder, ``fashion-cascade.toml`` in the
current folder, ``settings.toml`` in the user's configuration folder, the default.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.backends import CHOICES
from worker.configuration import types
from worker.configuration.declaration import PREFIX, Setting, masked_value
from worker.configuration.declaration import declared as _setting
from worker.configuration.files import read_dotenv, read_secret
from worker.configuration.passwords import has_password, with_password
from worker.configuration.user_folders import user_settings_folder
from worker.errors import SettingsError

FILE_NAME = "fashion-cascade.toml"
PASSWORDS = {"catalogue_url": "catalogue_password", "broker_url": "broker_password"}


@dataclass(frozen=True)
class Settings:
    """The values of all settings. Durations are in seconds."""

    catalogue_url: str = _setting(
        "sqlite:///catalogue.db",
        types.text,
        "The catalogue: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
        url=True,
    )
    catalogue_password: str = _setting(
        "",
        types.text,
        "Password for the server of catalogue_url, as it is: nothing in it is encoded. Empty: the "
        "URL's own.",
        secret=True,
    )
    model: str = _setting(
        "default",
        types.text,
        "Folder of the model bundle; 'default' is the shipped one, as 'accurate' is (a folder of "
        "such a name is given as ./accurate); 'constant:LABEL' gives every picture that label, to "
        "try the queue without networks.",
    )
    backend: str = _setting(
        "auto",
        types.one_of(*CHOICES),
        "What runs the networks: tensorflow, tensorflow_float16, litert_float32, litert_int8, "
        "openvino or openvino_bf16; auto is TensorFlow on a GPU, otherwise OpenVINO or LiteRT in "
        "float32.",
    )
    features: bool = _setting(
        False,
        types.flag,
        "Keep a vector of each picture in the catalogue, which finds similar pictures: true or "
        "false.",
    )
    roots: tuple[str, ...] = _setting(
        (),
        types.locations,
        "Folders that files must be in, separated by commas; empty: every path may be read.",
        url=True,
    )
    batch_size: int = _setting(
        0,
        types.number(0, 4096),
        "Pictures in one batch of the networks; 0: 64, on a GPU the best size, measured at the "
        "start.",
    )
    decode_threads: int = _setting(
        0, types.number(0, 256), "Threads that decode pictures; 0: one per core."
    )
    lease_seconds: float = _setting(
        120.0,
        types.number(1, 86400, float),
        "How long rows stay leased to a worker that does not renew its lease.",
    )
    worker_name: str = _setting(
        "",
        types.text,
        "Name of this container or machine, the same after a restart and used by no other: its "
        "processes then expire the leases of its earlier life at once.",
    )
    broker_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        types.url,
        "The broker: redis://:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, "
        "redis+socket:///PATH for a Unix socket.",
        url=True,
    )
    broker_password: str = _setting(
        "",
        types.text,
        "Password for the server of broker_url, as it is: nothing in it is encoded. Empty: the "
        "URL's own.",
        secret=True,
    )
    queue: str = _setting("fashion-cascade", types.text, "Name of the queue on the broker.")
    shard_size: int = _setting(128, types.number(1, 4096), "Paths in one message.")
    max_queue_length: int = _setting(
        10_000, types.number(1, 10_000_000), "enqueue pauses while more messages than this wait."
    )
    pool_size: int = _setting(
        0,
        types.number(0, 256),
        "Processes of a worker, which share the cores; 0: one more than cores (at most 9) on "
        "LiteRT and OpenVINO, one on TensorFlow.",
    )
    device: str = _setting("auto", types.device, "Where the networks run: auto, cpu or gpu:NUMBER.")
    visibility_timeout: int = _setting(
        300,
        types.number(2, 86400),
        "Seconds after which an unacknowledged message is delivered to another worker; raise it "
        "with shard_time_limit for large pictures.",
    )
    shard_time_limit: int = _setting(
        120,
        types.number(1, 43200),
        "Seconds after which a process that is still in the same shard is killed.",
    )
    soft_shutdown_seconds: float = _setting(
        30.0,
        types.number(0, 3600, float),
        "Seconds that a stopping worker has to finish its shards.",
    )
    heal_seconds: int = _setting(
        600,
        types.number(0, 86400),
        "How often, and after how long, workers publish lost messages again; 0: never.",
    )
    model_store: str = _setting(
        "",
        types.text,
        "Folder or fsspec URL with bundles in folders named by version, for messages that request "
        "another version than 'model'.",
        url=True,
    )
    metrics_port: int = _setting(
        0, types.number(0, 65535), "Port of a worker's Prometheus metrics; 0: no metrics."
    )
    metrics_address: str = _setting(
        "127.0.0.1", types.text, "Address of a worker's Prometheus metrics."
    )
    serve_password: str = _setting(
        "", types.text, "Password of the page of serve; empty: none.", secret=True
    )
    serve_token: str = _setting(
        "",
        types.text,
        "Token for programs that ask the page of serve (Authorization: Bearer TOKEN); empty: none.",
        secret=True,
    )
    serve_user_header: str = _setting(
        "",
        types.text,
        "Header in which a proxy of serve_trusted_proxies names the user, such as X-Remote-User.",
    )
    serve_trusted_proxies: tuple[str, ...] = _setting(
        (),
        types.networks,
        "Addresses and networks of proxies before serve whose X-Forwarded-For, X-Forwarded-Proto "
        "and serve_user_header are believed, separated by commas.",
    )
    log_format: str = _setting("text", types.one_of("text", "json"), "Format of the log lines.")
    log_level: str = _setting(
        "INFO", types.one_of("DEBUG", "INFO", "WARNING", "ERROR"), "Lowest level of the log lines."
    )

    def __post_init__(self) -> None:
        """Refuse settings that conflict."""
        check_consistency(self)


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(field.name, field.default, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Resolved:
    """The settings, the source of each value, variables that name no setting, files not read."""

    settings: Settings
    sources: Mapping[str, str]
    unknown_variables: tuple[str, ...]
    not_read: tuple[str, ...] = ()

    def hints(self) -> Iterator[str]:
        """A line for each file that is not read and each variable that names no setting."""
        yield from self.not_read
        known = [setting.variable for setting in SETTINGS]
        for variable in self.unknown_variables:
            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
            hint = f"; did you mean {close[0]}?" if close else "; see 'fashion-cascade settings'"
            yield f"{variable} names no setting{hint}"

    def shown(self) -> list[dict[str, str]]:
        """One row per setting with its value as text, passwords masked."""
        return [
            {
                "name": setting.name,
                "value": masked_value(setting, getattr(self.settings, setting.name)),
                "source": self.sources[setting.name],
                "variable": setting.variable,
                "help": setting.help,
            }
            for setting in SETTINGS
        ]


def pass_to_child(environ: MutableMapping[str, str], name: str, value: object) -> None:
    """Set a setting in a child's environment, and remove its ``_FILE`` variable.

    With a URL that has a password, a password that stands apart is removed too.
    """
    setting = BY_NAME[name]
    environ[setting.variable] = str(value)
    replaced = [setting.file_variable]  # both forms at once are refused
    if name in PASSWORDS and has_password(str(value)):
        password = BY_NAME[PASSWORDS[name]]
        replaced += [password.variable, password.file_variable]
    for variable in replaced:
        if variable:
            environ.pop(variable, None)


def check_consistency(settings: Settings) -> None:
    """Raise SettingsError if one setting would silently limit another; the message names both."""
    if settings.visibility_timeout < 2 * settings.shard_time_limit:
        raise SettingsError(
            f"visibility_timeout is {settings.visibility_timeout} s and shard_time_limit "
            f"{settings.shard_time_limit} s: expected at least twice as long, or a shard that is "
            "still in work is delivered to a second worker; raise the first or lower the second"
        )
    if settings.lease_seconds > settings.visibility_timeout:
        raise SettingsError(
            f"lease_seconds is {settings.lease_seconds:g} s and visibility_timeout "
            f"{settings.visibility_timeout} s: expected the lease to expire first, or a message "
            "that comes back finds its rows still leased; lower the first or raise the second"
        )


def resolve(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> Resolved:
    """Read the settings from all sources.

    Args:
        options: values of the command line; None if an option was not given.
        environ: the environment of the process.
        folder: where to look for ``.env`` and ``fashion-cascade.toml``; by default the current
            folder.
        user_folder: the user's configuration folder; by default that of the platform.

    Raises:
        SettingsError: a value is invalid, a file names an unknown setting, or two settings
            conflict.
    """
    folder = Path.cwd() if folder is None else folder
    values: dict[str, Any] = {}
    sources = {setting.name: "default" for setting in SETTINGS}
    layers, not_read = _layers(options or {}, environ, folder, user_folder)
    for source, found in layers:
        for name, raw in found.items():
            values[name] = _parsed(BY_NAME[name], raw, source)
            sources[name] = source
    for url, password in PASSWORDS.items():
        if values.get(password):
            own = values.get(url, BY_NAME[url].default)
            values[url] = with_password(own, values[password], (url, password))
    known = {v for setting in SETTINGS for v in (setting.variable, setting.file_variable)}
    unknown = tuple(sorted(v for v in environ if v.startswith(PREFIX) and v not in known))
    return Resolved(Settings(**values), sources, unknown, not_read)


def _layers(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    folder: Path,
    user_folder: Path | None,
) -> tuple[list[tuple[str, dict[str, Any]]], tuple[str, ...]]:
    """(source, values) pairs, of which later ones override earlier ones; hints on files."""
    files = [folder / FILE_NAME]
    own = user_folder or user_settings_folder()
    # a home that this user may not look into has no settings
    if own is not None and os.path.exists(own / "settings.toml"):  # noqa: PTH110
        files.insert(0, own / "settings.toml")
    layers = [(str(file), _from_file(file)) for file in files]
    dotenv = folder / ".env"
    pairs, hint = read_dotenv(dotenv)
    layers.append((str(dotenv), _from_variables(pairs)))
    layers.append(("environment", _from_variables(environ)))
    layers.append(("option", {name: v for name, v in options.items() if v is not None}))
    return layers, (hint,) if hint else ()


def _from_variables(pairs: Mapping[str, str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in SETTINGS:
        value, variable = pairs.get(setting.variable), setting.file_variable
        file = pairs.get(variable) if variable else None
        if value and file:
            raise SettingsError(
                f"{setting.variable} and {variable} are both set: expected one of them"
            )
        if value:
            found[setting.name] = value
        elif variable and file:
            found[setting.name] = read_secret(variable, file)
    return found


def _from_file(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: expected a TOML file with settings: {error}") from error
    for name in found:
        if name not in BY_NAME:
            close = difflib.get_close_matches(name, BY_NAME, n=1)
            hint = f"; did you mean {close[0]}?" if close else "; see 'fashion-cascade settings'"
            raise SettingsError(f"{file}: there is no setting named {name!r}{hint}")
    return found


def _parsed(setting: Setting, raw: Any, source: str) -> Any:
    try:
        return setting.parse(raw)
    except ValueError as error:
        # what cannot be parsed cannot be masked for sure
        hidden = setting.secret or setting.url
        received = "a value that is not shown" if hidden else repr(raw)
        place = setting.variable if source == "environment" else f"{setting.name} ({source})"
        raise SettingsError(f"{place}: expected {error}, received {received}") from None
