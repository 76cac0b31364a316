"""Log lines as JSON."""

from __future__ import annotations

import json
import logging

import pytest
from celery.exceptions import Reject

from worker import logs
from worker.logs import JsonLines


def test_json_log_lines_name_crawl_and_shard() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s done", ("it",), None)
    record.crawl, record.shard = "spring", "abc"
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["crawl"], line["shard"]) == ("it done", "spring", "abc")
    assert line["time"].endswith("+00:00")


def test_a_shard_that_goes_back_to_the_queue_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Celery would print the trace of what made it go back, and of what that came from."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("text", "INFO")
    logger = logging.getLogger("celery.app.trace")
    try:
        for kind in (Reject, ValueError):
            try:
                raise kind("the catalogue is away")
            except kind as error:
                logger.warning("Task a[1] %s", error, exc_info=True)
    finally:
        root.handlers, root.level = handlers, level
        logger.removeFilter(logs.one_line_of_rejected)
        logging.captureWarnings(False)
    rejected, *other = capsys.readouterr().err.splitlines()
    assert "the catalogue is away" in rejected
    assert any("Traceback" in line for line in other)  # of other errors it stays
