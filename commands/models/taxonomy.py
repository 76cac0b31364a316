"""``fashion-cascade taxonomy``: the tree of labels."""

from __future__ import annotations

import json

import click


@click.command()
@click.option("--model", metavar="BUNDLE", help="The bundle whose tree is shown [the shipped one].")
@click.option("--leaves", is_flag=True, help="One leaf a line, in index order.")
@click.option("--format", "form", type=click.Choice(["tree", "json"]), default="tree")
def command(model: str | None, leaves: bool, form: str) -> None:
    """Show the tree of labels that a bundle decides over.

    \b
    Example:
      fashion-cascade taxonomy
      fashion-cascade taxonomy --leaves
    """
    from cascade.bundle import SHIPPED, Bundle
    from cascade.errors import CascadeError

    try:
        tree = Bundle.open(model or SHIPPED, verify=False).taxonomy
    except CascadeError as error:
        click.echo(f"fashion-cascade: {error}", err=True)
        raise click.exceptions.Exit(5) from error
    if leaves:
        for leaf in tree.leaves:
            click.echo(leaf)
    elif form == "json":
        click.echo(json.dumps(tree.to_json(), indent=1, ensure_ascii=False))
    else:
        for node in tree.nodes:
            name = node.path.rsplit("/", 1)[-1]
            click.echo(
                "  " * node.path.count("/")
                + name
                + ("" if node.level is None else f"  ({node.level})")
            )
