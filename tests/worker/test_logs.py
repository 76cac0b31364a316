"""Log lines as JSON."""

from __future__ import annotations

import json
import logging

from worker.logs import JsonLines


def test_json_log_lines_name_crawl_and_shard() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s done", ("it",), None)
    record.crawl, record.shard = "spring", "abc"
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["crawl"], line["shard"]) == ("it done", "spring", "abc")
    assert line["time"].endswith("+00:00")
