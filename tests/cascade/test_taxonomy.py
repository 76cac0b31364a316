"""The tree of labels: valid files, and the spellings of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cascade.errors import TaxonomyError
from cascade.taxonomy import Taxonomy

SHIPPED_LEAVES = """
glasses/optical glasses/sunglasses
trousers_jeans/female/jeans trousers_jeans/female/trousers
trousers_jeans/male/jeans trousers_jeans/male/trousers
shoes/male/boots shoes/male/trainers_sneakers shoes/male/sandals shoes/male/formal shoes/male/other
shoes/female/boots shoes/female/ballerina shoes/female/trainers_sneakers shoes/female/sandals
shoes/female/high_heels shoes/female/other
out_of_scope
""".split()


def tree(*nodes: tuple[Any, Any, str], **more: Any) -> dict[str, Any]:
    entries = [{"id": i, "parent": parent, "name": name} for i, parent, name in nodes]
    return {"format": 1, "nodes": entries, **more}


def test_the_shipped_tree_has_the_17_leaves_and_out_of_scope_in_fixed_order() -> None:
    assert list(Taxonomy.load().leaves) == SHIPPED_LEAVES


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "format"),
        ({"format": 2, "nodes": []}, "format"),
        ({"format": 1}, "nodes"),
        (tree(("a", None, "a"), ("b", None, "b")), "one root"),
        (tree(("a", "b", "a"), ("b", "a", "b")), "one root"),
        (tree(("r", None, "r"), ("a", "b", "a"), ("b", "a", "b")), "cycle"),
        (tree(("r", None, "r"), ("a", "x", "a")), "'x'"),
        (tree(("r", None, "r"), ("a", "r", "same"), ("b", "r", "same")), "twice"),
        (tree(("r", None, "r"), ("a", "r", "a"), ("a", "r", "b")), "twice"),
        (tree(("r", None, "r"), ("a", "r", "a/b")), "without '/'"),
        (tree(("r", None, "r"), ("a", "r", "?")), "without '/'"),
        (tree(("r", None, "r"), (["a"], "r", "a")), "node 1.*id and parent"),
        (tree(("r", None, "r"), ("a", {"r": 1}, "a")), "node 1.*id and parent"),
        (tree(("r", None, "r"), ("a", "r", "a")), "two leaves"),
        (tree(("r", None, "r"), ("a", "r", "a"), ("b", "r", "b"), out_of_scope="c"), "'c'"),
    ],
)
def test_an_invalid_taxonomy_is_refused_with_its_file(tmp_path: Path, data: Any, says: str) -> None:
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(data))
    with pytest.raises(TaxonomyError, match=says) as caught:
        Taxonomy.load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_text("[" * 100_000)
    with pytest.raises(TaxonomyError, match="cannot be read"):
        Taxonomy.load(path)


def test_a_missing_or_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="nothing.json"):
        Taxonomy.load(tmp_path / "nothing.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(TaxonomyError, match="broken.json"):
        Taxonomy.load(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shoes/female/sandals", "shoes/female/sandals"),
        ("shoes-Female-sandals", "shoes/female/sandals"),
        ("Shoes-Female-high_heels", "shoes/female/high_heels"),
        ("glasses-optical", "glasses/optical"),
        ("trousers_jeans-Male-jeans", "trousers_jeans/male/jeans"),
        ("shoes/female", "shoes/female"),
        (" shoes/ ", "shoes"),
    ],
)
def test_all_spellings_of_a_label_are_read(written: str, meant: str) -> None:
    assert Taxonomy.load().parse(written) == meant


def test_an_unknown_label_is_refused_with_an_example() -> None:
    with pytest.raises(TaxonomyError, match="hats.*glasses/optical"):
        Taxonomy.load().parse("hats")


def test_levels_are_the_columns_of_the_catalogue() -> None:
    levels = Taxonomy.load().levels
    assert levels("shoes/female/sandals") == {
        "category": "shoes",
        "gender": "female",
        "type": "sandals",
    }
    assert levels("glasses/optical") == {"category": "glasses", "gender": None, "type": "optical"}
    assert levels("shoes/female")["type"] is None
    assert levels("out_of_scope")["category"] == "out_of_scope"


def test_a_partly_known_label_fits_the_leaves_that_agree() -> None:
    fits = Taxonomy.load().compatible_leaves
    assert fits("shoes/?/boots") == ("shoes/male/boots", "shoes/female/boots")
    assert fits("trousers_jeans/female") == (
        "trousers_jeans/female/jeans",
        "trousers_jeans/female/trousers",
    )
    with pytest.raises(TaxonomyError, match="hats"):
        fits("shoes/?/hats")


def test_decisions_in_both_forms() -> None:
    taxonomy = Taxonomy.load()
    combined = {d.node: len(d.outcomes) for d in taxonomy.decisions()}
    assert combined == {"": 4, "glasses": 2, "trousers_jeans": 4, "shoes": 11}
    separate = {d.node: len(d.outcomes) for d in taxonomy.decisions("hierarchical")}
    assert separate == {
        **{"": 4, "glasses": 2, "trousers_jeans": 2, "shoes": 2},
        **{"trousers_jeans/female": 2, "trousers_jeans/male": 2},
        **{"shoes/male": 5, "shoes/female": 6},
    }
    with pytest.raises(ValueError, match="flat"):
        taxonomy.decisions("flat")


def test_another_tree_works_the_same_and_round_trips() -> None:
    other = Taxonomy.from_labels(
        ["fruit/apple/red", "fruit/apple/green", "tools/saw", "junk"], "junk"
    )
    assert other.leaves == ("fruit/apple/green", "fruit/apple/red", "tools/saw", "junk")
    assert other.out_of_scope == "junk"
    assert other.levels("fruit/apple/red") == {"category": "fruit", "gender": None, "type": "red"}
    assert Taxonomy.from_json(json.loads(json.dumps(other.to_json()))) == other
