"""Label Studio: tasks with predictions and annotations as taxonomy paths, and its results back.

The tasks are its "basic JSON", for a project with one Taxonomy; the labelling interface is written
beside them. https://labelstud.io/guide/predictions
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from sqlalchemy.engine import Engine

from db.errors import ExportError
from db.exports.files import Exported, export_sink, exported
from db.exports.pictures import labelled_rows
from db.filters import Filter
from db.human_labels import Correction
from rendering.output import is_stream, open_output
from tabular.errors import TabularError
from tabular.json_rows import array_rows
from tabular.values import integer

CONTROL, OBJECT, TYPE = "label", "image", "taxonomy"
ROW_ID = "catalogue_id"  # in the task's data, by which a result finds its row
DATA = ("path", "crawl", "shop", "product_id", "url", "best_leaf", "second_leaf")
CHARACTERS = 1 << 16  # read at a time
LOCAL_FILES = "/data/local-files/?d="  # Label Studio's own address of a file on its disk


def export_label_studio(
    engine: Engine, wanted: Filter, target: Path, *, document_root: str = "/"
) -> tuple[Exported, int]:
    """Write one task for each matching row with a label, and the labelling interface.

    The model's label is a prediction with its confidence as score, a person's an annotation.
    Pictures are not copied: a task names the file below `document_root`, or the address of an
    object store. The interface is written beside the tasks as ``NAME.config.xml``; a pipe has none.

    Args:
        engine: The catalogue.
        wanted: Which rows.
        target: The new JSON file.
        document_root: The folder that Label Studio's setting
            ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` names.

    Returns:
        The result, and the number of pictures skipped because they are not below `document_root`.
    """
    rows = missing = 0
    with export_sink(target) as sink, labelled_rows(engine, wanted) as (labels, found):
        sink.write(b"[")
        for row in found:
            image = _address(row["path"], document_root)
            if image is None:
                missing += 1
                continue
            line = json.dumps(_task(row, image), ensure_ascii=False)
            sink.write((",\n" if rows else "\n").encode() + line.encode(errors="replace"))
            rows += 1
        sink.write(b"\n]\n")
        checksum = sink.sha256()
    if not is_stream(target):
        with open_output(target.with_suffix(".config.xml")) as file:
            file.write(labelling_interface(labels).encode())
    return exported(target, rows, checksum), missing


def _address(path: str, document_root: str) -> str | None:
    """What Label Studio opens: a file below its root, or an address that its storage resolves."""
    if "://" in path and not path.startswith("file://"):
        return path
    root = document_root.rstrip("/") + "/"
    # the text of a name that is not UTF-8 is escaped already
    text = path.removeprefix("file://") if path.startswith("file://") else quote(path)
    if not text.startswith(quote(root)):
        return None
    return LOCAL_FILES + text.removeprefix(quote(root))


def _task(row: Mapping[str, Any], image: str) -> dict[str, Any]:
    data = {OBJECT: image, ROW_ID: row["id"]}
    data |= {name: row[name] for name in DATA if row[name] is not None}
    task: dict[str, Any] = {"data": data}
    if row["model_label"] is not None:
        task["predictions"] = [
            {
                "model_version": row["model_version"],
                "score": row["confidence"],
                "result": [_result("model", row["model_label"])],
            }
        ]
    if row["human_label"] is not None:
        task["annotations"] = [{"result": [_result("person", row["human_label"])]}]
    return task


def _result(name: str, label: str) -> dict[str, Any]:
    return {
        "id": name,
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": TYPE,
        "value": {TYPE: [label.split("/")]},
    }


def labelling_interface(labels: Iterable[str]) -> str:
    """The XML of a project's labelling interface: the picture, and the tree of labels."""
    tree: dict[str, Any] = {}
    for label in labels:
        node = tree
        for name in label.split("/"):
            node = node.setdefault(name, {})
    lines = [
        "<View>",
        f'  <Image name="{OBJECT}" value="${OBJECT}"/>',
        f'  <Taxonomy name="{CONTROL}" toName="{OBJECT}" maxUsages="1" required="true">',
        *_choices(tree, "    "),
        "  </Taxonomy>",
        "</View>",
    ]
    return "\n".join(lines) + "\n"


def _choices(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, below in tree.items():
        if not below:
            yield f"{indent}<Choice value={quoteattr(name)}/>"
            continue
        yield f"{indent}<Choice value={quoteattr(name)}>"
        yield from _choices(below, f"{indent}  ")
        yield f"{indent}</Choice>"


def is_result(file: Path) -> bool:
    """Whether a file is an array of Label Studio's tasks, by its first object."""
    try:
        return any("data" in task and "annotations" in task for _, task in _first(file))
    except (TabularError, OSError, UnicodeDecodeError):
        return False


def _first(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open("rb") as stream:
        begin = stream.read(1000).lstrip(b"\xef\xbb\xbf \t\r\n")
        stream.seek(0)
        if begin.startswith(b"[") and (found := next(_tasks(stream, file), None)) is not None:
            yield found


def _tasks(stream: Any, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # Label Studio writes all tasks as one line, so the text is read in pieces
    pieces = iter(partial(codecs.getreader("utf-8-sig")(stream).read, CHARACTERS), "")
    return array_rows(pieces, str(file), ("id", "data", "annotations"))


def read_label_studio(file: Path) -> list[Correction]:
    """Read the annotations of Label Studio's export "JSON".

    A task without annotation, and a cancelled or empty one, corrects nothing. Two annotators with
    different labels are refused when the corrections are applied.

    Raises:
        ExportError: the file cannot be read, or a task is not one of `export_label_studio`.
    """
    found: list[Correction] = []
    try:
        with file.open("rb") as stream:
            for place, task in _tasks(stream, file):
                found += _corrections(place, task)
    except TabularError as error:
        raise ExportError(str(error)) from error
    except UnicodeDecodeError as error:
        raise ExportError(f"{file}: expected UTF-8, which JSON is written in: {error}") from error
    except OSError as error:
        raise ExportError(f"{file}: cannot be read: {error.strerror or error}") from error
    return found


def _corrections(place: str, task: Mapping[str, Any]) -> Iterator[Correction]:
    annotations = task.get("annotations") or []
    data = task.get("data")
    try:
        if not isinstance(annotations, list) or not isinstance(data, dict):
            raise ValueError("expected an object 'data' and a list 'annotations'")
        for annotation in annotations:
            if not isinstance(annotation, dict):
                raise ValueError("expected objects in 'annotations'")
            if annotation.get("was_cancelled"):
                continue
            for label in _labels(annotation.get("result") or []):
                if data.get(ROW_ID) is None:
                    raise ValueError(f"expected {ROW_ID} in its data, as 'export' writes it")
                path = data.get("path")
                who = _annotator(annotation.get("completed_by"))
                note = f"Label Studio{who}"
                yield Correction(
                    integer(data[ROW_ID]),
                    label,
                    note,
                    path if isinstance(path, str) else None,
                    place,
                )
    except ValueError as error:
        number = task.get("id")
        named = f" (task {number})" if isinstance(number, int) else ""
        raise ExportError(f"{place}{named}: {error}") from error


def _labels(result: Any) -> Iterator[str]:
    if not isinstance(result, list):
        raise ValueError("expected a list 'result'")
    for region in result:
        if not isinstance(region, dict) or region.get("type") != TYPE:
            continue  # another control of the project
        if region.get("from_name") != CONTROL:
            continue
        value = region.get("value")
        paths = value.get(TYPE) if isinstance(value, dict) else None
        if not isinstance(paths, list) or not all(
            isinstance(path, list) and path and all(isinstance(name, str) for name in path)
            for path in paths
        ):
            raise ValueError(f"expected paths of a taxonomy, received {value!r:.100}")
        if len(paths) > 1:
            raise ValueError(
                f"expected one label, received {len(paths)}: "
                + ", ".join("/".join(path) for path in paths[:5])
            )
        yield from ("/".join(path) for path in paths)


def _annotator(who: Any) -> str:
    """Who did it: Label Studio writes a number, or an object with the address."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return f", {who}" if isinstance(who, str | int) and who != "" else ""
