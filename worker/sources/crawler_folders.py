"""Folders that say more than their files: output of img2dataset, Hugging Face's ImageFolder.

Both are found by their files of rows. The rows of a folder are read shard by shard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cascade.pictures import safe_read
from db.records import FileState, PendingRow
from tabular.errors import TabularError
from tabular.read import read_rows
from tabular.values import text_of
from worker.errors import InputError
from worker.sources.paths import member_to_text, to_os_path

ENDINGS = ("jpg", "png", "webp")  # that img2dataset encodes pictures in
DESCRIPTION = ("url", "shop", "product_id")
IMG2DATASET_COLUMNS = ("key", "status", "error_message", *DESCRIPTION)
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SHARD = re.compile(r"\d{5,}\.parquet")


def img2dataset_shards(folder: str) -> list[Path]:
    """The tables of the finished shards of an output of img2dataset; none: it is another folder.

    A shard is finished when its statistics are there. Until then its table may be half written.
    """
    tables = (path for path in Path(folder).iterdir() if _SHARD.fullmatch(path.name))
    return sorted(path for path in tables if Path(f"{path.with_suffix('')}_stats.json").exists())


def img2dataset_rows(folder: str) -> Iterator[PendingRow]:
    """Yield a row for each address of each finished shard; a failed one has its failure.

    Pictures are files beside the table (output format `files`) or members of a tar (`webdataset`),
    which is not unpacked.

    Raises:
        InputError: a table that cannot be read, or another output format.
    """
    for table in img2dataset_shards(folder):
        files = _shard_files(table)
        try:
            for place, values in read_rows(table, IMG2DATASET_COLUMNS, ["key", "status"]):
                yield _img2dataset_row(place, values, table, files)
        except TabularError as error:
            raise InputError(str(error)) from error


def _shard_files(table: Path) -> dict[str, FileState] | None:
    """By key, the members of the shard's tar; None if its pictures are files."""
    archive, beside = table.with_suffix(".tar"), table.with_suffix("")
    if beside.is_dir():
        return None
    if not archive.exists():
        raise InputError(
            f"{table}: expected its pictures in {beside.name}/ or {archive.name}, found neither; "
            "run img2dataset with --output_format files or webdataset"
        )
    found = safe_read.list_members(str(archive))
    if isinstance(found, safe_read.Contents):
        raise InputError(f"{archive}: expected a tar archive: {found.detail}")
    files = {}
    for member in found:
        key, _, ending = member.name.rpartition(".")
        if ending in ENDINGS:
            path = member_to_text(str(archive), member.name)
            files[key] = FileState(path, member.size, member.mtime)
    return files


def _img2dataset_row(
    place: str, values: Mapping[str, Any], table: Path, files: dict[str, FileState] | None
) -> PendingRow:
    from worker.sources.scan import file_state

    key, status = text_of(values["key"]), text_of(values["status"])
    if key is None:
        raise InputError(f"{place}: expected a key, received none")
    about = [text_of(values.get(name)) for name in DESCRIPTION]
    stem = f"{table.with_suffix('')}/{key}"
    if files is None:
        paths = [to_os_path(f"{stem}.{ending}") for ending in ENDINGS]
        states = (file_state(path) for path in paths)
        state = next((s for s in states if s.size is not None), file_state(paths[0]))
    else:
        absent = FileState(member_to_text(str(table.with_suffix(".tar")), f"{key}.{ENDINGS[0]}"))
        state = files.get(key, absent)
    if status != "success":
        words = text_of(values.get("error_message"))
        failure = f"{status}: {words}" if words else str(status)
        row = PendingRow(state.path, None, None, *about)
        return replace(row, failure=failure)
    return PendingRow(state.path, state.size, state.mtime, *about)


def metadata_files(folder: str) -> list[Path]:
    """The metadata of an ImageFolder: of the folder, and of each split below it."""
    top = Path(folder)
    found = [path for name in METADATA for path in (top / name, *top.glob(f"*/{name}"))]
    return sorted(path for path in found if path.is_file() and _names_files(path))


def _names_files(file: Path) -> bool:
    try:
        _, first = next(read_rows(file, ["file_name"], []), ("", {}))
    except TabularError:
        return False  # a file of something else
    return "file_name" in first


def image_folder_rows(folder: str, files: Iterator[FileState]) -> Iterator[PendingRow]:
    """Yield the files of an ImageFolder with what its metadata says of them.

    A file that the metadata names and the folder lacks gives a row too.

    Args:
        folder: that of the files.
        files: what a walk through it finds.

    Raises:
        InputError: metadata that cannot be read.
    """
    from worker.sources.scan import file_state

    named: dict[str, list[str | None]] = {}
    for file in metadata_files(folder):
        try:
            for _, values in read_rows(file, ["file_name", *DESCRIPTION], ["file_name"]):
                if (name := text_of(values["file_name"])) is not None:
                    path = file_state(f"{file.parent}/{to_os_path(name)}").path
                    named[path] = [text_of(values.get(column)) for column in DESCRIPTION]
        except TabularError as error:
            raise InputError(str(error)) from error
    for found in files:
        about = named.pop(found.path, [None] * len(DESCRIPTION))
        yield PendingRow(found.path, found.size, found.mtime, *about)
    for path, about in named.items():
        state = file_state(to_os_path(path))
        yield PendingRow(path, state.size, state.mtime, *about)
