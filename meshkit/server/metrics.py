"""The gRPC service by which a process tells what it has counted (`mesh.telemetry.v1`)."""

import asyncio

from agentmesh_protos.telemetry.v1 import telemetry_pb2, telemetry_pb2_grpc

from meshkit import telemetry
from meshkit.interceptors import Context

SERVICE = "mesh.telemetry.v1.TelemetryService"


class TelemetryServicer(telemetry_pb2_grpc.TelemetryServiceServicer):
    """Unpack, call, pack."""

    async def GetMetrics(
        self, request: telemetry_pb2.GetMetricsRequest, context: Context
    ) -> telemetry_pb2.GetMetricsResponse:
        """Return what this process has counted, if it counts."""
        to = telemetry.active()
        text = "" if to is None else await asyncio.to_thread(to.exposition)
        return telemetry_pb2.GetMetricsResponse(exposition=text)
