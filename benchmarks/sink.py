"""`python -m benchmarks.sink`: a collector of OpenTelemetry that looks at nothing, until its input ends."""

import concurrent.futures
import sys
from typing import Any

import grpc


class _Anything(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        # An empty message is a good answer to traces, metrics and logs alike.
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


def main() -> None:
    """Serve."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=(_Anything(),))
    print(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
