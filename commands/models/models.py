"""``fashion-cascade models``: which models labelled the catalogue; use one, go back, publish."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import catalogue_option, exit_codes, opened
from commands.output import format_option, write

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from db.records import ModelRecord

COLUMNS = (
    "version",
    "in_use",
    "rows",
    "waiting",
    "ready",
    "in_use_since",
    "in_use_until",
    "source",
)


@click.group()
def command() -> None:
    """The models that the catalogue knows: list, show, compare, use (and go back), publish.

    \b
    Example:
      fashion-cascade models list
      fashion-cascade models use 3f2a9c41
    """


def _models(catalogue: Catalogue) -> list[ModelRecord]:
    from db.session import reading
    from db.writes import registry

    with reading(catalogue.engine) as connection:
        return registry.models(connection)


def _find(catalogue: Catalogue, version: str) -> ModelRecord:
    """The one model whose version begins so."""
    models = _models(catalogue)
    found = [model for model in models if model.version.startswith(version)]
    if len(found) != 1:
        known = ", ".join(model.version for model in models) or "none yet"
        raise click.UsageError(f"expected the beginning of one version of: {known}")
    return found[0]


@command.command("list")
@format_option()
@catalogue_option
def list_(catalogue_url: str | None, form: str | None) -> None:
    """All models, oldest first, with the rows that each labels now.

    In use is what 'label' or a promoted 'relabel' last took, or what 'use' said. 'waiting' and
    'ready' tell of a relabelling that is not finished: rows to be done, rows to be promoted.

    \b
    Example:
      fashion-cascade models list
    """
    with opened(catalogue_url) as catalogue:
        write((vars(model) for model in _models(catalogue)), COLUMNS, form)


@command.command()
@click.argument("version")
@catalogue_option
def show(version: str, catalogue_url: str | None) -> None:
    """One model with the figures that were measured when it was trained.

    \b
    Example:
      fashion-cascade models show 3f2a9c41
    """
    import json

    from db.exports.text_encoding import plain

    with opened(catalogue_url) as catalogue:
        model = _find(catalogue, version)
    values = {name: plain(value) for name, value in vars(model).items()}
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


@command.command()
@click.argument("first")
@click.argument("second")
@format_option()
@catalogue_option
def compare(first: str, second: str, catalogue_url: str | None, form: str | None) -> None:
    """Two models' figures side by side.

    Those of their training, and how right each was on the rows that people corrected or confirmed,
    as far as it has labelled them (a 'relabel --diff' is enough for that).

    \b
    Example:
      fashion-cascade models compare 3f2a9c41 77b01e5d
    """
    with opened(catalogue_url) as catalogue:
        models = [_find(catalogue, version) for version in (first, second)]
        left, right = (
            dict(_flat(model.figures)) | {"rows": model.rows} | _on_corrections(catalogue, model)
            for model in models
        )
    records = [
        {"figure": name, "first": left.get(name), "second": right.get(name)}
        for name in sorted(left.keys() | right.keys())
    ]
    write(records, ("figure", "first", "second"), form)


def _on_corrections(catalogue: Catalogue, model: ModelRecord) -> dict[str, int]:
    from db.corrections import accuracy_of

    found = accuracy_of(catalogue.engine, model.version)
    names = {"rows": found.rows, "right": found.right, "exact": found.exact}
    return {f"corrections.{name}": number for name, number in names.items()}


def _flat(figures: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Nested figures as 'test.leaf' and so on."""
    made: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            made += _flat(value, f"{above}{name}.")
        elif not isinstance(value, list):
            made.append((f"{above}{name}", value))
    return made


@command.command()
@click.argument("version")
@catalogue_option
def use(version: str, catalogue_url: str | None) -> None:
    """Let this model's labels count: those it has ready, and those it gave before.

    This is also the way back: rows that an earlier model had labelled take those labels again,
    the newer ones go to the history. Workers label new pictures with the setting 'model'.

    \b
    Example:
      fashion-cascade models use 3f2a9c41
    """
    from db import relabelling

    with opened(catalogue_url) as catalogue:
        model = _find(catalogue, version)
        moved = relabelling.use(catalogue.engine, model.version)
    click.echo(f"model {model.version} is in use; {moved:,} rows took its labels", err=True)


@command.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--store", metavar="URL", help="A folder or fsspec URL [setting model_store].")
def publish(bundle: Path, store: str | None) -> None:
    """Put BUNDLE into the model store, where workers find it by its version.

    Workers with the setting model_store then label with it when a message asks for it, beside
    their own model.

    \b
    Example:
      fashion-cascade models publish new-bundle --store s3://bucket/models
    """
    from worker.model_store import publish as put
    from worker.settings import resolve

    with exit_codes():
        settings = resolve({"model_store": store}, environ=os.environ).settings
        if not settings.model_store:
            raise click.UsageError("publish where? Give --store, or set model_store")
        place, new = put(settings.model_store, bundle)
    click.echo(f"{place}: {'published' if new else 'is there already'}")
