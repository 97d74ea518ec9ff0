"""The command `agentmesh`: one file per noun, no logic of its own; everything is a call on `agentmesh.client`."""

import sys


def main() -> None:
    """Run the command line and exit."""
    from agentmesh.cli.app import run

    sys.exit(run(sys.argv[1:]))
