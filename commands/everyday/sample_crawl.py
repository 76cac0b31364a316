"""``fashion-cascade sample-crawl``: a folder of drawings to try the rest on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--per-leaf", type=click.IntRange(1, 9999), default=8, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--labelled-folders",
    is_flag=True,
    help="A folder for each label, as `evaluate` reads them; else one flat folder.",
)
def command(folder: Path, per_leaf: int, seed: int, labelled_folders: bool) -> None:
    """Write a small crawl of DRAWINGS into FOLDER, with a few broken files among them.

    They are drawings, not photographs: good for a first try on a machine that has no pictures, no
    proof of anything about photographs. The same seed gives the same files.

    \b
    Example:
      fashion-cascade sample-crawl sample-crawl
      fashion-cascade sample-crawl sample-crawl --per-leaf 50 --labelled-folders
    """
    from cascade.drawings import LEAVES, write_sample_crawl

    # In folders that are labels each file must be a picture of its label.
    junk = not labelled_folders
    try:
        written = write_sample_crawl(folder, per_leaf, seed, junk=junk, labelled=labelled_folders)
    except OSError as error:
        raise click.UsageError(f"cannot write into {folder}: {error}") from error
    drawn = per_leaf * len(LEAVES)
    broken = f" and {len(written) - drawn} broken files" if junk else ""
    click.echo(
        f"{folder}: {drawn} drawings (not photographs) of {len(LEAVES)} labels{broken}.", err=True
    )
    click.echo(folder)
