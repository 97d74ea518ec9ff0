"""A collector of OpenTelemetry: takes OTLP by gRPC, and keeps what it is sent."""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

HEARD_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A span that was sent."""

    service: str
    name: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    start: int
    end: int


class Collector:
    """What was heard so far."""

    def __init__(self) -> None:
        self.url = ""
        self.logs: list[tuple[str, str, dict[str, Any]]] = []
        """Trace, text and attributes."""
        self.metrics: set[tuple[str, str]] = set()
        """Service and name."""
        self.headers: set[tuple[str, str]] = set()
        self._spans: dict[str, list[Heard]] = collections.defaultdict(list)
        self._news = threading.Condition()

    def spans(self, trace_id: str, until: Callable[[list[Heard]], bool]) -> list[Heard]:
        """Wait until the spans of a trace satisfy `until`, and return them.  Raises `AssertionError` with them."""
        self.wait(lambda: until(self._spans[trace_id]), lambda: self._spans[trace_id])
        return list(self._spans[trace_id])

    @property
    def traces(self) -> set[str]:
        """The traces that something was heard of."""
        return set(self._spans)

    def wait(self, until: Callable[[], bool], what: Callable[[], object] = str) -> None:
        """Wait for `until`.  Raises `AssertionError`, saying `what` was heard."""
        with self._news:
            assert self._news.wait_for(until, HEARD_S), f"heard {what()}"

    def hear(self, take: Callable[[], None], context: Any) -> None:
        """Take in something."""
        with self._news:
            self.headers.update((key, value) for key, value in context.invocation_metadata())
            take()
            self._news.notify_all()

    def add_spans(self, request: trace_service_pb2.ExportTraceServiceRequest) -> None:
        """Keep spans."""
        for sent in request.resource_spans:
            service = _plain(sent.resource.attributes).get("service.name", "")
            for span in (span for scope in sent.scope_spans for span in scope.spans):
                self._spans[span.trace_id.hex()].append(
                    Heard(
                        service=service,
                        name=span.name,
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        attributes=_plain(span.attributes),
                        failed=span.status.code == span.status.STATUS_CODE_ERROR,
                        start=span.start_time_unix_nano,
                        end=span.end_time_unix_nano,
                    )
                )

    def add_logs(self, request: logs_service_pb2.ExportLogsServiceRequest) -> None:
        """Keep lines."""
        for line in (line for sent in request.resource_logs for scope in sent.scope_logs for line in scope.log_records):
            self.logs.append((line.trace_id.hex(), line.body.string_value, _plain(line.attributes)))

    def add_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        """Keep names."""
        for sent in request.resource_metrics:
            service = _plain(sent.resource.attributes).get("service.name", "")
            self.metrics |= {(service, metric.name) for scope in sent.scope_metrics for metric in scope.metrics}


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.hear(lambda: self._collector.add_spans(request), context)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.hear(lambda: self._collector.add_logs(request), context)
        return logs_service_pb2.ExportLogsServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> Any:
        self._collector.hear(lambda: self._collector.add_metrics(request), context)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextlib.contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the length of the block."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(collector), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_Logs(collector), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)  # type: ignore[no-untyped-call]
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value")), None) for each in attributes}
