"""The cores of a container: files as each version of Linux's control groups lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.backends.cores import available_cores


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


VERSION_1 = (
    "5:memory:/docker/a\n4:cpuset:/docker/a\n2:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n"
)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        # in a container with its own namespace the group is the root
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000"}, 64),
        # a pod's limit is above the container's group
        ("0::/pod/one\n", {"pod/cpu.max": "300000 100000", "pod/one/cpu.max": "max 100000"}, 3),
        ("0::/pod/one\n", {"pod/cpu.max": "800000 100000", "pod/one/cpu.max": "400000 100000"}, 4),
        # the host's path, which is not seen in the container
        ("0::/system.slice/docker-a.scope\n", {"cpu.max": "500000 100000"}, 5),
        (
            VERSION_1,
            {
                "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/docker/a/cpu.cfs_period_us": "50000",
            },
            5,
        ),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        # both: version 2 beside version 1
        (VERSION_1 + "0::/\n", {"unified/cpu.max": "700000 100000"}, 7),
        # what nobody can read is no limit
        ("0::/\n", {"cpu.max": "nonsense"}, 64),
        ("0::/\n", {"cpu.max": "100000 0"}, 64),
        ("nonsense", {}, 64),
        ("0::/../..\n", {"cpu.max": "200000 100000"}, 2),
    ],
)
def test_a_quota_limits_the_cores(
    tmp_path: Path, groups: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(machine(tmp_path, groups, files)) == cores


def test_a_system_without_control_groups_has_all_cores(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 64
