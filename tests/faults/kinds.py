"""The faults: each strikes a world and answers with what heals it."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable

import psutil
import psycopg
import redis

from tests.faults import people
from tests.faults.people import Heal
from tests.faults.world import Worker, World
from tests.servers import DURABLE, start_postgres


def nothing() -> None:
    """Heals what is over by itself."""


def strike(world: World, fault: str, number: int) -> Heal:
    """Let a fault strike; what ends it."""
    rng = random.Random(number)
    place, _, mode = fault.partition("_")
    special = special_faults()
    if fault in special:
        return special[fault](world, rng)
    proxy = world.broker_proxy if place == "broker" else world.database_proxy
    proxy.damage(mode)
    return proxy.restore


def special_faults() -> dict[str, Callable[[World, random.Random], Heal]]:
    """The faults that are more than a mode of a proxy, by name."""
    return {
        name.removeprefix("fault_"): made
        for name, made in {**globals(), **vars(people)}.items()
        if name.startswith("fault_")
    }


# ---- processes


def one_worker(world: World, rng: random.Random) -> Worker:
    return rng.choice(world.workers)


def fault_kill_child(world: World, rng: random.Random) -> Heal:
    for child in world.children(one_worker(world, rng))[:1]:
        child.kill()
    return nothing


def fault_kill_worker(world: World, rng: random.Random) -> Heal:
    life = one_worker(world, rng).life
    life.told_to_end = True
    life.process.kill()
    return nothing


def fault_sigterm(world: World, rng: random.Random) -> Heal:
    life = one_worker(world, rng).life
    life.told_to_end = True
    life.process.send_signal(signal.SIGTERM)
    return nothing


def _stop(processes: list[psutil.Process]) -> Heal:
    for process in processes:
        _signal(process, signal.SIGSTOP)

    def go_on() -> None:
        for process in processes:
            _signal(process, signal.SIGCONT)

    return go_on


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def fault_stop_child(world: World, rng: random.Random) -> Heal:
    return _stop(world.children(one_worker(world, rng))[:1])


def fault_stop_worker(world: World, rng: random.Random) -> Heal:
    """Main and children, as a frozen container or a paused machine."""
    worker = one_worker(world, rng)
    children = world.children(worker)
    try:
        return _stop([psutil.Process(worker.life.process.pid), *children])
    except psutil.NoSuchProcess:
        return nothing


# ---- broker


def fault_broker_restart(world: World, rng: random.Random) -> Heal:
    world.broker.kill()
    return lambda: void(world.broker.start())


def void(_: object) -> None:
    """Answer nothing."""


def _tell(world: World, *command: object) -> None:
    """One command to the broker itself; a broker that is down does not hear it."""
    try:
        with world.broker.client() as client:
            client.execute_command(*command)
    except redis.exceptions.RedisError:
        pass


def fault_broker_readonly(world: World, rng: random.Random) -> Heal:
    """A failover: this one is a replica now, of a primary that nobody hears of."""
    _tell(world, "REPLICAOF", "127.0.0.1", "1")
    return lambda: _tell(world, "REPLICAOF", "NO", "ONE")


def fault_broker_full(world: World, rng: random.Random) -> Heal:
    _tell(world, "CONFIG", "SET", "maxmemory", "1")
    return lambda: _tell(world, "CONFIG", "SET", "maxmemory", "0")


def fault_broker_misconf(world: World, rng: random.Random) -> Heal:
    """A snapshot that fails: a folder has the name of its file."""
    blocker = world.broker.folder / "dump.rdb"
    if blocker.is_file():
        blocker.unlink()
    blocker.mkdir(exist_ok=True)
    _tell(world, "CONFIG", "SET", "save", "3600 100000")
    _tell(world, "BGSAVE")

    def heal() -> None:
        blocker.rmdir()
        _tell(world, "CONFIG", "SET", "save", "")

    return heal


# ---- database


def administrate(world: World, *statements: str) -> None:
    """Statements of an administrator, past the proxy; on a server that is down, nothing."""
    try:
        with psycopg.connect(
            host=str(world.postgres.folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]
    except psycopg.Error:
        pass


def _terminate(world: World) -> str:
    return (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{world.database}'"
    )


def fault_database_terminate(world: World, rng: random.Random) -> Heal:
    administrate(world, _terminate(world))
    return nothing


def _altered(world: World, setting: str, value: str) -> Heal:
    """A setting of the database, in force in new sessions; the old ones are ended."""
    base = f'ALTER DATABASE "{world.database}"'
    administrate(world, f"{base} SET {setting} = {value}", _terminate(world))
    return lambda: administrate(world, f"{base} RESET {setting}", _terminate(world))


def fault_database_readonly(world: World, rng: random.Random) -> Heal:
    return _altered(world, "default_transaction_read_only", "on")


def fault_database_statement_timeout(world: World, rng: random.Random) -> Heal:
    return _altered(world, "statement_timeout", "1")


def fault_database_lock(world: World, rng: random.Random) -> Heal:
    try:
        connection = psycopg.connect(
            host=str(world.postgres.folder), user="postgres", dbname=world.database
        )
        connection.execute("SET lock_timeout = '2s'")
        connection.execute("LOCK TABLE catalogue IN ACCESS EXCLUSIVE MODE")
    except psycopg.Error:
        return nothing
    return connection.close


def fault_database_restart(world: World, rng: random.Random) -> Heal:
    world.postgres.stop()

    def start() -> None:
        server = start_postgres(world.postgres.folder, world.postgres.binaries, DURABLE)
        world.postgres.process = server.process

    return start


# ---- surroundings


def fault_clock(world: World, rng: random.Random) -> Heal:
    """The wall clock of the workers steps, to either side, by a second or by an hour."""
    step = rng.choice((-1, 1)) * rng.choice((1.0, 7.0, 60.0, 3600.0))
    world.clock.write_text(str(step))
    return lambda: void(world.clock.write_text("0"))


def fault_root_away(world: World, rng: random.Random) -> Heal:
    away = world.folder / "away"
    if not world.pictures.exists():
        return nothing
    world.pictures.rename(away)
    return lambda: void(away.rename(world.pictures))
