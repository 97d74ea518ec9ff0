"""`python -m gateway.envoy`: wait for the auth service's keys, write the bootstrap, and become Envoy."""

import asyncio
import json
import os
import sys

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.edge.bootstrap import render
from gateway.edge.envoy import command, fetch_jwks, write_private
from meshkit import whence


def main() -> None:
    """Do so."""
    config = EdgeConfig()
    try:
        jwks_json = asyncio.run(fetch_jwks(config.peer("auth"), config.start_timeout_s))
    except OSError as error:  # where its socket must be is not safe
        print(f"agentmesh: cannot start: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    path = config.data_dir / "envoy" / "bootstrap.json"
    descriptors = contract.without_comments(contract.descriptors())
    write_private(path, json.dumps(render(config, jwks_json, descriptors, DIALECTS, whence.mark(config.secret))))
    argv = command(config, path)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
