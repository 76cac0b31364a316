"""The taxonomy of a training: the shipped one, a file, or the folders of the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cascade.taxonomy import Taxonomy

FOLDERS = "folders"

taxonomy_option = click.option(
    "--taxonomy",
    metavar="FILE",
    show_default="the shipped taxonomy",
    help="Your own taxonomy file; 'folders' makes the taxonomy from the folders.",
)


def taxonomy_for(pictures: Path, taxonomy: str | None) -> Taxonomy:
    """The taxonomy that the option asks for.

    Raises:
        TaxonomyError, DatasetError: the file or the folders are no taxonomy.
    """
    from cascade.data.prepare import taxonomy_of_folders

    return taxonomy_of_folders(pictures) if taxonomy == FOLDERS else load_taxonomy(taxonomy)


def load_taxonomy(taxonomy: str | None) -> Taxonomy:
    """The taxonomy in a file; None: the shipped one.

    Raises:
        TaxonomyError: the file is no taxonomy.
    """
    from cascade.taxonomy import SHIPPED, Taxonomy

    return Taxonomy.load(taxonomy or SHIPPED)


@contextmanager
def hint_at_folders(pictures: Path | None, taxonomy: str | None) -> Iterator[None]:
    """Add to an error about the pictures that their folders may be categories of their own.

    Raises:
        DatasetError: that of the block.
    """
    from cascade.errors import DatasetError

    try:
        yield
    except DatasetError as error:
        if taxonomy is not None or pictures is None or not _has_other_folders(pictures):
            raise
        raise DatasetError(
            f"{error}. For categories of your own, add --taxonomy {FOLDERS}"
        ) from error


def _has_other_folders(pictures: Path) -> bool:
    """Whether there are folders, and none has the name of a category of the shipped taxonomy."""
    if not pictures.is_dir():
        return False
    names = {entry.name for entry in pictures.iterdir() if entry.is_dir()}
    return bool(names) and names.isdisjoint(load_taxonomy(None).children(None))
