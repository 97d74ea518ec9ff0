"""OpenTelemetry's SDK behind `meshkit.telemetry`: spans, metrics and logs over OTLP, and metrics for Prometheus.

Everything leaves by threads of the SDK, out of queues that drop what is too much; a collector that does not answer is
logged once.
"""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import prometheus_client
import structlog
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from meshkit import telemetry
from meshkit.telemetry import Observe, Place, Span, Wanted

log = structlog.get_logger()
_QUEUE_MAX = 4_096
"""Spans, and lines of logs, that wait to leave; more are dropped."""
_BATCH_MAX = 512
_EVERY_MS = 1_000
_METRICS_EVERY_MS = 15_000
_EXPORT_S = 5
_LEFT_S = 1.0
"""How long the last of it may take when the process ends."""
_TEXT_CHARS_MAX = 2_048
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SCOPE = InstrumentationScope("agentmesh")
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {
    telemetry.SERVER: SpanKind.SERVER,
    telemetry.CLIENT: SpanKind.CLIENT,
    telemetry.INTERNAL: SpanKind.INTERNAL,
    telemetry.CONSUMER: SpanKind.CONSUMER,
}
_OK = Status(StatusCode.UNSET)
_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}


def opened(service: str, wanted: Wanted) -> "Otel":
    """Begin to tell of this process."""
    return Otel(service, wanted)


class Otel:
    """See `meshkit.telemetry.Telemetry`."""

    def __init__(self, service: str, wanted: Wanted) -> None:
        self.traces = bool(wanted.endpoint)
        self._resource = Resource.create(
            {"service.namespace": "agentmesh", "service.name": service, "service.instance.id": str(wanted.replica)}
        )
        _quiet(wanted.endpoint)
        way: dict[str, Any] = {
            "endpoint": wanted.endpoint,
            "insecure": not wanted.endpoint.startswith("https://"),
            "headers": _pairs(wanted.headers),
            "timeout": _EXPORT_S,
        }
        self._spans: BatchSpanProcessor | None = None
        self._logs: LoggerProvider | None = None
        readers: list[MetricReader] = []
        if self.traces:
            queue: dict[str, Any] = {"max_queue_size": _QUEUE_MAX, "max_export_batch_size": _BATCH_MAX}
            self._spans = BatchSpanProcessor(OTLPSpanExporter(**way), schedule_delay_millis=_EVERY_MS, **queue)
            self._logs = LoggerProvider(self._resource, shutdown_on_exit=False)
            batches = BatchLogRecordProcessor(OTLPLogExporter(**way), schedule_delay_millis=_EVERY_MS, **queue)
            self._logs.add_log_record_processor(batches)
            self._logger = self._logs.get_logger("agentmesh")
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(**way), _METRICS_EVERY_MS, _EXPORT_S * 1e3))
        self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self._registry)
        if wanted.metrics:
            readers.append(_Prometheus(self._registry))
        self._metrics = MeterProvider(
            readers,
            self._resource,
            shutdown_on_exit=False,
            views=[View(instrument_name="rpc.*", aggregation=ExplicitBucketHistogramAggregation(_SECONDS))],
        )
        self._meter = self._metrics.get_meter("agentmesh")
        self._calls = self._meter.create_histogram("rpc.server.call.duration", "s", "Calls of our methods")
        self._of_calls: dict[tuple[str, str], dict[str, str]] = {}

    def span(self, span: Span) -> None:
        """Take a span that has ended."""
        if self._spans is None:
            return
        self._spans.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.place),
                parent=_context(Place(span.place.trace_id, span.parent)) if span.parent else None,
                resource=self._resource,
                attributes={name: _value(value) for name, value in span.attributes.items()},
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.error[:_TEXT_CHARS_MAX]) if span.error else _OK,
                start_time=span.start,
                end_time=span.end,
                instrumentation_scope=_SCOPE,
            )
        )

    def called(self, method: str, code: str, seconds: float) -> None:
        """Take how a call of one of our methods went."""
        key = (method, code)
        attributes = self._of_calls.get(key)
        if attributes is None:
            attributes = {"rpc.method": method.strip("/"), "rpc.response.status_code": code}
            self._of_calls[key] = attributes
        self._calls.record(seconds, attributes)

    def log(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if self._logs is None:
            return
        level, place = str(line.get("level", "info")), telemetry.here()
        known = ("event", "level", "timestamp")
        self._logger.emit(
            LogRecord(
                timestamp=telemetry.now(),
                trace_id=int(place.trace_id, 16) if place else None,
                span_id=int(place.span_id, 16) if place else None,
                trace_flags=_SAMPLED if place else None,
                severity_text=level.upper(),
                severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
                body=str(line.get("event", ""))[:_TEXT_CHARS_MAX],
                attributes={name: _value(value) for name, value in line.items() if name not in known},
            )
        )

    def gauge(self, name: str, what: str, observe: Observe, *, total: bool = False) -> None:
        """Ask `observe` whenever somebody wants to know; a `total` only grows."""

        def asked(_: CallbackOptions) -> list[Observation]:
            return [Observation(value, dict(of)) for value, of in observe()]

        make = self._meter.create_observable_counter if total else self._meter.create_observable_gauge
        make(name, [asked], description=what)

    def exposition(self) -> str:
        """Return every metric as Prometheus reads it."""
        return prometheus_client.generate_latest(self._registry).decode()

    def close(self) -> None:
        """Tell what is left, for a second at most."""
        # The SDK gives up when its exporter does, whatever it is told: an end of ours does not wait for that.
        telling = threading.Thread(target=self._flush, name="last-telemetry", daemon=True)
        telling.start()
        telling.join(_LEFT_S)

    def _flush(self) -> None:
        if self._spans is not None:
            self._spans.force_flush()
        if self._logs is not None:
            self._logs.force_flush()


class _Prometheus(PrometheusMetricReader):
    """Keeps its metrics in a registry of ours, not in the one of the process."""

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        super().__init__(disable_target_info=True)
        prometheus_client.REGISTRY.unregister(self._collector)
        registry.register(self._collector)


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


def _context(place: Place) -> SpanContext:
    return SpanContext(int(place.trace_id, 16), int(place.span_id, 16), is_remote=False, trace_flags=_SAMPLED)


def _pairs(headers: str) -> Sequence[tuple[str, str]]:
    found = (pair.partition("=") for pair in re.split(r"\s*,\s*", headers) if pair)
    return [(name.strip().lower(), value.strip()) for name, _, value in found]


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:_TEXT_CHARS_MAX]
