"""Fill in a review sheet from folders that are the correct labels.

    python tools/review_by_folders.py doubtful.csv photos/test

The session in docs/tutorial.md was made this way. Folders below a leaf (out_of_scope/shirts)
change nothing.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from cascade.data.dataset import read_labelled_folder
from cascade.taxonomy import Taxonomy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sheet", type=Path, help="CSV written by `review sheet`")
    parser.add_argument("folder", type=Path, help="the pictures, in folders that are labels")
    arguments = parser.parse_args()
    items = read_labelled_folder(arguments.folder, Taxonomy.load())
    truth = {str(Path(item.path).resolve()): item.label for item in items}
    with arguments.sheet.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        header, lines = reader.fieldnames or [], list(reader)
    for line in lines:
        label = truth[str(Path(line["path"]).resolve())]
        line["correct_label"] = "ok" if label == line["label"] else label
    with arguments.sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
