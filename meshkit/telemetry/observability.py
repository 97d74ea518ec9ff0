"""Structured logs on stderr: JSON lines, or readable ones on a terminal; and whatever else is told of a process."""

import logging
import sys
from typing import Any

import structlog

from meshkit.telemetry import trace


def configure(service: str, level: str = "info", wanted: trace.Wanted = trace.Wanted()) -> None:  # noqa: B008
    """Set up logging for this process, and the telemetry that is wanted of it.  `service` is on every line.

    Raises `ImportError` if what that needs is not installed.
    """
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _placed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    trace.start(service, wanted)


def _placed(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the request and the trace that a line is of, and hand it on to who collects them."""
    if request := trace.request_id():
        line["request_id"] = request
    if (place := trace.here()) is not None:
        line["trace_id"] = place.trace_id
    if (to := trace.active()) is not None:
        to.log(line)
    return line
