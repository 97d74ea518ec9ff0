"""`python -m gateway.envoy`: write the bootstrap, and become Envoy."""

import json
import os
import pathlib
import sys

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import contract, downstream, origins
from gateway.edge.bootstrap import render
from gateway.edge.envoy import command, write_private
from meshkit.net import endpoints, tls, whence
from meshkit.service import from_environment


def main() -> None:
    """Do so."""
    config = from_environment(EdgeConfig)
    try:
        origins.check(config, DIALECTS)
        if config.wires.tls is not None:
            config.wires.tls.check("edge")
        if config.edge_tls_cert:
            tls.check_pair(pathlib.Path(config.edge_tls_cert), pathlib.Path(config.edge_tls_key))
            write_private(downstream.secret_path(config), json.dumps(downstream.secret(config)))
        if config.admin_socket:
            with endpoints.taking(endpoints.parse(config.admin_socket)):
                pass  # Envoy binds to it; the folder is ours alone now, and nobody is there
        path = config.data_dir / "envoy" / "bootstrap.json"
        descriptors = contract.without_comments(contract.descriptors())
        write_private(path, json.dumps(render(config, "", descriptors, DIALECTS, whence.mark(config.secret))))
    except (OSError, ValueError) as error:  # a socket, a certificate, a file or a name is not as it must be
        print(f"agentmesh: cannot start: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    argv = command(config, path)
    os.execv(argv[0], argv)


if __name__ == "__main__":
    main()
