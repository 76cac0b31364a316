"""`label --features` keeps vectors; what was labelled without gets one later."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from cascade.drawings import write_sample_crawl
from tests.commands.running import lines, run


def vectors() -> list[tuple[str, str, bytes]]:
    with closing(sqlite3.connect("catalogue.db")) as connection:
        query = "SELECT content_hash, digest, vector FROM features ORDER BY content_hash"
        return connection.execute(query).fetchall()


def test_label_keeps_vectors_also_of_what_was_labelled_before(
    adaptable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample_crawl("spring", 2, 41, junk=False, labelled=True)
    (first,) = Path("spring/shoes/male/boots").glob("0001.jpg")
    shutil.copy(first, first.with_name("twin.jpg"))
    asked = ("label", "spring", "--model", str(adaptable_bundle))
    run(*asked)
    assert vectors() == []
    done = run(*asked, "--features")
    assert "labelled before got a vector" in done.stderr
    with closing(sqlite3.connect("catalogue.db")) as connection:
        query = "SELECT count(DISTINCT content_hash) FROM catalogue WHERE status = 'labelled'"
        (pictures,) = connection.execute(query).fetchone()
    before = vectors()
    assert len(before) == pictures > 20
    assert len({digest for _, digest, _ in before}) == 1
    assert "got a vector" not in run(*asked, "--features").stderr
    # a catalogue that has them from the start has the same
    monkeypatch.setenv("FASHION_CASCADE_FEATURES", "true")
    run(*asked, "--catalogue", "sqlite:///other.db")
    shutil.copy("other.db", "catalogue.db")
    assert vectors() == before
    constant = run("label", "spring", "--model", "constant:shoes/male/boots", exit_code=5)
    assert "no vectors" in constant.stderr


def test_query_finds_similar_pictures_and_near_duplicates(
    adaptable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CASCADE_MODEL", str(adaptable_bundle))
    write_sample_crawl("spring", 2, 41, junk=False, labelled=True)
    boots = Path("spring/shoes/male/boots/0001.jpg")
    with Image.open(boots) as picture:
        larger = picture.resize((2 * picture.width, 2 * picture.height))
    larger.save(boots.with_name("larger.png"))
    run("label", "spring", "--features")
    write_sample_crawl("late", 1, 42, junk=False, labelled=True)
    run("label", "late")  # without

    asked = ("query", "--similar-to", str(boots), "--format", "jsonl")
    done = run(*asked, "--limit", "3")
    found = lines(done)
    assert "without a vector of this model" in done.stderr
    assert Path(found[0]["path"]).name == "larger.png"
    assert found[0]["similarity"] > 0.9
    assert [each["similarity"] for each in found] == sorted(
        (each["similarity"] for each in found), reverse=True
    )
    assert str(boots.resolve()) not in {each["path"] for each in found}  # itself
    # a file that the catalogue does not have
    copy = tmp_path / "elsewhere.jpg"
    larger.save(copy, quality=90)
    (best,) = lines(run("query", "--similar-to", str(copy), "--format", "jsonl", "--limit", "1"))
    assert Path(best["path"]).name in {"larger.png", "0001.jpg"}
    only = lines(run(*asked, "--path", "*/glasses/*", "--limit", "500"))
    assert len(only) == 4 and all("/glasses/" in each["path"] for each in only)
    assert not lines(run(*asked, "--crawl", "late"))

    groups = lines(run("query", "--near-duplicates", "--format", "jsonl", "--crawl", "spring"))
    mine = [each["group"] for each in groups if "shoes/male/boots" in each["path"]]
    pair = [each for each in groups if each["group"] in mine]
    assert {"larger.png", "0001.jpg"} <= {Path(each["path"]).name for each in pair}

    text = tmp_path / "no-picture.jpg"
    text.write_text("text")
    assert "expected a picture" in run("query", "--similar-to", str(text), exit_code=2).stderr
    both = run(*asked, "--order-by", "confidence", exit_code=2)
    assert "have their own order" in both.stderr


def test_pick_reads_no_file_that_has_a_vector(
    adaptable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_CASCADE_MODEL", str(adaptable_bundle))
    write_sample_crawl("spring", 3, 41, junk=False, labelled=True)
    (first,) = Path("spring/shoes/male/boots").glob("0001.jpg")
    for number in range(6):
        with Image.open(first) as picture:
            picture.save(first.with_name(f"twin{number}.png"))
    run("label", "spring", "--features")
    asked = ("review", "pick", "--crawl", "spring", "--limit", "24", "--format", "jsonl")
    found = lines(run(*asked, "--random-share", "0"))
    assert len({each["id"] for each in found}) == 24
    assert sum("twin" in each["path"] or str(first) in each["path"] for each in found) <= 1
    shutil.rmtree("spring")
    assert lines(run(*asked, "--random-share", "0")) == found
    assert [each["note"] for each in lines(run(*asked))].count("random") == 6
