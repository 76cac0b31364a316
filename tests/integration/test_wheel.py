"""The wheel holds everything that labelling a picture needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest

from cascade.drawings import render

ROOT = Path(__file__).parents[2]
PACKAGES = ("cascade", "commands", "db", "rendering", "tabular", "web", "worker")
# files of a used checkout that do not belong into a build
NOT_BUILT = (".*", "build", "dist", "runs", "tests", "benchmarks", "*.egg-info", "__pycache__")


def run(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command as in a shell without this checkout; check its exit code."""
    hidden = ("PYTHON", "FASHION", "VIRTUAL_ENV", "PIP_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ | {"XDG_CONFIG_HOME": str(cwd / "config")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout because building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns(*NOT_BUILT, "catalogue.db*", "sample-crawl*")
    shutil.copytree(ROOT, folder / "source", ignore=ignore)
    # no build isolation, so no package index is needed: the test extra installs setuptools
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, ".", cwd=folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, and the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
    run(*pip, "install", "--no-deps", "--no-index", "--quiet", wheel, cwd=folder)
    # Paths of a .pth file come last in sys.path, and .pth files in them are not read, so neither
    # this checkout nor an editable installation of it can replace the wheel.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } | {"cli.py"}
    assert wanted - packed == set()
    # named here as well, in case the list above is computed wrongly
    for name in (
        "cascade/default_bundle/manifest.json",
        "cascade/default_bundle/taxonomy.json",
        "cascade/fashion_taxonomy.json",
        "db/migrations/env.py",
        "db/migrations/versions/r0001_first_tables.py",
        "rendering/templates/base.html",
        "rendering/templates/style.css",
        "web/static/page.css",
        "web/static/page.js",
        "web/templates/browse.html",
    ):
        assert name in packed
    strays = {name.split("/")[0] for name in packed} - {*PACKAGES, "cli.py"}
    assert all(name.endswith(".dist-info") for name in strays), strays


def test_the_installed_program_labels_a_picture(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    render("trousers_jeans/male/jeans", 5).save(tmp_path / "shop" / "jeans.jpg")
    where = run(environment / "python", "-c", "import db; print(db.__file__)", cwd=tmp_path)
    assert where.stdout.startswith(str(environment.parent))

    done = run(environment / "fashion-cascade", "label", "shop", cwd=tmp_path)

    (line,) = map(json.loads, done.stdout.splitlines())
    picture = str(tmp_path / "shop" / "jeans.jpg")
    assert (line["path"], line["status"]) == (picture, "labelled")
    with sqlite3.connect(f"file:{tmp_path / 'catalogue.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT path, status, category FROM catalogue").fetchall()
    connection.close()
    assert rows == [(picture, "labelled", "trousers_jeans")]


def test_the_second_command_after_the_installation_labels_through_the_queue(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    render("glasses/sunglasses", 5).save(tmp_path / "shop" / "glasses.jpg")

    done = run(environment / "fashion-cascade", "up", "shop", "--until-done", cwd=tmp_path)

    assert "1 looked at, 1 enqueued" in done.stdout
    with sqlite3.connect(f"file:{tmp_path / 'catalogue.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT status, category FROM catalogue").fetchall()
    connection.close()
    assert rows == [("labelled", "glasses")]


def test_the_installed_program_writes_a_page_from_its_templates(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    render("glasses/sunglasses", 5).save(tmp_path / "shop" / "glasses.jpg")
    run(environment / "fashion-cascade", "label", "shop", cwd=tmp_path)

    run(environment / "fashion-cascade", "review", "sheet", "doubtful.html", cwd=tmp_path)

    page = (tmp_path / "doubtful.html").read_text(encoding="utf-8")
    assert "<h1>1 picture to review</h1>" in page
    assert "prefers-color-scheme" in page  # the stylesheet is in it
    assert page.count("data:image/jpeg;base64,") == 1


def test_the_installed_program_serves_the_page_its_style_and_its_script(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    render("glasses/sunglasses", 5).save(tmp_path / "shop" / "glasses.jpg")
    run(environment / "fashion-cascade", "label", "shop", cwd=tmp_path)
    command = [environment / "fashion-cascade", "serve", "--port", "0", "--cache", "kept"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            with httpx.Client(base_url=address, timeout=60) as client:
                page = client.get("/").text
                assert "sunglasses" in page
                for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
                    (at,) = re.findall(rf'"(/static/{name}\?v=\w+)"', page)
                    assert client.get(at).headers["content-type"].startswith(kind)
                small = client.get("/pictures/1/small")
                assert small.headers["content-type"] == "image/jpeg"
        finally:
            server.terminate()
    assert server.returncode in (0, -15)


def test_the_installed_program_knows_its_version(environment: Path, tmp_path: Path) -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    version = setup.partition("\nversion = ")[2].partition("\n")[0]
    said = run(environment / "fashion-cascade", "--version", cwd=tmp_path).stdout
    assert said.split()[-1] == version
