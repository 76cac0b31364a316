"""The settings: one declaration feeds the options, the environment, the files and the docs.

Where a value comes from, the first that has one: an option of the command, ``FASHION_CASCADE_NAME``
in the environment, the same in ``.env`` of the current folder, ``fashion-cascade.toml`` in the
current folder, ``settings.toml`` in the user's configuration folder, the default.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.backends import CHOICES
from worker import setting_types as kinds
from worker.errors import SettingsError

PREFIX = "FASHION_CASCADE_"
FILE_NAME = "fashion-cascade.toml"


def _setting(default: Any, parse: Callable[[Any], Any], help: str, *, secret: bool = False) -> Any:
    """Declare one setting as a dataclass field. `secret`: holds a URL that may hold a password."""
    return dataclasses.field(
        default=default, metadata={"parse": parse, "help": help, "secret": secret}
    )


@dataclass(frozen=True)
class Settings:
    """The values that a process works with. Durations are in seconds."""

    catalogue_url: str = _setting(
        "sqlite:///catalogue.db",
        kinds.text,
        "The catalogue: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
        secret=True,
    )
    model: str = _setting(
        "default",
        kinds.text,
        "Folder of the bundle of networks; 'default' is the one that ships with the program; "
        "'constant:LABEL' gives every picture that label, to try the plumbing without networks.",
    )
    backend: str = _setting(
        "auto",
        kinds.one_of(*CHOICES),
        "What the networks run in: tensorflow, tensorflow_float16, litert_float32, litert_int8, "
        "openvino or openvino_bf16; auto takes TensorFlow where there is a GPU, elsewhere OpenVINO "
        "or LiteRT in float32.",
    )
    roots: tuple[str, ...] = _setting(
        (),
        kinds.texts,
        "Folders that files must lie in, separated by commas; none: every path is read.",
    )
    batch_size: int = _setting(
        0,
        kinds.number(0, 4096),
        "Pictures in one step of the networks; 0: 64, on a GPU what a measurement at the start "
        "says.",
    )
    decode_threads: int = _setting(
        0, kinds.number(0, 256), "Threads that open pictures; 0 takes one for each core."
    )
    lease_seconds: float = _setting(
        300.0,
        kinds.number(1, 86400, float),
        "How long rows stay reserved for a worker that gives no sign of life.",
    )
    broker_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        kinds.text,
        "The queue: redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS.",
        secret=True,
    )
    queue: str = _setting("fashion-cascade", kinds.text, "The queue's name on the broker.")
    shard_size: int = _setting(128, kinds.number(1, 4096), "Paths in one message.")
    max_queue_length: int = _setting(
        10_000, kinds.number(1, 10_000_000), "Messages waiting above which enqueue pauses."
    )
    pool_size: int = _setting(
        0,
        kinds.number(0, 256),
        "Processes of a worker, which share the cores out; 0: one more than cores (at most 9) on "
        "LiteRT and OpenVINO, one on TensorFlow.",
    )
    device: str = _setting("auto", kinds.device, "Where the networks run: auto, cpu or gpu:NUMBER.")
    visibility_timeout: int = _setting(
        3600,
        kinds.number(2, 86400),
        "After how many seconds a message that nobody finished is given to another worker.",
    )
    shard_time_limit: int = _setting(
        900,
        kinds.number(1, 43200),
        "Seconds after which a process that is stuck in a shard is ended.",
    )
    soft_shutdown_seconds: float = _setting(
        30.0,
        kinds.number(0, 3600, float),
        "How long a worker that is asked to stop may finish shards.",
    )
    model_store: str = _setting(
        "",
        kinds.text,
        "Folder or fsspec URL with bundles in folders named by their versions, for messages that "
        "want another version than 'model'.",
    )
    metrics_port: int = _setting(
        0, kinds.number(0, 65535), "Port on which a worker serves Prometheus metrics; 0: none."
    )
    metrics_address: str = _setting(
        "127.0.0.1", kinds.text, "Address on which a worker serves Prometheus metrics."
    )
    log_format: str = _setting("text", kinds.one_of("text", "json"), "How log lines are written.")
    log_level: str = _setting(
        "INFO", kinds.one_of("DEBUG", "INFO", "WARNING", "ERROR"), "Which log lines are written."
    )

    def __post_init__(self) -> None:
        """Refuse values that do not fit together."""
        check_pairs(self)


@dataclass(frozen=True)
class Setting:
    """One setting as it is declared: for options, docs and tests."""

    name: str
    default: Any
    parse: Callable[[Any], Any]
    help: str
    secret: bool

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + self.name.upper()


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(field.name, field.default, **field.metadata) for field in dataclasses.fields(Settings)
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Resolved:
    """The settings, where each value came from, and variables that name no setting."""

    settings: Settings
    sources: Mapping[str, str]
    unknown_variables: tuple[str, ...]

    def shown(self) -> list[dict[str, str]]:
        """One row a setting with its value as text, passwords masked."""
        return [
            {
                "name": setting.name,
                "value": masked(setting, getattr(self.settings, setting.name)),
                "source": self.sources[setting.name],
                "variable": setting.variable,
                "help": setting.help,
            }
            for setting in SETTINGS
        ]


def check_pairs(settings: Settings) -> None:
    """Raise SettingsError, naming both, where one setting would silently cap another."""
    if settings.visibility_timeout < 2 * settings.shard_time_limit:
        raise SettingsError(
            f"visibility_timeout is {settings.visibility_timeout} s and shard_time_limit "
            f"{settings.shard_time_limit} s: expected at least twice as long, or a shard that is "
            "still being worked is given to a second worker; raise the first or lower the second"
        )
    if settings.lease_seconds > settings.visibility_timeout:
        raise SettingsError(
            f"lease_seconds is {settings.lease_seconds:g} s and visibility_timeout "
            f"{settings.visibility_timeout} s: expected the lease to run out first, or a message "
            "that comes back finds its rows still reserved; lower the first or raise the second"
        )


def masked(setting: Setting, value: Any) -> str:
    """The value as text; of a secret one the passwords become ``***``."""
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return mask_url(text) if setting.secret else text


def mask_url(text: str) -> str:
    """Passwords in URLs masked: between ``:`` and the last ``@``, and in ``?password=…``."""
    text = re.sub(r"(://[^:@/\s]*):[^\s]*@", r"\1:***@", text)
    return re.sub(r"(?i)([?&](?:password|ssl_?password)=)[^&\s]*", r"\1***", text)


def resolve(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> Resolved:
    """Read every place that may hold a setting.

    Args:
        options: values given on the command line; None where an option was not given.
        environ: the environment of the process.
        folder: where ``.env`` and ``fashion-cascade.toml`` are looked for; the current folder.
        user_folder: the user's configuration folder; as the platform has it.

    Raises:
        SettingsError: a value is not of its kind, a file names an unknown setting, or a pair
            does not fit together.
    """
    folder = Path.cwd() if folder is None else folder
    values: dict[str, Any] = {}
    sources = {setting.name: "default" for setting in SETTINGS}
    for source, found in _layers(options or {}, environ, folder, user_folder):
        for name, raw in found.items():
            values[name] = _parsed(BY_NAME[name], raw, source)
            sources[name] = source
    known = {setting.variable for setting in SETTINGS}
    unknown = tuple(sorted(v for v in environ if v.startswith(PREFIX) and v not in known))
    return Resolved(Settings(**values), sources, unknown)


def _layers(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    folder: Path,
    user_folder: Path | None,
) -> list[tuple[str, dict[str, Any]]]:
    """(source, values) from the weakest to the strongest."""
    if user_folder is None:
        import platformdirs

        user_folder = platformdirs.user_config_path("fashion-cascade")
    layers = []
    for file in (user_folder / "settings.toml", folder / FILE_NAME):
        layers.append((str(file), _from_file(file)))
    dotenv = folder / ".env"
    if dotenv.is_file():
        import dotenv as reader

        pairs = reader.dotenv_values(dotenv)
        layers.append((str(dotenv), _from_variables(pairs)))
    layers.append(("environment", _from_variables(environ)))
    layers.append(("option", {name: v for name, v in options.items() if v is not None}))
    return layers


def _from_variables(pairs: Mapping[str, str | None]) -> dict[str, Any]:
    return {s.name: pairs[s.variable] for s in SETTINGS if pairs.get(s.variable)}


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
        place = setting.variable if source == "environment" else f"{setting.name} ({source})"
        raise SettingsError(
            f"{place}: expected {error}, received {masked(setting, raw)!r}"
        ) from None
