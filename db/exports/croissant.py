"""Croissant 1.1 metadata beside an export: its files with checksums, and the columns of its table.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. The file tells a program how to
read the export. Who made the data, under which licence and where it is published, is for the person
to add who publishes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from db.errors import ExportError
from db.exports.arrow import export_schema
from db.exports.files import Exported, sha256_of
from db.exports.folders import METADATA
from db.exports.pictures import FACTS
from rendering.output import is_stream, open_output

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
RECORDS = "pictures"
MEDIA_TYPES = {
    "csv": "text/csv",
    "jsonl": "application/jsonlines",
    "parquet": "application/x-parquet",
    "sqlite": "application/vnd.sqlite3",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "label-studio": "application/json",
    "cvat": "application/zip",
}
_WITH_COLUMNS = ("csv", "jsonl", "parquet")  # the files that readers of Croissant read as tables
_TYPES = {
    "int64": "sc:Integer",
    "double": "sc:Float",
    "bool": "sc:Boolean",
    "timestamp": "sc:DateTime",
}
# the prefixes of the specification, and the names that it defines beside schema.org's
_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
).split()
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _TERMS},
}


def croissant_path(target: Path) -> Path:
    """The name of the metadata of an export: ``shoes.csv.croissant.json``."""
    return Path(f"{target}.croissant.json")


def require_description(target: Path) -> None:
    """Raise ExportError if the target is a pipe or a device, which no metadata can name."""
    if is_stream(target):
        raise ExportError(f"Croissant metadata names files, received {target}: name a file")


def write_croissant(
    done: Exported, target: Path, output_format: str, columns: Sequence[str]
) -> Path:
    """Describe a complete export beside it; return the name of the metadata.

    Args:
        done: The result of the export.
        target: Its file or folder.
        output_format: As the command calls it.
        columns: The columns of a table.
    """
    distribution, source, names = _distribution(done, target, output_format, columns)
    about: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": target.name,
        "description": (
            f"{done.rows} rows of product pictures with labels in a hierarchy, as exported by "
            f"fashion-cascade in the format {output_format}."
        ),
        "version": "1.0.0",
        "datePublished": f"{datetime.now(UTC):%Y-%m-%d}",
        "distribution": distribution,
    }
    if source is not None:
        about["recordSet"] = [_record_set(source, names)]
    with open_output(croissant_path(target)) as file:
        file.write(json.dumps(about, indent=2, ensure_ascii=False).encode() + b"\n")
    return croissant_path(target)


def _distribution(
    done: Exported, target: Path, output_format: str, columns: Sequence[str]
) -> tuple[list[dict[str, Any]], Mapping[str, Any] | None, Sequence[str]]:
    """The files; and, if there is a table that readers read, where its columns are."""
    if target.is_file():
        file = _file_object(target.name, target, MEDIA_TYPES[output_format], done.sha256)
        readable = output_format in _WITH_COLUMNS
        return [file], {"fileObject": {"@id": target.name}} if readable else None, columns
    if output_format == "imagefolder":
        name = f"{target.name}/{METADATA}"
        file = _file_object(name, target / METADATA, "text/csv")
        pictures = _file_set("images", f"{target.name}/*/*", "image/*")
        return [file, pictures], {"fileObject": {"@id": name}}, ("file_name", *FACTS)
    if output_format in ("huggingface", "parquet"):
        files = _file_set("tables", f"{target.name}/*/*.parquet", MEDIA_TYPES["parquet"])
        names = FACTS if output_format == "huggingface" else columns
        return [files], {"fileSet": {"@id": "tables"}}, names
    return [_file_set("files", f"{target.name}/*", "application/octet-stream")], None, ()


def _file_object(
    name: str, file: Path, media_type: str, checksum: str | None = None
) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": media_type,
        "sha256": checksum or sha256_of(file),
    }


def _file_set(name: str, includes: str, media_type: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": media_type,
        "includes": includes,
    }


def _record_set(source: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    known = export_schema()
    fields = []
    for name in columns:
        arrow_type = str(known.field(name).type) if name in known.names else "string"
        if arrow_type.startswith("timestamp"):
            arrow_type = "timestamp"
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{RECORDS}/{name}",
                "name": name,
                "dataType": _TYPES.get(arrow_type, "sc:Text"),
                "source": {**source, "extract": {"column": name}},
            }
        )
    return {"@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS, "field": fields}
