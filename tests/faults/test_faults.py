"""The fault campaign itself: its proxy, its schedules, and two short schedules of it.

The campaign at full size: ``make test-faults``.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import campaign, table
from tests.faults.invariants import unknown_traces
from tests.faults.kinds import special_faults
from tests.faults.proxy import MODES, Proxy
from tests.faults.schedule import FAULTS, Moment, Schedule, schedule

# a process dies while messages come twice; then a person corrects while connections end
SHORT = Schedule(
    0,
    workers=1,
    processes=2,
    moments=(
        Moment(0.1, ("kill_child", "duplicates"), 0.2, 1),
        Moment(0.3, ("review_apply", "database_terminate"), 0.2, 2),
    ),
)


def echo(listener: socket.socket) -> None:
    """Answer each line with itself."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(100):
                connection.sendall(piece)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that answers with what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        made = Proxy(listener.getsockname())
        yield made
        made.close()


def client(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def ask(connection: socket.socket, text: bytes = b"12345678") -> bytes:
    connection.sendall(text)
    return connection.recv(100)


def no_answer(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        connection.sendall(b"12345678")
        return connection.recv(100) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)


def test_the_proxy_passes_on_and_cuts(proxy: Proxy) -> None:
    with client(proxy) as one:
        assert ask(one) == b"12345678"
        proxy.damage("cut")
        assert one.recv(100) == b""
        with client(proxy) as two:
            assert two.recv(100) == b""
    proxy.restore()
    with client(proxy) as three:
        assert ask(three) == b"12345678"


def test_the_proxy_truncates_one_reply_and_swallows_one(proxy: Proxy) -> None:
    with client(proxy) as one:
        assert ask(one) == b"12345678"
        proxy.damage("truncate")
        assert ask(one) == b"1234"
        assert one.recv(100) == b""
    proxy.restore()
    with client(proxy) as two:
        assert ask(two) == b"12345678"
        proxy.damage("swallow")
        assert no_answer(two)
        assert ask(two) == b"12345678"


def test_the_proxy_half_closes_and_silences_for_good(proxy: Proxy) -> None:
    with client(proxy) as one, client(proxy) as two:
        assert ask(one) == ask(two) == b"12345678"
        proxy.damage("half_close")
        assert one.recv(100) == b""
        one.sendall(b"is heard by nobody and refused by nobody")
        proxy.restore()
        proxy.damage("silence")
        with client(proxy) as three:
            assert no_answer(three)
            proxy.restore()
            assert no_answer(three)
    with client(proxy) as four:
        assert ask(four) == b"12345678"


def test_the_proxy_delays_and_pauses(proxy: Proxy) -> None:
    with client(proxy) as one:
        proxy.damage("delay")
        assert ask(one) == b"12345678"
        proxy.damage("pause")
        assert no_answer(one)
        proxy.restore()
        assert one.recv(100) == b"12345678"


def test_a_seed_gives_one_schedule_and_all_faults_occur() -> None:
    assert schedule(7) == schedule(7)
    assert schedule(7) != schedule(8)
    made = [schedule(seed) for seed in range(1, 101)]
    struck = {fault for plan in made for moment in plan.moments for fault in moment.faults}
    assert struck == {*FAULTS}
    modes = {f"{place}_{mode}" for place in ("broker", "database") for mode in MODES}
    assert {*special_faults()} | modes == {*FAULTS}


def test_traces_of_servers_in_trouble_are_told_from_others(tmp_path: Path) -> None:
    log = tmp_path / "log"
    start = "Traceback (most recent call last):\n  File x\n"
    log.write_text(f"{start}redis.exceptions.ConnectionError: gone\n{start}KeyError: 'path'\n")
    assert unknown_traces(log) == {"KeyError: 'path'": 1}


def test_a_campaign_that_was_stopped_goes_on_with_its_report(tmp_path: Path) -> None:
    """All of its seeds have run: their lines are counted, and nothing starts."""
    report = tmp_path / "report.jsonl"
    moment = {"faults": ["root_away"], "recovery_seconds": 1.5}
    lines = [
        {"seed": seed, "pictures": 160, "moments": [moment], "violations": found}
        for seed, found in ((1, []), (2, ["a row is lost"]))
    ]
    report.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    command = [sys.executable, "-m", "tests.faults.campaign", "--schedules", "2", "--resume"]
    done = subprocess.run(
        [*command, "--report", str(report)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "| root_away | 2 | 1.5 | 1.5 | 1.5 |" in done.stdout
    assert (
        "2 schedules, 2 faults, 320 pictures: 1 schedules with violations, seeds [2]" in done.stdout
    )
    assert len(report.read_text().splitlines()) == 2


@pytest.mark.servers
@pytest.mark.slow
def test_a_short_schedule_holds_all_that_is_promised(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    (line,) = campaign([SHORT], 64, 1, report, keep=tmp_path / "worlds")
    assert line["violations"] == line["remedies"] == []
    assert json.loads(report.read_text())["commit"]
    assert "1 schedules, 4 faults, 64 pictures: 0 schedules with violations" in table([line])
