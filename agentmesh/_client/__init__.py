"""The insides of `agentmesh.client`, which is what people import."""

import os

_VERBOSITY = "GRPC_VERBOSITY"
if _VERBOSITY not in os.environ:
    # gRPC's core writes lines of its own about each connection that fails, and reads this when it is imported.  What is
    # wrong is said by the errors that we raise.
    os.environ[_VERBOSITY] = "NONE"
    import grpc  # noqa: F401

    del os.environ[_VERBOSITY]
