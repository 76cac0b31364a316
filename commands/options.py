"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cascade.backends import AUTO, CHOICES
from tabular.lines import ENCODINGS
from worker.settings import BY_NAME

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

EXISTING_PATH = click.Path(exists=True, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_PATH = click.Path(path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER = click.Path(file_okay=False, path_type=Path)
PRECISION = click.FloatRange(0.5, 0.999)
BACKEND_HELP = "The library that runs the networks."
AUTO_BACKEND = "TensorFlow on a GPU, else OpenVINO or LiteRT"


def setting_option(
    flag: str,
    setting: str,
    help: str,
    *,
    default: str | None = None,
    aliases: tuple[str, ...] = (),
    **details: Any,
) -> Decorator[Any]:
    """An option that overrides a setting and is passed to the command under the setting's name.

    Args:
        default: how the help shows the setting's default, where the value says too little.
        aliases: other flags of the same option.
        details: anything else that `click.option` takes.
    """
    shown = str(BY_NAME[setting].default) if default is None else default
    return click.option(
        flag,
        *aliases,
        setting,
        default=None,  # a flag too: what is not given is left to the settings
        show_default=f"setting {setting}: {shown}",
        help=help,
        **details,
    )


catalogue_option = setting_option(
    "--catalogue",
    "catalogue_url",
    "The catalogue: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
    metavar="URL",
)
broker_option = setting_option(
    "--broker", "broker_url", "The queue: redis://HOST:PORT/NUMBER.", metavar="URL"
)
model_option = setting_option(
    "--model", "model", "Folder of the bundle.", default="the shipped bundle", metavar="BUNDLE"
)
backend_option = setting_option(
    "--backend",
    "backend",
    BACKEND_HELP,
    default=f"{AUTO}, {AUTO_BACKEND}",
    type=click.Choice(CHOICES),
)
batch_size_option = setting_option(
    "--batch-size",
    "batch_size",
    "Pictures in one step of the networks.",
    default="64, on a GPU the fastest measured",
    type=int,
    metavar="N",
)
features_option = setting_option(
    "--features/--no-features",
    "features",
    "Keep a vector of each picture, which finds similar pictures.",
    default="false",
    is_flag=True,
)
pool_size_option = setting_option(
    "--workers",
    "pool_size",
    "Number of worker processes.",
    default="0, as many as suit the machine",
    aliases=("--pool-size",),
    type=click.IntRange(0),
    metavar="N",
)


crawl_option = click.option(
    "--crawl", metavar="NAME", show_default="all crawls", help="Only this crawl."
)
required_crawl_option = click.option("--crawl", metavar="NAME", required=True, help="The crawl.")
new_crawl_option = click.option(
    "--crawl", metavar="NAME", show_default="name of the folder", help="Crawl of the new rows."
)
images_store_option = click.option(
    "--images-store",
    metavar="FOLDER",
    show_default="folder of the manifest",
    help="IMAGES_STORE of the Scrapy project, where --manifest is its feed.",
)
shop_option = click.option(
    "--shop", metavar="NAME", help="Shop of the pictures. Also for pictures that are done."
)
shop_from_option = click.option(
    "--shop-from",
    metavar="folder|REGEX",
    help="Shop by picture: 'folder', the first folder below PATHS (of listed files, their own "
    "folder), or a regular expression for the path, whose first group is the shop.",
)
nul_option = click.option(
    "-0", "nul", is_flag=True, help="Paths on stdin are separated by NUL, not by newlines."
)
encoding_option = click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    show_default="the byte order mark, else utf-8",
    help="Character encoding of the file.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
by_option = click.option(
    "--by", metavar="NAME", show_default="your user name", help="Person to record as the author."
)
pictures_argument = click.argument("pictures", type=EXISTING_PATH)
split_option = click.option(
    "--split",
    metavar="NAME",
    show_default="all splits",
    help="Only this split of a manifest: train, validation or test.",
)
seed_option = click.option("--seed", type=click.IntRange(0), default=2026, help="Random seed.")


def out_option(help: str) -> Decorator[Any]:
    """The required ``--out`` option: a path to create."""
    return click.option("--out", "--output", "out", type=NEW_PATH, required=True, help=help)


def format_option(*formats: str) -> Decorator[Any]:
    """The ``--format`` option; the first of `formats` is the default."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        default=formats[0],
        help="Output format.",
    )


def record_format_option(
    *formats: str, default: str = "table on a terminal, else jsonl"
) -> Decorator[Any]:
    """The ``--format`` option of commands that print records; None: by the output stream."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(formats),
        show_default=default,
        help="Output format.",
    )
