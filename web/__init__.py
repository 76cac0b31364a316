"""The page of ``fashion-cascade serve``: browse, correct and watch the catalogue in a browser."""
