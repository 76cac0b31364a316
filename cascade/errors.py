"""What can go wrong in ``cascade``, as a tree.

CascadeError
├── TaxonomyError      the tree of labels is not one
├── BundleError        a bundle of networks cannot be used
│   └── BundleTampered   a file of it is not the one that its manifest names
└── DatasetError       a labelled folder or manifest cannot be trained on or judged by

A picture that cannot be used is no exception to its caller: ``cascade.pictures.decode.decode``
answers with a ``Rejected`` that carries a reason code.
"""

from __future__ import annotations


class CascadeError(Exception):
    """Base of the errors of this package. The message says what to do next."""


class TaxonomyError(CascadeError):
    """The tree of labels is not one: several roots, a cycle, a path twice."""


class BundleError(CascadeError):
    """A bundle is missing, incomplete, of another format, or holds what is refused."""


class BundleTampered(BundleError):
    """A file of a bundle does not match the hash in its manifest."""


class DatasetError(CascadeError):
    """Labelled pictures cannot be used: unknown label, too few groups, a group in two splits."""
