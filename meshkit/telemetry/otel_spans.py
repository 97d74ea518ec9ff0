"""Spans on their way out: queued as they are, and made into OTLP by the thread that sends them.

The SDK makes three objects of a span before it makes the fourth that is sent, a good deal of it where the span ends: in
the middle of a call.  Its queue and its exporter are used as they are.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from meshkit.telemetry import trace
from meshkit.telemetry.trace import Span

TEXT_CHARS_MAX = 2_048
_SCOPE = "agentmesh"
_KINDS = {
    trace.SERVER: trace_pb2.Span.SPAN_KIND_SERVER,
    trace.CLIENT: trace_pb2.Span.SPAN_KIND_CLIENT,
    trace.INTERNAL: trace_pb2.Span.SPAN_KIND_INTERNAL,
    trace.CONSUMER: trace_pb2.Span.SPAN_KIND_CONSUMER,
}
_PLAIN = (str, bool, int, float)
_INTEGERS = range(-(1 << 63), 1 << 63)
"""What OTLP has as a number; others are texts."""
# All that the queue asks of a span before it takes it.
_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Ended(ReadableSpan):
    """A span of ours in the SDK's queue; the SDK reads nothing of it but `context`."""

    def __init__(self, span: Span) -> None:
        self.span = span

    @property
    def context(self) -> SpanContext:
        """Says that it is to be sent."""
        return _SAMPLED


class Exporter(OTLPSpanExporter):
    """Sends spans that are `Ended`."""

    def __init__(self, resource: Resource, **way: Any) -> None:
        """`resource` is what they are of, and `way` as the SDK's exporter has it."""
        super().__init__(**way)
        self._attributes = list(_attributes(resource.attributes))

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        of_us = request.resource_spans.add()
        of_us.resource.attributes.extend(self._attributes)
        scope = of_us.scope_spans.add()
        scope.scope.name = _SCOPE
        for each in data:
            if isinstance(each, Ended):
                with contextlib.suppress(ValueError):  # a flow says times that are none: its span is not sent
                    scope.spans.append(_message(each.span))
        return request


def _message(span: Span) -> trace_pb2.Span:
    to = trace_pb2.Span()
    to.trace_id = bytes.fromhex(span.place.trace_id)
    to.span_id = bytes.fromhex(span.place.span_id)
    to.parent_span_id = bytes.fromhex(span.parent)
    to.name = text(span.name)
    to.kind = _KINDS[span.kind]
    to.start_time_unix_nano = span.start
    to.end_time_unix_nano = span.end
    to.flags = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    to.attributes.extend(_attributes(span.attributes))
    if span.error:
        to.status.code = trace_pb2.Status.STATUS_CODE_ERROR
        to.status.message = text(span.error)
    return to


def _attributes(attributes: Mapping[str, Any]) -> list[common_pb2.KeyValue]:
    return [_attribute(name, value) for name, value in attributes.items() if isinstance(value, _PLAIN)]


@functools.lru_cache(1_024, typed=True)
def _attribute(name: str, value: str | float) -> common_pb2.KeyValue:
    """Return an attribute; most are those of many spans."""
    if isinstance(value, bool):
        said = common_pb2.AnyValue(bool_value=value)
    elif isinstance(value, int) and value in _INTEGERS:
        said = common_pb2.AnyValue(int_value=value)
    elif isinstance(value, float):
        said = common_pb2.AnyValue(double_value=value)
    else:
        said = common_pb2.AnyValue(string_value=text(value))
    return common_pb2.KeyValue(key=text(name), value=said)


def text(value: object) -> str:
    """Return a value as a text that can be sent: flows name things, and may use what is no Unicode."""
    said = str(value)[:TEXT_CHARS_MAX]
    return said if said.isascii() else said.encode(errors="replace").decode()
