"""A worker runs the same files of a backend as the bundle that its message was enqueued with.

The message carries the digest of each backend in its headers, which workers of earlier versions
ignore. A message without them is worked with any files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from db.writes.backend_digests import Digests, known, record
from worker.errors import ModelUnusable

if TYPE_CHECKING:
    from db.catalogue import Catalogue
    from worker.model_loader import Model

HEADER = "backend_digests"


def announce(catalogue: Catalogue, model: Model) -> None:
    """Record the digests of the bundle that pictures are enqueued with; usually one read."""
    from worker.model_loader import register_model

    digests = model.backend_digests()
    if digests and known(catalogue.engine).get(model.version) != digests:
        register_model(catalogue, model)
        record(catalogue.engine, model.version, digests)


def headers(digests: Mapping[str, Digests], version: str | None) -> dict[str, Any]:
    """The headers of a message for this model version."""
    found = digests.get(version) if version is not None else None
    return {HEADER: dict(found)} if found else {}


def is_valid(value: Any) -> bool:
    """Whether a header can be compared."""
    return value is None or (
        isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    )


def require_same_files(catalogue: Catalogue, model: Model, asked: Digests | None) -> None:
    """Raise if this worker's backend has other files than the message asks for.

    The bundle of the last `enqueue` is right as well: with it, what older messages asked for is
    done too.

    Raises:
        ModelUnusable: the digests differ.
    """
    own = model.backend_digests().get(model.backend)
    if own is None or not asked or asked.get(model.backend) in (None, own):
        return
    newest = known(catalogue.engine).get(model.version, {})
    if newest.get(model.backend) != own:
        raise _differs(model, own, asked[model.backend])


def require_known_files(catalogue: Catalogue, model: Model) -> None:
    """Raise if this worker's backend has other files than the bundle of the last `enqueue`.

    Raises:
        ModelUnusable: the digests differ.
    """
    digests = known(catalogue.engine).get(model.version, {})
    own = model.backend_digests().get(model.backend)
    if own is not None and digests.get(model.backend) not in (None, own):
        raise _differs(model, own, digests[model.backend])


def _differs(model: Model, own: str, asked: str) -> ModelUnusable:
    return ModelUnusable(
        f"the backend {model.backend} of model {model.version} in {model.source} has files with "
        f"digest {own}; the pictures were enqueued with {asked}: copy that bundle here, or enqueue "
        "again with this one"
    )
