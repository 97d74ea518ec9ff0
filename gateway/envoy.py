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
from meshkit import endpoints, whence
from meshkit.service import from_environment


def main() -> None:
    """Do so."""
    config = from_environment(EdgeConfig)
    try:
        if config.wires.tls is not None:
            config.wires.tls.check("edge")
        if config.admin_socket:
            with endpoints.taking(endpoints.parse(config.admin_socket)):
                pass  # Envoy binds to it; the folder is ours alone now, and nobody is there
        jwks_json = asyncio.run(fetch_jwks(config.peer("auth"), config.start_timeout_s))
        path = config.data_dir / "envoy" / "bootstrap.json"
        descriptors = contract.without_comments(contract.descriptors())
        write_private(path, json.dumps(render(config, jwks_json, descriptors, DIALECTS, whence.mark(config.secret))))
    except OSError as error:  # a socket, a certificate or a file is not as it must be
        print(f"agentmesh: cannot start: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    argv = command(config, path)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
