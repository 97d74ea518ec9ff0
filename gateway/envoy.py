"""`python -m gateway.envoy`: wait for the auth service's keys, write the bootstrap, and become Envoy."""

import asyncio
import json
import os

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.edge.bootstrap import render
from gateway.edge.envoy import command, fetch_jwks, write_private
from meshkit import whence


def main() -> None:
    """Do so."""
    config = EdgeConfig()
    jwks_json = asyncio.run(fetch_jwks(config.auth_address, config.start_timeout_s))
    path = config.data_dir / "envoy" / "bootstrap.json"
    descriptors = contract.without_comments(contract.descriptors())
    write_private(path, json.dumps(render(config, jwks_json, descriptors, DIALECTS, whence.mark(config.secret))))
    argv = command(config, path)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
