"""Alerts and dashboard: they fire as their tests say, and name only metrics that are exported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.programs import promtool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "fashion-cascade.json"
RULES: list[dict[str, Any]] = YAML(typ="safe").load(PROMETHEUS / "alerts.yml")["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in RULES]

LISTS_METRICS = """
from worker.queue.metrics import _metrics
for metric in _metrics().values():
    for family in metric.describe():
        kinds = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        print(*[family.name + end for end in kinds[family.type]])
"""


def named_in(text: str) -> set[str]:
    return set(re.findall(r"\bfashion_cascade_\w+", text))


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [t["expr"] for p in panels for t in p["targets"]] + [rule["expr"] for rule in RULES]


@pytest.mark.servers
def test_every_metric_that_is_named_is_exported(exported: str) -> None:
    workers = subprocess.run(
        [sys.executable, "-c", LISTS_METRICS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    known = named_in(exported) | set(workers)
    for expression in expressions():
        assert named_in(expression), expression
        assert named_in(expression) <= known, expression


@pytest.mark.parametrize("command", [("check", "rules"), ("test", "rules")])
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    file = "alerts.yml" if command[0] == "check" else "alerts_test.yml"
    done = subprocess.run(
        [promtool(), *command, file], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_that_it_fires_and_one_that_it_is_silent() -> None:
    tests = YAML(typ="safe").load(PROMETHEUS / "alerts_test.yml")["tests"]
    found = [
        (rule["alertname"], bool(rule["exp_alerts"]))
        for test in tests
        for rule in test["alert_rule_test"]
    ]
    assert sorted(found) == sorted((name, fires) for name in NAMES for fires in (True, False))


def test_each_alert_has_its_section_in_the_runbook() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == NAMES
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_dashboard_is_whole() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"] and panel["targets"]
