"""The digest of the files that a backend runs, and of every backend of a bundle.

The model version leaves ``backends/`` out, so that a conversion is no reason to label a catalogue
again. The digest tells two conversions of one model apart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cascade.backends import ON_TENSORFLOW, available, network_path
from cascade.errors import BundleError

if TYPE_CHECKING:
    from cascade.bundle import Bundle


def digest(bundle: Bundle, backend: str) -> str:
    """16 hexadecimal digits of a hash of the networks' files that ``backend`` runs.

    The hashes are those of the manifest, which are checked before the files are used.

    Raises:
        BundleError: The bundle lacks one of the files.
    """
    files = bundle.manifest["files"]
    if backend in ON_TENSORFLOW:
        names = [name for name in files if name.startswith("networks/")]
    else:
        names = [network_path(backend, n) for n in range(len(bundle.decisions_of_network))]
    if missing := [name for name in names if name not in files]:
        raise BundleError(f"{bundle.folder}: the backend {backend} lacks {missing[0]}")
    text = "\n".join(f"{name} {files[name]}" for name in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digests(bundle: Bundle) -> dict[str, str]:
    """The digest of each backend that the bundle has the files for."""
    return {backend: digest(bundle, backend) for backend in available(bundle)}
