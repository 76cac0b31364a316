"""Names that are not ASCII, where the file-system encoding is not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("größe.jpg".encode(), "鞋.jpg".encode(), b"latin-\xe9.jpg", b"plain.jpg")
SCRIPT = """
import json, os, sys
from cascade.pictures.safe_read import read
from worker.sources.paths import root_to_text, to_os_path
from worker.sources.scan import SkippedFiles, file_state, read_paths, walk

folder = to_os_path(sys.argv[1])
found = {}
for file in walk(folder, SkippedFiles()):
    contents = read(to_os_path(file.path), 100, [to_os_path(root_to_text(folder))])
    found[file.path] = (file.size, contents.reason or contents.data.decode("latin-1"))
given = [file_state(path) for path in read_paths(sys.stdin.buffer)]
print(json.dumps([sys.getfilesystemencoding(), found, [[f.path, f.size] for f in given]]))
"""


@pytest.mark.parametrize(
    ("locale", "utf8_mode", "encoding"),
    [("C.UTF-8", "1", "utf-8"), ("POSIX", "0", "ascii")],
)
def test_each_file_is_found_again_and_has_the_same_text(
    tmp_path: Path, locale: str, utf8_mode: str, encoding: str
) -> None:
    folder = os.fsencode(tmp_path) + "/Größen".encode()
    os.mkdir(folder)  # noqa: PTH102 - a name of bytes
    for number, name in enumerate(NAMES, 1):
        with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(b"x" * number)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LC_")},
        **{"LANG": locale, "LC_ALL": locale, "PYTHONUTF8": utf8_mode, "PYTHONCOERCECLOCALE": "0"},
    }
    text = folder.decode()
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            "file://" + text.replace("ö", "%C3%B6").replace("ß", "%C3%9F"),
        ],
        input=b"\n".join(folder + b"/" + name for name in NAMES),
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    used, found, given = json.loads(result.stdout)
    assert used == encoding
    texts = [f"{text}/größe.jpg", f"{text}/鞋.jpg", _url(text), f"{text}/plain.jpg"]
    assert found == {path: [n, "x" * n] for n, path in enumerate(texts, 1)}
    assert given == [[path, n] for n, path in enumerate(texts, 1)]


def _url(folder: str) -> str:
    """The text of the name that is not UTF-8: a URL, in which all its bytes are escaped."""
    return "file://" + folder.replace("ö", "%C3%B6").replace("ß", "%C3%9F") + "/latin-%E9.jpg"
