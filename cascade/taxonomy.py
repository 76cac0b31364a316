"""The tree of labels, read from a file.

A label is a path of names below the root, ``shoes/female/sandals``. The file lists the nodes with
their parents; the order of the leaves in the file is the order of their indexes for ever. No name
in it is known to the code: another tree works the same.
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
UNKNOWN = "?"  # a part of a label that is not known: shoes/?/boots
SHIPPED = Path(__file__).with_name("fashion_taxonomy.json")


@dataclass(frozen=True)
class Node:
    """One node: its path from below the root, its parent's path, and the catalogue's column."""

    path: str
    parent: str | None
    level: str | None


@dataclass(frozen=True)
class Taxonomy:
    """A validated tree. ``nodes`` are in file order, without the root.

    ``out_of_scope`` is the leaf that answers "none of these", or None if the tree has no such leaf.
    """

    nodes: tuple[Node, ...]
    out_of_scope: str | None

    @classmethod
    def load(cls, path: str | Path = SHIPPED) -> Taxonomy:
        """Read and validate a taxonomy file. Raises ``TaxonomyError``, naming the file."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TaxonomyError(f"{path}: cannot be read as a taxonomy: {error}") from error
        try:
            return cls.from_json(data)
        except TaxonomyError as error:
            raise TaxonomyError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, data: Any) -> Taxonomy:
        """Build from the file's content. Raises ``TaxonomyError`` saying what is wrong."""
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
                raise TaxonomyError(f"the path {path!r} stands twice")
        taxonomy = cls(nodes, data.get("out_of_scope"))
        if taxonomy.out_of_scope is not None and taxonomy.out_of_scope not in taxonomy.leaves:
            raise TaxonomyError(f"out_of_scope {taxonomy.out_of_scope!r} is not a leaf of the tree")
        if len(taxonomy.leaves) < 2:
            raise TaxonomyError("a tree needs at least two leaves to decide between")
        return taxonomy

    @classmethod
    def from_labels(cls, labels: Sequence[str], out_of_scope: str | None = None) -> Taxonomy:
        """Build the tree of a folder of folders, in sorted order.

        The first level is the category and the leaf below it the type; what stands between has no
        column of its own in the catalogue (the label holds it), unless a taxonomy file says so.
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
        """The file's content; ``from_json`` reads it back to an equal tree."""
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
        """The leaves below a node, in index order; a leaf answers with itself."""
        return tuple(leaf for leaf in self.leaves if leaf == path or leaf.startswith(path + "/"))

    def nodes_by_depth(self, category: str) -> list[list[str]]:
        """A category's nodes, deepest level first: the order in which a label tries to stop."""
        depths: dict[int, list[str]] = {}
        for node in self.nodes:
            if self.category(node.path) == category:
                depths.setdefault(node.path.count("/"), []).append(node.path)
        return [depths[depth] for depth in sorted(depths, reverse=True)]

    def category(self, path: str) -> str:
        """The top of a path: what the primary network decides."""
        return path.split("/", 1)[0]

    def levels(self, path: str) -> dict[str, str | None]:
        """The catalogue's columns of a label: category, gender and type, None where absent."""
        columns: dict[str, str | None] = dict.fromkeys(LEVELS)
        for node in map(self.by_path.__getitem__, lineage(path)):
            if node.level is not None:
                columns[node.level] = _name(node.path)
        return columns

    def decisions(self, form: str = "combined") -> DecisionSet:
        """The questions of a cascade over this tree, the primary one (node ``""``) first.

        ``combined``: below each category one network decides over all its leaves.
        ``hierarchical``: each inner node is a question of its own (gender, then type by gender).
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
        """The path that a label means, however it is written.

        ``shoes/female/sandals`` and the older ``shoes-Female-sandals`` are the same label, and so
        is ``glasses-optical``. Inner nodes count as well. Raises ``TaxonomyError`` if there is no
        such node.
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
        """The leaves that fit a label of which parts may be unknown: ``shoes/?/boots``.

        Raises ``TaxonomyError`` if none fits.
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
    """What two ways of writing a label have in common."""
    return text.strip().strip("/").casefold().replace("-", "/")


def _entries(nodes: Any) -> dict[str, dict[str, Any]]:
    """The file's nodes by id, each field checked."""
    if not isinstance(nodes, Sequence) or isinstance(nodes, str) or not nodes:
        raise TaxonomyError('expected a list "nodes" of objects with id, parent and name')
    entries: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(nodes):
        if not isinstance(entry, Mapping) or not {"id", "parent", "name"} <= entry.keys():
            raise TaxonomyError(f"node {number}: expected an object with id, parent and name")
        name = entry["name"]
        if not isinstance(name, str) or not name or "/" in name or name == UNKNOWN:
            raise TaxonomyError(f"node {number}: a name is text without '/', received {name!r}")
        if entry.get("level") not in (None, *LEVELS):
            raise TaxonomyError(
                f"node {number}: level is one of {', '.join(LEVELS)}; received {entry['level']!r}"
            )
        if entry["id"] in entries:
            raise TaxonomyError(f"the id {entry['id']!r} stands twice")
        entries[entry["id"]] = dict(entry)
    return entries


def _node(identity: str, entries: Mapping[str, Mapping[str, Any]]) -> Node:
    """Follow the parents up to the root; the names on the way are the path."""
    names: list[str] = []
    seen: set[str] = set()
    current = identity
    while (parent := entries[current]["parent"]) is not None:
        if current in seen:
            raise TaxonomyError(f"the parents of {identity!r} run in a circle")
        if parent not in entries:
            raise TaxonomyError(f"the parent {parent!r} of {current!r} is not in the file")
        seen.add(current)
        names.append(entries[current]["name"])
        current = parent
    names.reverse()
    above = "/".join(names[:-1]) or None
    return Node("/".join(names), above, entries[identity].get("level"))
