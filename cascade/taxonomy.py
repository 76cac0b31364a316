"""The tree of labels, read from a file.

A label is the path of a node from below the root: ``shoes/female/sandals``. The file lists the
nodes with their parents. The order of the leaves in the file is the order of their indexes. The
code knows none of the names, so any other tree works the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade.decisions import Decision, DecisionSet
from cascade.errors import TaxonomyError

FORMAT = 1
LEVELS = ("category", "gender", "type")
UNKNOWN = "?"  # an unknown part of a label: shoes/?/boots
SHIPPED = Path(__file__).with_name("fashion_taxonomy.json")


@dataclass(frozen=True)
class Node:
    """A node: its path, its parent's path (None: the root) and its level, a catalogue column."""

    path: str
    parent: str | None
    level: str | None


@dataclass(frozen=True)
class Taxonomy:
    """A validated tree. ``nodes`` are in file order, without the root.

    ``out_of_scope`` is the leaf that means "none of these", or None if the tree has no such leaf.
    """

    nodes: tuple[Node, ...]
    out_of_scope: str | None

    @classmethod
    def load(cls, path: str | Path = SHIPPED) -> Taxonomy:
        """Read and validate a taxonomy file. Raises ``TaxonomyError``, naming the file."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise TaxonomyError(f"{path}: cannot be read as a taxonomy: {error}") from error
        try:
            return cls.from_json(data)
        except TaxonomyError as error:
            raise TaxonomyError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, data: Any) -> Taxonomy:
        """Build from the file's content. Raises ``TaxonomyError`` if it is not valid."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise TaxonomyError(f'expected an object with "format": {FORMAT}')
        entries = _entries(data.get("nodes"))
        roots = [identity for identity, entry in entries.items() if entry["parent"] is None]
        if len(roots) != 1:
            raise TaxonomyError(f"expected one root (a node with parent null), found {len(roots)}")
        nodes = tuple(_node(identity, entries) for identity in entries if identity != roots[0])
        paths = [node.path for node in nodes]
        for path in paths:
            if paths.count(path) > 1:
                raise TaxonomyError(f"the path {path!r} occurs twice; expected unique paths")
        taxonomy = cls(nodes, data.get("out_of_scope"))
        if taxonomy.out_of_scope is not None and taxonomy.out_of_scope not in taxonomy.leaves:
            raise TaxonomyError(f"out_of_scope {taxonomy.out_of_scope!r} is not a leaf of the tree")
        if len(taxonomy.leaves) < 2:
            raise TaxonomyError("a tree needs at least two leaves to decide between")
        return taxonomy

    @classmethod
    def from_labels(cls, labels: Sequence[str], out_of_scope: str | None = None) -> Taxonomy:
        """Build the smallest tree that has these leaves, in sorted order.

        The first level is the category and the leaf below it is the type. Levels in between have no
        catalogue column of their own; only the label holds them. A taxonomy file can assign one.
        """
        paths = sorted({label for label in labels if label != out_of_scope})
        if out_of_scope is not None:
            paths.append(out_of_scope)
        nodes: list[dict[str, Any]] = [{"id": "", "parent": None, "name": "root"}]
        known = {""}
        leaves = set(paths)
        for path in paths:
            parent = ""
            for identity in lineage(path):
                if identity not in known:
                    known.add(identity)
                    level = "type" if identity in leaves else None
                    level = level if parent else "category"
                    name = _name(identity)
                    nodes.append({"id": identity, "parent": parent, "name": name, "level": level})
                parent = identity
        return cls.from_json({"format": FORMAT, "nodes": nodes, "out_of_scope": out_of_scope})

    def to_json(self) -> dict[str, Any]:
        """The file's content. ``from_json`` turns it back into an equal tree."""
        nodes: list[dict[str, Any]] = [{"id": "", "parent": None, "name": "root"}]
        for node in self.nodes:
            entry = {"id": node.path, "parent": node.parent or "", "name": _name(node.path)}
            nodes.append(entry | ({"level": node.level} if node.level else {}))
        return {"format": FORMAT, "out_of_scope": self.out_of_scope, "nodes": nodes}

    @cached_property
    def by_path(self) -> dict[str, Node]:
        return {node.path: node for node in self.nodes}

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The paths of all leaves, in index order."""
        parents = {node.parent for node in self.nodes}
        return tuple(node.path for node in self.nodes if node.path not in parents)

    def children(self, path: str | None) -> tuple[str, ...]:
        """The paths directly below ``path`` (None: below the root), in file order."""
        return tuple(node.path for node in self.nodes if node.parent == path)

    def leaves_below(self, path: str) -> tuple[str, ...]:
        """The leaves below a node, in index order. For a leaf: the leaf itself."""
        return tuple(leaf for leaf in self.leaves if leaf == path or leaf.startswith(path + "/"))

    def nodes_by_depth(self, category: str) -> list[list[str]]:
        """A category's nodes, deepest level first: the order in which a label tries to stop."""
        depths: dict[int, list[str]] = {}
        for node in self.nodes:
            if self.category(node.path) == category:
                depths.setdefault(node.path.count("/"), []).append(node.path)
        return [depths[depth] for depth in sorted(depths, reverse=True)]

    def category(self, path: str) -> str:
        """The first part of a path, which the primary decision chooses."""
        return path.split("/", 1)[0]

    def levels(self, path: str) -> dict[str, str | None]:
        """A label's category, gender and type, None where absent: columns of the catalogue."""
        columns: dict[str, str | None] = dict.fromkeys(LEVELS)
        for node in map(self.by_path.__getitem__, lineage(path)):
            if node.level is not None:
                columns[node.level] = _name(node.path)
        return columns

    def decisions(self, form: str = "combined") -> DecisionSet:
        """The decisions of a cascade over this tree, the primary one (node ``""``) first.

        Args:
            form: ``combined`` has one decision for each category, between all its leaves.
                ``hierarchical`` has one for each inner node, between its children (gender, then
                type by gender).
        """
        primary = Decision("", self.children(None))
        if form == "combined":
            inner = [
                Decision(path, self.leaves_below(path))
                for path in primary.outcomes
                if path not in self.leaves
            ]
        elif form == "hierarchical":
            inner = [
                Decision(node.path, self.children(node.path))
                for node in self.nodes
                if node.path not in self.leaves
            ]
        else:
            raise ValueError(f"form: expected 'combined' or 'hierarchical', received {form!r}")
        return DecisionSet((primary, *inner))

    def parse(self, text: str) -> str:
        """The path of a label in any accepted spelling, of a leaf or an inner node.

        ``shoes/female/sandals`` and the older ``shoes-Female-sandals`` are the same label. Raises
        ``TaxonomyError`` if there is no such node.
        """
        path = self._spellings.get(_spelling(text))
        if path is None:
            raise TaxonomyError(
                f"unknown label {text!r}; expected one like {self.leaves[0]!r} "
                "(fashion-cascade taxonomy lists them)"
            )
        return path

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {_spelling(node.path): node.path for node in self.nodes}

    def compatible_leaves(self, label: str) -> tuple[str, ...]:
        """The leaves that fit a label with unknown parts (``shoes/?/boots``), in index order.

        Raises ``TaxonomyError`` if no leaf fits.
        """
        if UNKNOWN not in label.split("/"):
            return self.leaves_below(self.parse(label))
        wanted = [_spelling(part) for part in label.split("/")]
        found = tuple(
            leaf
            for leaf in self.leaves
            if len(parts := leaf.split("/")) == len(wanted)
            and all(
                want in (UNKNOWN, _spelling(part)) for want, part in zip(wanted, parts, strict=True)
            )
        )
        if not found:
            raise TaxonomyError(f"no leaf fits the partly known label {label!r}")
        return found


def lineage(path: str) -> tuple[str, ...]:
    """A node and all nodes above it, from the top down, without the root."""
    parts = path.split("/")
    return tuple("/".join(parts[: depth + 1]) for depth in range(len(parts)))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _spelling(text: str) -> str:
    """A label in normal form: equal for all spellings of the same label."""
    return text.strip().strip("/").casefold().replace("-", "/")


def _entries(nodes: Any) -> dict[str, dict[str, Any]]:
    """The file's nodes by id, each field checked."""
    if not isinstance(nodes, Sequence) or isinstance(nodes, str) or not nodes:
        raise TaxonomyError('expected a list "nodes" of objects with id, parent and name')
    entries: dict[Any, dict[str, Any]] = {}
    for number, entry in enumerate(nodes):
        if not isinstance(entry, Mapping) or not {"id", "parent", "name"} <= entry.keys():
            raise TaxonomyError(f"node {number}: expected an object with id, parent and name")
        if not isinstance(entry["id"], str | int) or not isinstance(
            entry["parent"], str | int | None
        ):
            raise TaxonomyError(
                f"node {number}: expected a text or a number as id and parent (null for the root), "
                f"received {entry['id']!r} and {entry['parent']!r}"
            )
        name = entry["name"]
        if not isinstance(name, str) or not name or "/" in name or name == UNKNOWN:
            raise TaxonomyError(
                f"node {number}: expected a name without '/' (and not {UNKNOWN!r}), "
                f"received {name!r}"
            )
        if entry.get("level") not in (None, *LEVELS):
            raise TaxonomyError(
                f"node {number}: expected a level of {', '.join(LEVELS)}, "
                f"received {entry['level']!r}"
            )
        if entry["id"] in entries:
            raise TaxonomyError(f"the id {entry['id']!r} occurs twice; expected unique ids")
        entries[entry["id"]] = dict(entry)
    return entries


def _node(identity: str, entries: Mapping[str, Mapping[str, Any]]) -> Node:
    """Build a node. Its path is the names from below the root down to it."""
    names: list[str] = []
    seen: set[str] = set()
    current = identity
    while (parent := entries[current]["parent"]) is not None:
        if current in seen:
            raise TaxonomyError(
                f"the parents of {identity!r} form a cycle; expected a chain up to the root"
            )
        if parent not in entries:
            raise TaxonomyError(f"the parent {parent!r} of {current!r} is not in the file; add it")
        seen.add(current)
        names.append(entries[current]["name"])
        current = parent
    names.reverse()
    above = "/".join(names[:-1]) or None
    return Node("/".join(names), above, entries[identity].get("level"))
