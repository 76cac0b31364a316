"""Log lines of a worker: text for a person, JSON for a log collector."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from logging import ERROR

__all__ = ["CONTEXT", "ERROR", "JsonLines", "configure", "in_json", "write_line"]

CONTEXT = ("crawl", "shard", "seconds")
# What billiard's process says that removes the semaphores of a main process that ended at once.
LEAKED_SEMAPHORES = "ignore:semaphore_tracker:UserWarning"


class JsonLines(logging.Formatter):
    """One JSON object per line, with crawl and shard if the line is about one."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {name: getattr(record, name) for name in CONTEXT if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(log_format: str, level: str) -> None:
    """Send all log lines and Python's warnings to stderr, as ``json`` or ``text``."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if log_format == "json" else text)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # That process has no handlers of ours, but it starts with the -W options of this one.
    if log_format == "json" and LEAKED_SEMAPHORES not in sys.warnoptions:
        sys.warnoptions.append(LEAKED_SEMAPHORES)
    logging.getLogger("multiprocessing").handlers = [handler]  # billiard's does not propagate
    logging.getLogger("celery.app.trace").addFilter(one_line_of_rejected)
    for verbose in ("PIL", "alembic"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


def one_line_of_rejected(record: logging.LogRecord) -> bool:
    """Leave the traceback out where a shard goes back to the queue, which is no fault of the code.

    It happens when the catalogue and the broker are both away. The line has the reason.
    """
    if record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == "Reject":
        record.exc_info = record.exc_text = None
    return True


def in_json(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for JSON, also where other settings cannot be read."""
    return environ.get("FASHION_CASCADE_LOG_FORMAT") == "json"


def write_line(logger: str, level: int, message: str) -> None:
    """Write one JSON line to stderr at once, without a lock: also from a signal handler."""
    record = logging.LogRecord(logger, level, "", 0, message, None, None)
    os.write(2, f"{JsonLines().format(record)}\n".encode())
