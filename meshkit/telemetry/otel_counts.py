"""What a process has counted: its calls, and what gauges say; as Prometheus reads it, and as OTLP has it.

The SDK's own histogram takes longer for a call than all else that is told of one.  Here it is a number more in a list.
"""

import bisect
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import prometheus_client
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import metrics_core

from meshkit.telemetry import trace
from meshkit.telemetry.trace import Observe

CALLS = "rpc.server.call.duration"
_CALLS_OF = "Calls of our methods"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class _Calls:
    """Those of one method that ended alike."""

    __slots__ = ("buckets", "longest", "seconds", "shortest")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_SECONDS) + 1)
        self.seconds, self.shortest, self.longest = 0.0, float("inf"), 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect.bisect_left(_SECONDS, seconds)] += 1
        self.seconds += seconds
        self.shortest, self.longest = min(self.shortest, seconds), max(self.longest, seconds)


@dataclasses.dataclass(slots=True)
class _Gauge:
    what: str
    is_total: bool
    observes: list[Observe]

    def read(self) -> list[tuple[float, Mapping[str, str]]]:
        found: list[tuple[float, Mapping[str, str]]] = []
        for observe in self.observes:
            # We are on another thread: what it looks at may have changed under it, and is looked at again soon.  And
            # whatever is wrong with one is no reason to hear of none.
            with contextlib.suppress(Exception):
                found.extend(observe())
        return found


class Counts:
    """Counts on one thread; others may read meanwhile."""

    def __init__(self) -> None:
        self._since = trace.now()
        self._calls: dict[tuple[str, str], _Calls] = {}
        self._gauges: dict[str, _Gauge] = {}

    def called(self, method: str, code: str, seconds: float) -> None:
        """As `Telemetry.called`."""
        calls = self._calls.get((method, code))
        if calls is None:
            calls = self._calls[method, code] = _Calls()
        calls.add(seconds)

    def gauge(self, name: str, what: str, observe: Observe, *, total: bool = False) -> None:
        """As `Telemetry.gauge`."""
        self._gauges.setdefault(name, _Gauge(what, total, [])).observes.append(observe)

    def _of_calls(self) -> Iterator[tuple[str, str, Sequence[int], _Calls]]:
        for (method, code), calls in list(self._calls.items()):
            yield method.strip("/"), code, list(calls.buckets), calls

    def collect(self) -> Iterator[metrics_core.Metric]:
        """Yield what Prometheus reads: this is a collector of its client library."""
        names = ("rpc_method", "rpc_response_status_code")
        family = metrics_core.HistogramMetricFamily(f"{_prometheus(CALLS)}_seconds", _CALLS_OF, labels=names)
        for method, code, buckets, calls in self._of_calls():
            family.add_metric((method, code), list(_cumulative(buckets)), calls.seconds)
        if family.samples:
            yield family
        for name, gauge in list(self._gauges.items()):
            kind = metrics_core.CounterMetricFamily if gauge.is_total else metrics_core.GaugeMetricFamily
            if found := gauge.read():
                labels = list(found[0][1])
                read = kind(_prometheus(name), gauge.what, labels=labels)
                for value, of in found:
                    read.add_metric([of[label] for label in labels], value)
                yield read

    def exposition(self) -> str:
        """As `Telemetry.exposition`; what the process takes of its machine is in it."""
        registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        registry.register(self)
        return prometheus_client.generate_latest(registry).decode()

    def data(self, resource: Resource, scope: InstrumentationScope) -> MetricsData:
        """Return it as OTLP has it, of a `resource`."""
        now = trace.now()
        metrics = [export.Metric(CALLS, _CALLS_OF, "s", export.Histogram(self._call_points(now), _CUMULATIVE))]
        for name, gauge in list(self._gauges.items()):
            points = [export.NumberDataPoint(dict(of), self._since, now, value) for value, of in gauge.read()]
            data = export.Sum(points, _CUMULATIVE, is_monotonic=True) if gauge.is_total else export.Gauge(points)
            metrics.append(export.Metric(name, gauge.what, "", data))
        known = [metric for metric in metrics if metric.data.data_points]
        of_us = export.ResourceMetrics(resource, [export.ScopeMetrics(scope, known, "")], "")
        return MetricsData([of_us])

    def _call_points(self, now: int) -> list[export.HistogramDataPoint]:
        return [
            export.HistogramDataPoint(
                attributes={"rpc.method": method, "rpc.response.status_code": code},
                start_time_unix_nano=self._since,
                time_unix_nano=now,
                count=sum(buckets),
                sum=calls.seconds,
                bucket_counts=buckets,
                explicit_bounds=_SECONDS,
                min=calls.shortest,
                max=calls.longest,
            )
            for method, code, buckets, calls in self._of_calls()
        ]


def _cumulative(buckets: Sequence[int]) -> Iterator[tuple[str, int]]:
    total = 0
    for bound, count in zip((*map(str, _SECONDS), "+Inf"), buckets, strict=True):
        total += count
        yield bound, total


def _prometheus(name: str) -> str:
    return name.replace(".", "_")
