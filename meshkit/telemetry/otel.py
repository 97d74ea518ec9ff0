"""OpenTelemetry's SDK behind `meshkit.telemetry`: spans, metrics and logs over OTLP, and metrics for Prometheus.

Everything leaves by threads beside the loop, out of queues that drop what is too much; a collector that does not answer
is logged once.
"""

import gc
import logging
import platform
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from meshkit.telemetry import trace
from meshkit.telemetry.otel_counts import Counts
from meshkit.telemetry.otel_spans import Ended, Exporter, text
from meshkit.telemetry.trace import Observe, Span, Wanted

log = structlog.get_logger()
_QUEUE_MAX = 4_096
"""Spans, and lines of logs, that wait to leave; more are dropped."""
_BATCH_MAX = 512
_EVERY_MS = 1_000
_METRICS_EVERY_S = 15.0
_EXPORT_S = 5
_LEFT_S = 1.0
"""How long the last of it may take when the process ends."""
_SCOPE = InstrumentationScope("agentmesh")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}


def resource(service: str, replica: int, node: str) -> Resource:
    """Return what tells of a process.

    No other has its `service.instance.id`: replicas of one machine have numbers, and each pod is number 1 of a node of
    its own.  With one id for both, what two count would be taken for one count that jumps.
    """
    name = {"service.namespace": "agentmesh", "service.name": service}
    return Resource.create({**name, "service.instance.id": f"{node}-{replica}"})


def opened(service: str, wanted: Wanted) -> "Otel":
    """Begin to tell of this process."""
    to = Otel(service, wanted)
    gc.collect()
    gc.freeze()  # what the SDK consists of is here for good: a collector that walks over it holds up every call
    return to


class Otel:
    """See `meshkit.telemetry.Telemetry`."""

    def __init__(self, service: str, wanted: Wanted) -> None:
        self.traces = bool(wanted.endpoint)
        self._resource = resource(service, wanted.replica, platform.node())
        _quiet(wanted.endpoint)
        way: dict[str, Any] = {
            "endpoint": wanted.endpoint,
            "insecure": not wanted.endpoint.startswith("https://"),
            "headers": _pairs(wanted.headers),
            "timeout": _EXPORT_S,
        }
        self._spans: BatchSpanProcessor | None = None
        self._logs: LoggerProvider | None = None
        self._counts = Counts()
        self._closing = threading.Event()
        if self.traces:
            queue: dict[str, Any] = {"max_queue_size": _QUEUE_MAX, "max_export_batch_size": _BATCH_MAX}
            self._spans = BatchSpanProcessor(Exporter(self._resource, **way), schedule_delay_millis=_EVERY_MS, **queue)
            self._logs = LoggerProvider(self._resource, shutdown_on_exit=False)
            batches = BatchLogRecordProcessor(OTLPLogExporter(**way), schedule_delay_millis=_EVERY_MS, **queue)
            self._logs.add_log_record_processor(batches)
            self._logger = self._logs.get_logger("agentmesh")
            told = threading.Thread(
                target=self._tell_counts, args=(OTLPMetricExporter(**way),), name="counts", daemon=True
            )
            told.start()

    def span(self, span: Span) -> None:
        """Take a span that has ended."""
        if self._spans is not None:
            self._spans.on_end(Ended(span))

    def called(self, method: str, code: str, seconds: float) -> None:
        """Take how a call of one of our methods went."""
        self._counts.called(method, code, seconds)

    def log(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if self._logs is None:
            return
        level, place = str(line.get("level", "info")), trace.here()
        known = ("event", "level", "timestamp")
        self._logger.emit(
            LogRecord(
                timestamp=trace.now(),
                trace_id=int(place.trace_id, 16) if place else None,
                span_id=int(place.span_id, 16) if place else None,
                trace_flags=_SAMPLED if place else None,
                severity_text=level.upper(),
                severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
                body=text(line.get("event", "")),
                attributes={name: _value(value) for name, value in line.items() if name not in known},
            )
        )

    def gauge(self, name: str, what: str, observe: Observe, *, total: bool = False) -> None:
        """Ask `observe` whenever somebody wants to know; a `total` only grows."""
        self._counts.gauge(name, what, observe, total=total)

    def exposition(self) -> str:
        """Return every metric as Prometheus reads it."""
        return self._counts.exposition()

    def close(self) -> None:
        """Tell what is left, for a second at most."""
        self._closing.set()
        # The SDK gives up when its exporter does, whatever it is told: an end of ours does not wait for that.
        telling = threading.Thread(target=self._flush, name="last-telemetry", daemon=True)
        telling.start()
        telling.join(_LEFT_S)

    def _flush(self) -> None:
        if self._spans is not None:
            self._spans.force_flush()
        if self._logs is not None:
            self._logs.force_flush()

    def _tell_counts(self, exporter: OTLPMetricExporter) -> None:
        """Send what is counted, again and again, and once more at the end."""
        is_over = False
        while not is_over:
            is_over = self._closing.wait(_METRICS_EVERY_S)
            try:
                exporter.export(self._counts.data(self._resource, _SCOPE))
            except Exception:  # of one gauge, perhaps: the next time it may be well
                log.exception("metrics are not told")


class _Once(logging.Handler):
    """Says once that telemetry does not arrive, and nothing of each time."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(logging.WARNING)
        self._endpoint = endpoint
        self._said = False

    def emit(self, record: logging.LogRecord) -> None:
        """Say so."""
        if not self._said:
            self._said = True
            log.warning("telemetry is not taken", endpoint=self._endpoint, why=record.getMessage()[:200])


def _quiet(endpoint: str) -> None:
    told = logging.getLogger("opentelemetry")
    told.handlers, told.propagate = [_Once(endpoint)], False


def _pairs(headers: str) -> Sequence[tuple[str, str]]:
    found = (pair.partition("=") for pair in re.split(r"\s*,\s*", headers) if pair)
    return [(name.strip().lower(), value.strip()) for name, _, value in found]


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return text(value)
