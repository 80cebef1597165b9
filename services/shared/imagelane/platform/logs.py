"""Logs: structlog and the standard library in one shape; JSON off a terminal, one line per event."""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import MutableMapping
from functools import cache
from typing import Any, Final

import structlog

from imagelane.contracts.codec import Trace
from imagelane.platform.log_stream import LogStream
from imagelane.platform.settings import LogSettings

QUIET: Final = ("aiokafka", "faust", "mode", "botocore", "aiobotocore", "urllib3", "asyncio")
STDERR: Final = 2
MAX_FIELD_CHARS: Final = 2_048


class RateLimit(logging.Filter):
    """Lets each distinct message of a logger through at most once in `every_seconds`.

    aiokafka was seen to write 190,000 "Unable connect" lines in one broker outage.
    """

    def __init__(self, every_seconds: float) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._last_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written."""
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._last_at.get(key, -self._every_seconds) < self._every_seconds:
            return False
        self._last_at[key] = now
        return True


def _cap_fields(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MAX_FIELD_CHARS and name != "exception":
            event[name] = value[:MAX_FIELD_CHARS] + "…"
    return event


def add_trace(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The trace of what the line is about: the same id as in headers, spans and the tracker's trail."""
    match [event.get(name) for name in ("customer_id", "job_id", "index", "seq")]:
        case [str(customer_id), str(job_id), int(index), _]:
            event["trace_id"] = Trace.of_image(customer_id, job_id, index).trace_id
        case [str(customer_id), str(job_id), None, _]:
            event["trace_id"] = Trace.of_job(customer_id, job_id).trace_id
        case [str(customer_id), None, None, int(seq)]:
            event["trace_id"] = Trace.of_call(customer_id, seq).trace_id
    return event


def configure(settings: LogSettings, *, service: str) -> None:
    """Sets up structlog and the standard library for this process, to standard error."""
    console = settings.form == "console" or (settings.form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_trace,
        _cap_fields,
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler(_stream())
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    handler.addFilter(_only(RateLimit(every_seconds=10.0), prefixes=("aiokafka", "opentelemetry")))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


def drain() -> None:
    """Waits a moment until what was logged is written: before a process ends without any clean-up."""
    if _stream.cache_info().currsize:
        _stream().drain()


@cache
def _stream() -> LogStream:
    stream = LogStream(STDERR)
    atexit.register(stream.drain)
    return stream


def _only(limit: RateLimit, *, prefixes: tuple[str, ...]) -> logging.Filter:
    class Limited(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return not record.name.startswith(prefixes) or limit.filter(record)

    return Limited()
