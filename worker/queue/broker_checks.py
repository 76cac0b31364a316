"""What `doctor` checks of the broker.

A managed Redis often has no CONFIG, and a user with few rights no INFO: what it does not tell is
said to be unknown, and no fault. Whether it accepts messages is tried with a write.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from worker.errors import WorkerError
from worker.queue.health_checks import ERROR, OK, WARNING, CheckResult, clock
from worker.settings import Settings

MIN_REDIS_VERSION = (6, 2)
NO_BROKER = (
    "fashion-cascade up starts one with workers on this machine; or start Redis and set "
    "FASHION_CASCADE_BROKER_URL; label needs none"
)
PROBE_KEY, PROBE_SECONDS = "fashion-cascade-doctor", 10
UNKNOWN = "the broker does not tell"


def check_broker(settings: Settings) -> Iterator[CheckResult]:
    """All checks of the broker."""
    from worker.queue import broker

    try:
        with broker.connect(settings) as client:
            untyped: Any = client  # the types of its answers differ between releases
            untyped.ping()
            refusal = _refusal_of_a_write(untyped)
            server = _if_allowed(untyped.info)
            policy = _if_allowed(untyped.config_get, "maxmemory-policy")
            moment = _if_allowed(untyped.time)
    except WorkerError as error:
        yield CheckResult("broker", ERROR, str(error), NO_BROKER)
        return
    yield _writes(refusal, str(server.get("role", "")))
    yield _version(server)
    yield _eviction(policy.get("maxmemory-policy") or server.get("maxmemory_policy"))
    yield _data(server.get("aof_enabled"))
    if moment:
        seconds, micro = moment
        yield clock("clock of the broker", abs(seconds + micro / 1e6 - time.time()))
    yield from _dead_letters(settings)


def _if_allowed(command: Any, *arguments: str) -> Any:
    """The answer; an empty one if the server does not have the command, or not for this user."""
    import redis

    try:
        return command(*arguments)
    except redis.exceptions.ResponseError:
        return {}


def _refusal_of_a_write(client: Any) -> str | None:
    """Why the broker accepts no message now; None if it does."""
    import redis

    try:
        client.set(PROBE_KEY, "", ex=PROBE_SECONDS)
        client.delete(PROBE_KEY)
    except redis.exceptions.ResponseError as error:
        return str(error)
    return None


def _writes(refusal: str | None, role: str) -> CheckResult:
    is_replica = role in ("slave", "replica") or "read only replica" in (refusal or "")
    if refusal is None:
        return CheckResult("broker", OK, "accepts messages")
    fix = (
        "it is a replica: name the primary in FASHION_CASCADE_BROKER_URL"
        if is_replica
        else "see what the refusal names: rights of the user (ACL), full memory, a failed snapshot"
    )
    return CheckResult("broker", ERROR, f"refuses to write: {refusal}", fix)


def _version(server: Any) -> CheckResult:
    version = str(server.get("redis_version", ""))
    if not version:
        return CheckResult("broker version", OK, UNKNOWN)
    old = tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION
    needed = f"use Redis {MIN_REDIS_VERSION[0]}.{MIN_REDIS_VERSION[1]} or later, or Valkey"
    return CheckResult(
        "broker version",
        WARNING if old else OK,
        f"{server.get('server_name', 'redis')}, speaks Redis {version}",
        needed if old else "",
    )


def _eviction(policy: str | None) -> CheckResult:
    if not policy:
        see = "see in its console that maxmemory-policy is noeviction"
        return CheckResult("eviction policy", WARNING, UNKNOWN, see)
    evicts = policy != "noeviction"
    return CheckResult(
        "eviction policy",
        ERROR if evicts else OK,
        policy,
        "Redis may evict messages: CONFIG SET maxmemory-policy noeviction" if evicts else "",
    )


def _data(append_only: int | None) -> CheckResult:
    if append_only is None:
        return CheckResult("broker data", OK, UNKNOWN)
    keeps = append_only == 1
    return CheckResult(
        "broker data",
        OK if keeps else WARNING,
        "append-only file" if keeps else "lost in a restart",
        "" if keeps else "set appendonly yes; otherwise run requeue --stale --lost after restarts",
    )


def _dead_letters(settings: Settings) -> Iterator[CheckResult]:
    from worker.queue.broker import dead_letters
    from worker.queue.messages import dead_letters_key

    number, newest = dead_letters(settings)
    key = dead_letters_key(settings.queue)
    yield CheckResult(
        "dead letters",
        WARNING if number else OK,
        f"{number} messages that no worker can read; the newest: {newest}" if number else "none",
        f"see who sends them: LRANGE {key} 0 9; then DEL {key}" if number else "",
    )
