"""The exceptions of ``cascade``.

CascadeError
├── TaxonomyError        a taxonomy is not a valid tree
├── BundleError          a bundle of networks cannot be used
│   └── BundleTampered   a file of a bundle does not match the manifest
├── LibraryMissing       a library that this needs was left out of the installation
└── DatasetError         labelled pictures cannot be used for training or evaluation

A picture that cannot be used raises nothing: ``cascade.pictures.decode.decode`` returns a
``Rejected`` with a reason code.
"""

from __future__ import annotations


class CascadeError(Exception):
    """Base class. The message says what to do next."""


class TaxonomyError(CascadeError):
    """A taxonomy is not a valid tree: several roots, a cycle, a duplicate path."""


class BundleError(CascadeError):
    """A bundle is missing, incomplete, of another format, or holds something not allowed."""


class BundleTampered(BundleError):
    """A file of a bundle does not match the hash in its manifest."""


class LibraryMissing(CascadeError):
    """A library that this needs was left out of the installation."""


class DatasetError(CascadeError):
    """Labelled pictures cannot be used: an unknown label, too few groups, a group in two splits."""
