"""Output of img2dataset and ImageFolders: real files of img2dataset 1.47.0, our own exports.

The folders in `img2dataset/` were written by ``img2dataset --url_list urls.csv --input_format csv
--url_col url --save_additional_columns '["shop"]' --image_size 128`` against a local site of two
drawings, whose third address was absent.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from db.catalogue import Catalogue
from db.queries import Filter, rows
from db.records import NOT_DOWNLOADED, Row
from tests.commands.running import run
from tests.worker.crawls import MODEL_NAME, write_crawl

OUTPUT = Path(__file__).parent / "img2dataset"
SITE = "http://127.0.0.1:8931"


def labelled(folder: Path, url: str, exit_code: int = 0, command: str = "label") -> dict[str, Row]:
    run(command, str(folder), "--model", MODEL_NAME, "--catalogue", url, exit_code=exit_code)
    catalogue = Catalogue.open(url)
    try:
        return {row.path: row for row in rows(catalogue.engine, Filter())}
    finally:
        catalogue.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalogue.db'}"


@pytest.fixture
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(OUTPUT / request.param, tmp_path / "spring"))


@pytest.mark.parametrize(
    ("output", "between"),
    [("files", "00000/"), ("webdataset", "00000.tar!/")],
    indirect=["output"],
)
def test_output_of_img2dataset_is_labelled_where_it_lies(
    output: Path, between: str, url: str
) -> None:
    before = sorted(output.rglob("*"))
    found = labelled(output, url, exit_code=1)
    expected = {
        f"{output}/{between}000000000.jpg": ("labelled", f"{SITE}/0.jpg", "a", None, None),
        f"{output}/{between}000000001.jpg": ("labelled", f"{SITE}/1.jpg", "b", None, None),
        f"{output}/{between}000000002.jpg": (
            *("rejected", f"{SITE}/none.jpg", "c", NOT_DOWNLOADED),
            "failed_to_download: HTTP Error 404: File not found",
        ),
    }
    assert {p: (r.status, r.url, r.shop, r.reason, r.detail) for p, r in found.items()} == expected
    assert sorted(output.rglob("*")) == before  # nothing was unpacked


@pytest.mark.parametrize("output", ["webdataset"], indirect=True)
def test_a_shard_that_is_not_finished_waits(output: Path, url: str) -> None:
    for path in output.iterdir():
        shutil.copy(path, output / path.name.replace("00000", "00001"))
    (output / "00001_stats.json").unlink()
    assert len(labelled(output, url, exit_code=1)) == 3


@pytest.mark.parametrize("output", ["webdataset"], indirect=True)
def test_another_output_format_is_refused(output: Path, url: str) -> None:
    (output / "00000.tar").unlink()
    given = ["--model", MODEL_NAME, "--catalogue", url]
    done = run("label", str(output), *given, exit_code=2)
    assert "run img2dataset with --output_format files or webdataset" in done.stderr


@pytest.mark.parametrize("output", ["webdataset"], indirect=True)
def test_what_was_forgotten_stays_away(output: Path, url: str) -> None:
    path = sorted(labelled(output, url, exit_code=1))[0]
    run("forget", "--path", path, "--yes", "--catalogue", url)
    assert path not in labelled(output, url, exit_code=1)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_metadata_of_an_image_folder_names_its_pictures(
    ending: str, tmp_path: Path, url: str
) -> None:
    folder = tmp_path / "spring"
    one, other = write_crawl(folder / "train", 2)
    about = [("train/00000.png", "asos", "p1"), ("train/absent.png", "zara", "p2")]
    columns = ("file_name", "shop", "product_id")
    texts = {
        "csv": "\n".join(map(",".join, (columns, *about))),
        "jsonl": "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in about),
    }
    (folder / f"metadata.{ending}").write_text(texts[ending], encoding="utf-8")
    found = labelled(folder, url, exit_code=1)
    assert {path: (row.shop, row.product_id, row.reason) for path, row in found.items()} == {
        str(one): ("asos", "p1", None),
        str(other): (None, None, None),
        f"{folder}/train/absent.png": ("zara", "p2", "missing"),
    }


def test_an_own_export_comes_back_with_its_shops(tmp_path: Path, url: str) -> None:
    write_crawl(tmp_path / "crawl" / "asos", 2)
    given = ["--model", MODEL_NAME, "--catalogue", url]
    run("label", str(tmp_path / "crawl"), "--shop-from", "folder", *given)
    target = tmp_path / "out"
    run("export", str(target), "--format", "imagefolder", "--links", "copy", "--catalogue", url)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert [row.shop for row in labelled(target, other).values()] == ["asos", "asos"]


def test_metadata_is_a_training_manifest(tmp_path: Path) -> None:
    from cascade.data.dataset import read_labelled_manifest

    write_crawl(tmp_path, 1)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "00000.png", "label": "a/b"}\n')
    (item,) = read_labelled_manifest(tmp_path / "metadata.jsonl", None)
    assert (item.path, item.label) == (str(tmp_path / "00000.png"), "a/b")
