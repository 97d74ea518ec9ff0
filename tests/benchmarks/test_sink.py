"""The collector that telemetry is measured against."""

import grpc

from benchmarks.telemetry import sink


def test_whatever_is_sent_is_taken() -> None:
    """An exporter hears that all is well, and nobody has looked at what it sent."""
    with sink() as url, grpc.insecure_channel(url.removeprefix("http://")) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

        assert b"" == export(b"\xff", timeout=30)
