"""``fashion-cascade models``: list, compare and switch the models of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.common import exit_codes, load_settings, open_catalogue
from commands.groups import UncutGroup
from commands.options import (
    EXISTING_FOLDER,
    catalogue_option,
    record_format_option,
    setting_option,
)
from commands.output import FORMATS, write_records

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from db.records import ModelVersion

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


@click.group(cls=UncutGroup)
def command() -> None:
    """List, show, compare, switch and publish models.

    \b
    Example:
      fashion-cascade models list
      fashion-cascade models use 3f2a9c41
    """


def _models(catalogue: Catalogue) -> list[ModelVersion]:
    from db.session import reading
    from db.writes import registry

    with reading(catalogue.engine) as connection:
        return registry.registered_models(connection)


def _find(catalogue: Catalogue, version: str) -> ModelVersion:
    """The one model whose version starts with `version`."""
    models = _models(catalogue)
    found = [model for model in models if model.version.startswith(version)]
    if len(found) != 1:
        known = ", ".join(model.version for model in models) or "none yet"
        raise click.UsageError(
            f"expected the beginning of one version of: {known}; received {version!r}"
        )
    return found[0]


@command.command("list")
@record_format_option(*FORMATS)
@catalogue_option
def list_(catalogue_url: str | None, output_format: str | None) -> None:
    """List all models, oldest first.

    The column 'rows' counts the rows that have the model's labels. The model in use is the last one
    of `label`, of a finished `relabel` or of `models use`. The columns 'waiting' and 'ready' count
    the rows of an unfinished relabelling: still to be labelled, and labelled but not yet taken
    over.

    \b
    Example:
      fashion-cascade models list
    """
    with open_catalogue(catalogue_url) as catalogue:
        write_records((vars(model) for model in _models(catalogue)), COLUMNS, output_format)


@command.command()
@click.argument("version")
@catalogue_option
def show(version: str, catalogue_url: str | None) -> None:
    """Show one model with the figures of its training.

    VERSION is the beginning of a model version.

    \b
    Example:
      fashion-cascade models show 3f2a9c41
    """
    import json

    from db.exports.text_encoding import plain

    with open_catalogue(catalogue_url) as catalogue:
        model = _find(catalogue, version)
    values = {name: plain(value) for name, value in vars(model).items()}
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))


@command.command()
@click.argument("first")
@click.argument("second")
@record_format_option(*FORMATS)
@catalogue_option
def compare(first: str, second: str, catalogue_url: str | None, output_format: str | None) -> None:
    """Compare the figures of two models.

    FIRST and SECOND are the beginnings of model versions. Shows the figures of their training, and
    their accuracy on the reviewed rows that each has labelled; `relabel --diff` is enough for that.

    \b
    Example:
      fashion-cascade models compare 3f2a9c41 77b01e5d
    """
    with open_catalogue(catalogue_url) as catalogue:
        models = [_find(catalogue, version) for version in (first, second)]
        left, right = (
            dict(_flat(model.figures)) | {"rows": model.rows} | _on_corrections(catalogue, model)
            for model in models
        )
    records = [
        {"figure": name, "first": left.get(name), "second": right.get(name)}
        for name in sorted(left.keys() | right.keys())
    ]
    write_records(records, ("figure", "first", "second"), output_format)


def _on_corrections(catalogue: Catalogue, model: ModelVersion) -> dict[str, int]:
    from db.human_labels import accuracy_of_model

    found = accuracy_of_model(catalogue.engine, model.version)
    names = {"rows": found.rows, "right": found.right, "exact": found.exact}
    return {f"corrections.{name}": number for name, number in names.items()}


def _flat(figures: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Nested figures as pairs such as ('test.leaf', 0.9); lists are left out."""
    made: list[tuple[str, Any]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            made += _flat(value, f"{above}{name}.")
        elif not isinstance(value, list):
            made.append((f"{above}{name}", value))
    return made


@command.command()
@click.argument("version")
@click.option(
    "--shop", metavar="NAME", help="Let it label this shop's new pictures; change no label."
)
@catalogue_option
def use(version: str, shop: str | None, catalogue_url: str | None) -> None:
    """Switch to this model's labels (also back).

    VERSION is the beginning of a model version. Its labels are used wherever they are ready or were
    used before; the replaced labels go to the history. Workers label new pictures with the setting
    'model', which this does not change.

    With --shop, VERSION may also be the folder of a bundle, and only a rule is made: from now on
    `enqueue` asks workers for this model where a picture is of the shop. They load it from the
    setting 'model_store' (`models publish`). `models shops` lists and removes rules.

    \b
    Example:
      fashion-cascade models use 3f2a9c41
      fashion-cascade models use adapted-bundle --shop liberty
    """
    from db import relabelling
    from db.writes import shop_models

    with open_catalogue(catalogue_url) as catalogue:
        if shop is None:
            model = _find(catalogue, version)
            moved = relabelling.use(catalogue.engine, model.version)
            click.echo(f"model {model.version} is in use; {moved:,} rows took its labels", err=True)
            return
        chosen = _registered(catalogue, version)
        shop_models.choose(catalogue.engine, shop, chosen)
        click.echo(f"new pictures of the shop {shop} are enqueued for model {chosen}", err=True)
        if not load_settings().model_store:
            click.echo(
                "workers with another model need the setting model_store: "
                "fashion-cascade models publish BUNDLE --store URL",
                err=True,
            )


def _registered(catalogue: Catalogue, version: str) -> str:
    """The version that is meant: of a bundle in a folder, which is registered, or by its start."""
    if not (Path(version) / "manifest.json").is_file():
        return _find(catalogue, version).version
    from worker.model_loader import BundleModel
    from worker.queue.backend_digests import announce

    model = BundleModel(version)
    model.verify()
    announce(catalogue, model)
    return model.version


@command.command()
@click.option("--remove", metavar="NAME", help="Remove the rule of this shop.")
@record_format_option(*FORMATS)
@catalogue_option
def shops(remove: str | None, output_format: str | None, catalogue_url: str | None) -> None:
    """List the shops whose new pictures have a model of their own.

    \b
    Example:
      fashion-cascade models shops
      fashion-cascade models shops --remove liberty
    """
    from db.writes import shop_models

    with open_catalogue(catalogue_url) as catalogue:
        if remove is not None and not shop_models.drop(catalogue.engine, remove):
            raise click.UsageError(
                f"expected a shop with a rule, received {remove!r}: see `models shops`"
            )
        found = shop_models.rules(catalogue.engine)
    write_records((vars(rule) for rule in found), ("shop", "version", "chosen_at"), output_format)


@command.command()
@click.argument("bundle", type=EXISTING_FOLDER)
@setting_option(
    "--store", "model_store", "Folder or fsspec URL of the store.", default="none", metavar="URL"
)
def publish(bundle: Path, model_store: str | None) -> None:
    """Copy BUNDLE to the model store.

    Workers find it there by its version. Workers with the setting model_store load it, in addition
    to their own model, when a message asks for it.

    \b
    Example:
      fashion-cascade models publish new-bundle --store s3://bucket/models
    """
    from worker.model_store import publish as publish_bundle

    with exit_codes():
        settings = load_settings(model_store=model_store)
        if not settings.model_store:
            raise click.UsageError("publish where? Add --store URL, or set model_store")
        location, new = publish_bundle(settings.model_store, bundle)
    click.echo(f"{location}: {'published' if new else 'is there already'}")
