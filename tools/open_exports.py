"""Open exports with the libraries of the tools that they are for.

    python tools/open_exports.py FOLDER ROWS

FOLDER has the exports as `make open-exports` writes them, each of ROWS pictures. It runs in an
environment of its own: the libraries are no dependency of this project.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path


def opened(folder: Path) -> dict[str, int]:
    """The number of pictures that each library found, by export and library."""
    import datasets
    import mlcroissant
    from fiftyone.utils.data.importers import FiftyOneImageClassificationDatasetImporter
    from label_studio_sdk.label_interface import LabelInterface

    found = {}
    for name in ("t.csv", "t.jsonl", "t.parquet", "imagefolder", "huggingface"):
        described = mlcroissant.Dataset(folder / f"{name}.croissant.json")
        found[f"{name}, mlcroissant"] = len(list(described.records("pictures")))
    for name in ("fiftyone", "tasks.json", "cvat.zip"):  # described, without a table
        mlcroissant.Dataset(folder / f"{name}.croissant.json")
    cache = str(folder / "cache")
    for kind, options in {
        "huggingface": {"path": str(folder / "huggingface")},
        "imagefolder": {"path": "imagefolder", "data_dir": str(folder / "imagefolder")},
    }.items():
        table = datasets.load_dataset(split="train", cache_dir=cache, **options)
        found[f"{kind}, datasets"] = sum(line["image"].width > 0 for line in table)
    interface = LabelInterface((folder / "tasks.config.xml").read_text())
    tasks = json.loads((folder / "tasks.json").read_text())
    valid = [interface.validate_prediction(task["predictions"][0]) for task in tasks]
    found["tasks.json, label-studio-sdk"] = sum(valid)
    importer = FiftyOneImageClassificationDatasetImporter(dataset_dir=str(folder / "fiftyone"))
    importer.setup()
    with importer:
        found["fiftyone, fiftyone"] = sum(label.label is not None for _, _, label in importer)
    return found


def main(folder: str, rows: str) -> None:
    for library in ("mlcroissant", "datasets", "label-studio-sdk", "fiftyone"):
        print(library, version(library))
    found = opened(Path(folder))
    for name, pictures in found.items():
        print(f"{name}: {pictures} pictures")
    wrong = [name for name, pictures in found.items() if pictures != int(rows)]
    if wrong:
        sys.exit(f"expected {rows} pictures in each: {', '.join(wrong)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
