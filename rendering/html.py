"""Self-contained HTML pages from Jinja2 templates, with one base page and one stylesheet.

All values are escaped. Characters that a browser does not show (line ends, direction marks,
surrogates) appear as escapes such as ``\\n``. So any file name is shown as text, and every page can
be saved as UTF-8. To add a page, write a template that extends ``base.html``.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rendering.text import printable

if TYPE_CHECKING:
    import numpy as np

JPEG_QUALITY = 80


def render(template: str, /, *, package: str = "rendering", **values: object) -> str:
    """The page of a template in the folder ``templates`` of a package, with these values.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: the template uses a value that was not given.
    """
    return _environment(package).get_template(template).render(values)


def data_uri(content: bytes, media_type: str) -> str:
    """A file as a ``data:`` address, which embeds it in a page."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg_data_uri(pixels: np.ndarray) -> str:
    """A picture, ``(height, width, 3)`` uint8 RGB, as a JPEG data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")


@cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _printable_value(value: Any) -> Any:
    """The value as a template prints it. Text with ``__html__`` is the output of a macro."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
