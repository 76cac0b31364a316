"""Open the model of a run: its version at once, its networks when the first batch needs them.

A second run over a finished folder needs only the version, so it does not spend seconds on loading
a deep learning library.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from db.records import LabelEntry
from worker.errors import ModelUnusable, SettingsError
from worker.model_store import fetch

if TYPE_CHECKING:
    import numpy as np

    from cascade.classifier import Cascade
    from cascade.pictures.decode import Preprocessing
    from cascade.routing import Prediction
    from cascade.taxonomy import Taxonomy
    from db.catalogue import Catalogue

log = logging.getLogger(__name__)


class Model(Protocol):
    """A model that labels pictures: its version, its preprocessing and its labels."""

    @property
    def version(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    def labels(self) -> list[LabelEntry]: ...

    def figures(self) -> dict[str, object]: ...

    def backend_digests(self) -> dict[str, str]: ...

    def feature_digest(self) -> str | None: ...

    def load(self) -> None: ...

    def batch_size(self, most: int) -> int: ...

    def classify(self, pixels: np.ndarray) -> Sequence[Prediction]: ...


def open_model(
    name: str, backend: str = "auto", threads: int = 0, *, features: bool = False
) -> Model:
    """Open the model of a setting: a word of ``NAMED``, a folder, or ``constant:LABEL``.

    Args:
        name: the setting ``model``.
        backend: the setting ``backend``: what the networks run on.
        threads: threads of the networks on a CPU; 0 for one per core.
        features: the setting ``features``: give each picture a vector.

    Raises:
        ModelUnusable: the bundle is absent, has an unknown format, or lacks the backend or, with
            `features`, the directions of vectors.
        SettingsError: the library of the backend is not installed.
    """
    if name.startswith("constant:"):
        from worker.constant_model import ConstantModel

        return ConstantModel(name.removeprefix("constant:"), features=features)
    return BundleModel(name, backend, threads, features=features)


class BundleModel:
    """A bundle on disk. Thread-safe; must not be used across a fork."""

    def __init__(
        self, name: str, backend: str = "auto", threads: int = 0, *, features: bool = False
    ) -> None:
        from cascade.backends import ON_TENSORFLOW, choose_backend
        from cascade.backends.digests import digests
        from cascade.bundle import Bundle, folder_of
        from cascade.errors import CascadeError, LibraryMissing
        from cascade.projection import Projection

        try:
            self._bundle = Bundle.open(folder_of(name), verify=False)
            self._preprocessing = self._bundle.preprocessing
            # refuses a backend that the bundle lacks, before any work
            self.backend = choose_backend(self._bundle, backend)
            self.runs_without_tensorflow = self.backend not in ON_TENSORFLOW
            self._digests = digests(self._bundle)
            self._feature_digest = Projection.open(self._bundle).digest if features else None
        except LibraryMissing as error:
            raise SettingsError(str(error)) from error
        except CascadeError as error:
            raise ModelUnusable(str(error)) from error
        self._backend, self._threads = backend, threads
        self._cascade: Cascade | None = None
        self._batch_sizes: dict[int, int] = {}
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """The version in the manifest: a hash of the content."""
        return self._bundle.version

    @property
    def source(self) -> str:
        """The folder of the bundle."""
        return str(self._bundle.folder)

    @property
    def preprocessing(self) -> Preprocessing:
        """How this model turns a file into a tensor."""
        return self._preprocessing

    def labels(self) -> list[LabelEntry]:
        """All labels of the model, leaves and inner nodes."""
        return label_entries(self._bundle.taxonomy)

    def figures(self) -> dict[str, object]:
        """The figures that were measured in training."""
        return dict(self._bundle.manifest.get("figures", {}))

    def backend_digests(self) -> dict[str, str]:
        """The digest of the files of each backend, `backend` among them."""
        return dict(self._digests)

    def feature_digest(self) -> str | None:
        """The digest of the vectors that predictions have; None: they have none."""
        return self._feature_digest

    def verify(self) -> None:
        """Check the hash of each file.

        Raises:
            ModelUnusable: a file is missing or does not match the manifest.
        """
        from cascade.errors import CascadeError

        try:
            self._bundle.verify()
        except CascadeError as error:
            raise ModelUnusable(str(error)) from error

    def load(self) -> None:
        """Verify, load and warm the networks; a second call does nothing.

        Raises:
            ModelUnusable: a file is missing or does not match the manifest.
        """
        with self._lock:
            if self._cascade is not None:
                return
            from cascade.errors import CascadeError
            from worker.native_libraries import release_free_memory, suppress_startup_messages

            try:
                with suppress_startup_messages():
                    from cascade.classifier import Cascade

                    self._cascade = Cascade.load(
                        self._bundle.folder,
                        backend=self._backend,
                        threads=self._threads,
                        features=self._feature_digest is not None,
                    )
            except CascadeError as error:
                raise ModelUnusable(str(error)) from error
            release_free_memory()

    def batch_size(self, most: int) -> int:
        """The best batch size, at most `most`; on a GPU it is measured, which loads the networks.

        Raises:
            ModelUnusable: the networks cannot be loaded.
        """
        from cascade.backends import BATCH, has_gpu

        if self.runs_without_tensorflow or not has_gpu():
            return min(BATCH, most)
        if most not in self._batch_sizes:
            self.load()
            assert self._cascade is not None
            self._batch_sizes[most] = self._cascade.best_batch_size(most)
            log.info("the best batch size on this GPU is %d", self._batch_sizes[most])
        return self._batch_sizes[most]

    def classify(self, pixels: np.ndarray) -> Sequence[Prediction]:
        """Label (N, height, width, 3) uint8 RGB pictures; loads the networks on first use."""
        self.load()
        assert self._cascade is not None
        return self._cascade.classify(pixels)


def backend_of(model: Model) -> tuple[str, str | None]:
    """What the model's networks run on, and the digest of its files, if there are any."""
    return model.backend, model.backend_digests().get(model.backend)


def register_model(catalogue: Catalogue, model: Model) -> None:
    """Register the version and the labels of a model in the catalogue; idempotent."""
    labels, figures = model.labels(), model.figures()
    catalogue.register_model(model.version, labels, source=model.source, figures=figures)


def label_entries(taxonomy: Taxonomy) -> list[LabelEntry]:
    """The nodes of a taxonomy as labels of the catalogue."""
    leaves = set(taxonomy.leaves)
    return [
        LabelEntry(
            node.path,
            taxonomy.category(node.path),
            levels["gender"],
            levels["type"],
            node.path in leaves,
        )
        for node in taxonomy.nodes
        for levels in [taxonomy.levels(node.path)]
    ]


class ModelCache:
    """The models of a worker: its own, and the last other one that a message requested.

    Args:
        name: the setting ``model``.
        store: a folder or URL with bundles by version (`worker.model_store`); '' if there is none.
        backend: the setting ``backend``.
        threads: threads of the networks on a CPU; 0 for one per core.
        features: the setting ``features``.
    """

    def __init__(
        self,
        name: str,
        store: str = "",
        *,
        backend: str = "auto",
        threads: int = 0,
        features: bool = False,
    ) -> None:
        self._backend, self._threads, self._features = backend, threads, features
        self._default = open_model(name, backend, threads, features=features)
        self._store = store
        self._other: Model | None = None

    def default(self) -> Model:
        """The model of the settings."""
        return self._default

    def get(self, version: str | None) -> Model:
        """The model of this version; None is the default one.

        Raises:
            ModelUnusable: it is neither the default model nor in the store.
        """
        if version in (None, self._default.version):
            return self._default
        if self._other is not None and self._other.version == version:
            return self._other
        if not self._store:
            raise ModelUnusable(
                f"a message wants model {version}, this worker has {self._default.version}; set "
                "FASHION_CASCADE_MODEL to that bundle, or FASHION_CASCADE_MODEL_STORE to a folder "
                "or URL that holds it, or enqueue again with the current model"
            )
        folder = fetch(self._store, str(version))
        other = open_model(str(folder), self._backend, self._threads, features=self._features)
        other.load()
        self._other = other
        return other
