"""The command `agentmesh`: a file per noun, no logic; everything is a call on `agentmesh.client`."""

import sys

_ELSEWHERE = (
    "agentmesh: the mesh and its command line run on Linux and macOS, not here.  On Windows take WSL 2, which is "
    "Linux; the Python client (agentmesh.client), the panel and the APIs of a mesh elsewhere can be used from here."
)


def main() -> None:
    """Run the command line and exit."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        sys.exit(_ELSEWHERE)
    from agentmesh.cli.app import run

    sys.exit(run(sys.argv[1:]))
