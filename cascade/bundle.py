"""Reads and writes bundles. A bundle is a folder with a trained cascade and no executable code.

    manifest.json         format, hash of each file, versions, training data, figures
    taxonomy.json         the tree of labels
    preprocessing.json    how a file becomes a tensor
    decisions.json        form, the decisions, the network of each decision
    calibration.json      temperatures by decision, thresholds by node, decoding
    networks/N.json       the layers of a network, as Keras writes them
    networks/N.npz        its weights, float16, by variable path
    MODEL_CARD.md         for people
    replay.npz            optional: features of training pictures, for ``cascade.adaptation``
    projection.npz        optional: main directions of features, for ``cascade.projection``
    backends/NAME/N...    optional: the same networks for other runtimes

The model version is a hash of the files that determine the labels. The model card, the
features and ``backends/`` are left out: converted networks are the same model. Weights are plain
arrays (no pickle), layers come from a fixed list (no Lambda), and each file's hash is checked
before use.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cascade.decisions import Decision, DecisionSet, are_decision_entries
from cascade.errors import BundleError, BundleTampered
from cascade.familiarity import Familiarity
from cascade.pictures.decode import Preprocessing
from cascade.routing import DECODINGS, THRESHOLDS, Routing
from cascade.taxonomy import Taxonomy

FORMAT = 1
FORMAT_FAMILIAR = 2  # calibration.json has familiarity, which older programs would not heed
FORMATS = (FORMAT, FORMAT_FAMILIAR)
FAMILIARITY = "familiarity"  # key of calibration.json
MANIFEST = "manifest.json"
SHIPPED = Path(__file__).with_name("default_bundle")
# words that name bundles of this package; a folder of such a name is given as ./accurate
DEFAULT, ACCURATE, AUTO = "default", "accurate", "auto"
NAMED = {DEFAULT: SHIPPED, ACCURATE: SHIPPED}
UNHASHED = {MANIFEST}
MODEL_CARD = "MODEL_CARD.md"
BACKENDS = "backends/"
REPLAY = "replay.npz"
PROJECTION = "projection.npz"


def folder_of(name: str) -> Path:
    """The folder of a bundle: that of a reserved word, or the folder itself.

    Raises ``BundleError`` for the word ``auto``, which no bundle has yet.
    """
    if name == AUTO:
        raise BundleError(
            f"model {AUTO}: the word is kept for a bundle of two networks, which this version does "
            f"not have; name {' or '.join(NAMED)}, or a folder of that name as ./{AUTO}"
        )
    return NAMED.get(name, Path(name))


@dataclass(frozen=True)
class Bundle:
    """An open bundle. ``cascade.networks.serialisation`` reads its networks on demand."""

    folder: Path
    manifest: Mapping[str, Any]
    version: str

    @classmethod
    def open(cls, folder: str | Path = SHIPPED, verify: bool = True) -> Bundle:
        """Open a bundle and check the hash of each file.

        Args:
            folder: The bundle's folder; the shipped one by default.
            verify: False reads only the manifest, which takes milliseconds and tells the version.

        Raises:
            BundleError: The folder is not a bundle of this format.
            BundleTampered: A file is missing or was changed.
        """
        folder = Path(folder)
        manifest = _load_manifest(folder)
        files: Mapping[str, str] = manifest["files"]
        for name in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise BundleError(
                    f"{folder}: the manifest names a file outside the bundle: {name!r}"
                )
        bundle = cls(folder, manifest, version_of(files))
        if verify:
            bundle.verify()
        return bundle

    def verify(self) -> None:
        """Check the hash of every file. Raises ``BundleTampered`` at the first that differs."""
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
        decoding = calibration.get("decoding", THRESHOLDS)
        if decoding not in DECODINGS:
            raise self._invalid("calibration.json", f"a decoding of {', '.join(DECODINGS)}")
        familiarity = None
        if FAMILIARITY in calibration:
            leaves, width = self.taxonomy.leaves, self.decisions.width
            try:
                familiarity = Familiarity.from_json(calibration[FAMILIARITY], leaves, width)
            except ValueError as error:
                raise self._invalid(
                    "calibration.json", f"{FAMILIARITY} with a limit, means and whitening: {error}"
                ) from None
        return Routing(
            self.taxonomy,
            self.decisions,
            temperatures=self._numbers(calibration, "temperatures"),
            thresholds=self._numbers(calibration, "thresholds"),
            decoding=decoding,
            familiarity=familiarity,
        )

    @cached_property
    def decisions(self) -> DecisionSet:
        return DecisionSet(
            Decision(entry["node"], tuple(entry["outcomes"])) for entry in self._decision_entries
        )

    @cached_property
    def decisions_of_network(self) -> tuple[DecisionSet, ...]:
        """The decisions of each network, in the order of its output columns."""
        numbers = [entry["network"] for entry in self._decision_entries]
        return tuple(
            DecisionSet(d for d, own in zip(self.decisions, numbers, strict=True) if own == number)
            for number in range(max(numbers) + 1)
        )

    @cached_property
    def _decision_entries(self) -> list[dict[str, Any]]:
        """The entries of decisions.json, each field checked."""
        entries = self._json("decisions.json").get("decisions")
        if not are_decision_entries(entries):
            raise self._invalid("decisions.json", "decisions with node, outcomes and network")
        return entries

    def _numbers(self, calibration: Mapping[str, Any], name: str) -> dict[str, float]:
        """One mapping of calibration.json from a path to a finite number."""
        numbers = calibration.get(name, {})
        if not isinstance(numbers, dict) or not all(
            type(number) in (int, float) and abs(number) < sys.float_info.max
            for number in numbers.values()
        ):
            raise self._invalid("calibration.json", f"{name} that are finite numbers")
        return numbers

    def _invalid(self, name: str, expected: str) -> BundleError:
        return BundleError(f"{self.folder / name}: expected {expected}; copy the bundle again")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BundleError(f"{self.folder / name}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise self._invalid(name, "an object")
        return content


@dataclass(frozen=True)
class BundleParts:
    """The content of a bundle, apart from its networks and its manifest."""

    taxonomy: Taxonomy
    preprocessing: Preprocessing
    form: str
    decisions: DecisionSet
    network_of_decision: Sequence[int]
    temperatures: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decoding: str = THRESHOLDS
    model_card: str = ""


def write_parts(folder: Path, parts: BundleParts) -> None:
    """Write all files except the networks and the manifest."""
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
    """Write ``calibration.json``: temperatures, thresholds, decoding, and familiarity if any."""
    calibration: dict[str, Any] = {
        "temperatures": dict(routing.temperatures),
        "thresholds": dict(routing.thresholds),
        "decoding": routing.decoding,
    }
    if routing.familiarity is not None:
        calibration[FAMILIARITY] = routing.familiarity.to_json(routing.taxonomy.leaves)
    write_json(folder / "calibration.json", calibration)


def seal(folder: Path, training: Mapping[str, Any], figures: Mapping[str, Any]) -> Bundle:
    """Write a manifest of the files now in ``folder``, and open the bundle."""
    files = {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() not in UNHASHED
    }
    backends = sorted({name.split("/")[1] for name in files if name.startswith(BACKENDS)})
    manifest = {
        "format": _format_of(folder),
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
    """Append a Markdown section to the model card. The model version stays the same.

    Args:
        folder: The bundle's folder.
        title: The heading without ``##``. A section with the same heading is replaced.
        text: The body of the section.
    """
    manifest = Bundle.open(folder).manifest
    card = folder / MODEL_CARD
    heading = f"## {title}"
    sections = re.split(r"^(?=## )", card.read_text(encoding="utf-8"), flags=re.MULTILINE)
    kept = [each for each in sections if each.partition("\n")[0] != heading]
    before = "".join(kept).rstrip("\n")
    card.write_text(f"{before}\n\n{heading}\n\n{text.strip()}\n", encoding="utf-8")
    return seal(folder, manifest.get("training", {}), manifest.get("figures", {}))


def _format_of(folder: Path) -> int:
    path = folder / "calibration.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    familiar = isinstance(content, dict) and FAMILIARITY in content
    return FORMAT_FAMILIAR if familiar else FORMAT


def version_of(files: Mapping[str, str]) -> str:
    """The model version: 16 hexadecimal digits of a hash of the files that determine the labels.

    Converting the networks for another runtime, editing the card or adding features for adapting
    keeps the version, because none of it is a reason to label a catalogue again.
    """
    left_out = (MODEL_CARD, REPLAY, PROJECTION)
    relevant = sorted(n for n in files if n not in left_out and not n.startswith(BACKENDS))
    text = "\n".join(f"{name} {files[name]}" for name in relevant)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON with a line feed at the end."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _load_manifest(folder: Path) -> Mapping[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder}: no bundle there ({MANIFEST} is missing); "
            "name a folder that `fashion-cascade train` wrote, or leave --model out"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") not in FORMATS:
        raise BundleError(
            f"{path}: expected a bundle of format {FORMAT} or {FORMAT_FAMILIAR}, received "
            f"{manifest.get('format') if isinstance(manifest, dict) else type(manifest).__name__!r}"
            "; use the release that wrote it, or train a new bundle"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        raise BundleError(
            f'{path}: expected "files" with the hash of each file; copy the bundle again'
        )
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
