"""A bundle: one folder that holds a trained cascade, and nothing that could run code.

    manifest.json         format, the hash of each file, versions, training data, figures
    taxonomy.json         the tree of labels
    preprocessing.json    how a file becomes a tensor
    decisions.json        form, the decisions, and each one's network
    calibration.json      temperatures by decision, thresholds by node, the decoding
    networks/N.json       a network's layers, as Keras writes them
    networks/N.npz        its weights, float16, by variable path
    MODEL_CARD.md         for people
    backends/NAME/N...    optional: the same networks for other runtimes

The version of a model is a hash over what decides its labels: every file's content, but for the
card and for ``backends/``, which are other ways of computing the same. Weights are plain arrays (no
pickle), layers come from a fixed list (no Lambda), and each file is checked against its hash before
it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade.decisions import Decision, DecisionSet
from cascade.errors import BundleError, BundleTampered
from cascade.pictures.decode import Preprocessing
from cascade.routing import THRESHOLDS, Routing
from cascade.taxonomy import Taxonomy

FORMAT = 1
MANIFEST = "manifest.json"
SHIPPED = Path(__file__).with_name("default_bundle")
UNHASHED = {MANIFEST}
MODEL_CARD = "MODEL_CARD.md"
BACKENDS = "backends/"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. Networks are read on demand by ``cascade.networks.serialisation``."""

    folder: Path
    manifest: Mapping[str, Any]
    version: str

    @classmethod
    def open(cls, folder: str | Path = SHIPPED, verify: bool = True) -> Bundle:
        """Open a bundle and check each file's hash.

        ``verify=False`` reads the manifest alone: enough to know the version, in milliseconds.
        Raises ``BundleError`` for what is no bundle and ``BundleTampered`` for a changed file.
        """
        folder = Path(folder)
        manifest = _load_manifest(folder)
        files: Mapping[str, str] = manifest["files"]
        for name in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise BundleError(f"{folder}: the manifest names a file outside: {name!r}")
        bundle = cls(folder, manifest, version_of(files))
        if verify:
            bundle.verify()
        return bundle

    def verify(self) -> None:
        """Check every file against the manifest; raises ``BundleTampered`` naming the first."""
        for name, expected in self.manifest["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise BundleTampered(f"{path}: missing; copy the bundle again or train a new one")
            found = hash_file(path)
            if found != expected:
                raise BundleTampered(
                    f"{path}: its hash is {found[:12]}…, the manifest says {expected[:12]}…; "
                    "the file was changed after the bundle was made: copy the bundle again"
                )

    @cached_property
    def taxonomy(self) -> Taxonomy:
        return Taxonomy.load(self.folder / "taxonomy.json")

    @cached_property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing.from_json(self._json("preprocessing.json"))

    @cached_property
    def routing(self) -> Routing:
        calibration = self._json("calibration.json")
        return Routing(
            self.taxonomy,
            self.decisions,
            temperatures=calibration.get("temperatures", {}),
            thresholds=calibration.get("thresholds", {}),
            decoding=calibration.get("decoding", THRESHOLDS),
        )

    @cached_property
    def decisions(self) -> DecisionSet:
        entries = self._json("decisions.json")["decisions"]
        return DecisionSet(Decision(entry["node"], tuple(entry["outcomes"])) for entry in entries)

    @cached_property
    def decisions_of_network(self) -> tuple[DecisionSet, ...]:
        """For each network, the decisions that it answers, in the order of its output."""
        entries = self._json("decisions.json")["decisions"]
        numbers = [int(entry["network"]) for entry in entries]
        return tuple(
            DecisionSet(d for d, own in zip(self.decisions, numbers, strict=True) if own == number)
            for number in range(max(numbers) + 1)
        )

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{self.folder / name}: cannot be read: {error}") from error


@dataclass(frozen=True)
class BundleParts:
    """What ``write`` needs beside the networks' own files."""

    taxonomy: Taxonomy
    preprocessing: Preprocessing
    form: str
    decisions: DecisionSet
    network_of_decision: Sequence[int]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decoding: str = THRESHOLDS
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    model_card: str = ""


def write_parts(folder: Path, parts: BundleParts) -> None:
    """Write everything but the networks and the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    decisions = [
        {"node": decision.node, "outcomes": list(decision.outcomes), "network": network}
        for decision, network in zip(parts.decisions, parts.network_of_decision, strict=True)
    ]
    write_json(folder / "taxonomy.json", parts.taxonomy.to_json())
    write_json(folder / "preprocessing.json", parts.preprocessing.to_json())
    write_json(folder / "decisions.json", {"form": parts.form, "decisions": decisions})
    routing = Routing(
        parts.taxonomy,
        parts.decisions,
        parts.temperatures,
        parts.thresholds,
        parts.decoding,
    )
    write_calibration(folder, routing)
    (folder / MODEL_CARD).write_text(parts.model_card, encoding="utf-8")


def write_calibration(folder: Path, routing: Routing) -> None:
    """Write ``calibration.json``: temperatures, thresholds, and how a label is chosen."""
    calibration = {
        "temperatures": dict(routing.temperatures),
        "thresholds": dict(routing.thresholds),
        "decoding": routing.decoding,
    }
    write_json(folder / "calibration.json", calibration)


def seal(folder: Path, training: Mapping[str, Any], figures: Mapping[str, Any]) -> Bundle:
    """Write the manifest over the files that lie in ``folder`` now, and open the result."""
    files = {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() not in UNHASHED
    }
    backends = sorted({name.split("/")[1] for name in files if name.startswith(BACKENDS)})
    manifest = {
        "format": FORMAT,
        "version": version_of(files),
        "files": files,
        "versions": _library_versions(),
        "backends": ["tensorflow", *backends],
        "training": dict(training),
        "figures": dict(figures),
    }
    write_json(folder / MANIFEST, manifest)
    return Bundle.open(folder)


def add_card_section(folder: Path, title: str, text: str) -> Bundle:
    """Put a section of Markdown behind a bundle's card; the model's version stays.

    ``title`` comes without its number signs; a section that has it already is replaced.
    """
    manifest = Bundle.open(folder).manifest
    card = folder / MODEL_CARD
    heading = f"## {title}"
    sections = re.split(r"^(?=## )", card.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kept = [each for each in sections if each.partition("\n")[0] != heading]
    before = "".join(kept).rstrip("\n")
    card.write_text(f"{before}\n\n{heading}\n\n{text.strip()}\n", encoding="utf-8")
    return seal(folder, manifest.get("training", {}), manifest.get("figures", {}))


def version_of(files: Mapping[str, str]) -> str:
    """The model version: a hash over the names and hashes of the files that decide the labels.

    The same networks converted for another runtime are the same model, and so is one whose card was
    rewritten: neither makes anybody label a catalogue again.
    """
    deciding = sorted(n for n in files if n != MODEL_CARD and not n.startswith(BACKENDS))
    text = "\n".join(f"{name} {files[name]}" for name in deciding)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """JSON as people read it, with a line feed at the end."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _load_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder}: no bundle there ({MANIFEST} is missing); "
            "name the folder that `fashion-cascade train` wrote, or leave --model out"
        ) from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(
            f"{path}: expected a bundle of format {FORMAT}, received "
            f"{manifest.get('format') if isinstance(manifest, dict) else type(manifest).__name__!r}"
            "; use the release that wrote it, or train a new bundle"
        )
    if not isinstance(manifest.get("files"), dict):
        raise BundleError(f'{path}: expected "files", the hash of each file by name')
    return manifest


def _library_versions() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in ("fashion-cascade", "keras", "tensorflow", "ai-edge-litert", "numpy", "pillow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
