"""``fashion-cascade taxonomy``: the tree of labels."""

from __future__ import annotations

import json

import click

from commands.common import bundle_folder, exit_codes, load_settings
from commands.options import format_option, model_option


@click.command()
@model_option
@click.option("--leaves", is_flag=True, help="Print one leaf per line, in the order of the index.")
@format_option("tree", "json")
def command(model: str | None, leaves: bool, output_format: str) -> None:
    """Show the tree of labels of a bundle.

    \b
    Example:
      fashion-cascade taxonomy
      fashion-cascade taxonomy --leaves
    """
    from cascade.bundle import Bundle

    with exit_codes():
        tree = Bundle.open(bundle_folder(load_settings(model=model)), verify=False).taxonomy
    if leaves:
        for leaf in tree.leaves:
            click.echo(leaf)
    elif output_format == "json":
        click.echo(json.dumps(tree.to_json(), indent=1, ensure_ascii=False))
    else:
        for node in tree.nodes:
            indent, name = "  " * node.path.count("/"), node.path.rsplit("/", 1)[-1]
            click.echo(indent + name + ("" if node.level is None else f"  ({node.level})"))
