"""What leaves for a collector and for Prometheus."""

from opentelemetry.sdk.metrics.export import HistogramDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.parser import text_string_to_metric_families

from meshkit.telemetry import INTERNAL, Place, Span, Wanted
from meshkit.telemetry.otel import Otel
from meshkit.telemetry.otel_counts import CALLS, Counts
from tests.telemetry.collector import collecting

PLACE = Place("1" * 32, "2" * 16)


def test_a_span_that_is_no_unicode_takes_nobody_with_it() -> None:
    """A flow may name its steps as it likes, count beyond what OTLP has as a number, and say times that are none."""
    attributes = {"text": "caf\u00e9 \udc80", "yes": True, "one": 1, "half": 0.5, "huge": 1 << 64}
    odd = Span(name="\ud800", place=PLACE, parent="3" * 16, start=1, end=2, error="\ud800", attributes=attributes)
    plain = Span(name="plain", place=PLACE.inner("4" * 16), parent="", start=1, end=2, kind=INTERNAL)
    late = Span(name="late", place=PLACE.inner("5" * 16), parent="", start=1, end=1 << 64, kind=INTERNAL)
    with collecting() as collector:
        otel = Otel("bakery", Wanted(endpoint=collector.url))
        otel.span(late)
        otel.span(odd)
        otel.span(plain)
        otel.close()
        found = collector.spans(PLACE.trace_id, lambda spans: len(spans) == 2)

    said = {span.id: span for span in found}
    heard, other = said[PLACE.span_id], said["4" * 16]
    assert ("?", "3" * 16, True, "bakery") == (heard.name, heard.parent, heard.failed, heard.service)
    assert ("plain", "", False) == (other.name, other.parent, other.failed)
    assert {**attributes, "text": "caf\u00e9 ?", "huge": str(1 << 64)} == heard.attributes


def test_calls_are_counted_alike_for_prometheus_and_a_collector() -> None:
    """In buckets that hold what is at most their bound; gauges of one name stand together."""
    counts = Counts()
    for seconds in (0.001, 0.002, 31.0):
        counts.called("/mesh.Bakery/Bake", "OK", seconds)
    counts.gauge("bakery.ovens", "Ovens", lambda: [(2.0, {"of": "clay"})])
    counts.gauge("bakery.ovens", "Ovens", lambda: [(1.0, {"of": "steel"})])
    counts.gauge("bakery.loaves", "Loaves", lambda: [(7.0, {})], total=True)
    counts.gauge("bakery.broken", "Broken", lambda: [(float("none"), {})])

    families = text_string_to_metric_families(counts.exposition())
    samples = {
        (sample.name, sample.labels.get("le") or sample.labels.get("of", "")): sample.value
        for family in families
        for sample in family.samples
    }
    name = "rpc_server_call_duration_seconds"
    assert [1, 2, 2, 3] == [samples[f"{name}_bucket", bound] for bound in ("0.001", "0.0025", "30.0", "+Inf")]
    assert 3 == samples[f"{name}_count", ""]
    assert (2, 1) == (samples["bakery_ovens", "clay"], samples["bakery_ovens", "steel"])
    assert 7 == samples["bakery_loaves_total", ""]

    (of_us,) = counts.data(Resource({}), InstrumentationScope("x")).resource_metrics
    metrics = {metric.name: metric.data for metric in of_us.scope_metrics[0].metrics}
    assert {CALLS, "bakery.ovens", "bakery.loaves"} == set(metrics)
    (point,) = metrics[CALLS].data_points
    assert isinstance(point, HistogramDataPoint)
    assert (3, 0.001, 31.0) == (point.count, point.min, point.max)
    assert [1, 1, *[0] * 12, 1] == list(point.bucket_counts)
