"""``fashion-cascade sample-crawl``: a folder of drawings to try the program on."""

from __future__ import annotations

from pathlib import Path

import click

from commands.options import NEW_FOLDER


@click.command()
@click.argument("folder", type=NEW_FOLDER)
@click.option("--per-leaf", type=click.IntRange(1, 9999), default=8, help="Drawings of each label.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
@click.option(
    "--labelled-folders",
    is_flag=True,
    help="One folder for each label, as `evaluate` reads them, instead of one flat folder.",
)
def command(folder: Path, per_leaf: int, seed: int, labelled_folders: bool) -> None:
    """Write a small crawl of DRAWINGS to FOLDER.

    A few broken files are among them. They are drawings, not photographs: they let you try the
    program without pictures, and prove nothing about its accuracy on photographs. The same seed
    gives the same files.

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
