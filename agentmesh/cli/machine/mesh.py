"""`agentmesh up`, `restart` and `serve`: the processes of a mesh.

Nothing heavy is imported here: `up` has its children started before anything else happens, and goes on without what
has read its command line.
"""

import fcntl
import json
import os
import pathlib
import signal
import sys
import time
from typing import Annotated

import typer

from agentmesh.supervisor import handing, restarts
from agentmesh.supervisor.services import CLUSTER, SERVICES

_SERVABLE = {**SERVICES, "cluster": CLUSTER}
_RESTART_S = 600.0
_LOOK_S = 0.1
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("text", "json")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(restart)
    app.command()(serve)


def up(
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The mesh's one port; 0 takes a free one.")] = 3370,
    data_dir: Annotated[
        pathlib.Path, typer.Option(help="Where everything is kept.", envvar="AGENTMESH_DATA_DIR")
    ] = pathlib.Path("data"),
    replicas: Annotated[
        int,
        typer.Option(
            help="Processes of each service; more than one need a PostgreSQL, and should have a Redis.",
            envvar="AGENTMESH_REPLICAS",
        ),
    ] = 1,
    examples: Annotated[bool, typer.Option("--examples", help="Expose and boot the example apps.")] = False,
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning or error.", envvar="AGENTMESH_LOG_LEVEL")
    ] = "info",
    log_format: Annotated[
        str,
        typer.Option(
            help="text for people, json for programs; text on a terminal, else json.", envvar="AGENTMESH_LOG_FORMAT"
        ),
    ] = "",
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Run apps on Ray: on one that runs on this machine, or else on one of its own."),
    ] = False,
    tls_cert: Annotated[
        pathlib.Path | None,
        typer.Option(help="PEM of a certificate: the port speaks https.", envvar="AGENTMESH_EDGE_TLS_CERT"),
    ] = None,
    tls_key: Annotated[
        pathlib.Path | None, typer.Option(help="PEM of its key.", envvar="AGENTMESH_EDGE_TLS_KEY")
    ] = None,
    native_ports: Annotated[
        bool, typer.Option("--native-ports", help="Also listen on 5246 (Codex), 8000 (Kasal) and 8090 (Koda).")
    ] = False,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="End when standard input does: with who has started it.")
    ] = False,
) -> None:
    """Start a mesh; `agentmesh ready URL` on stdout says that it answers.  Ctrl-C ends it.

    Apps are imported from the directory this is started in.
    """
    if log_level.lower() not in _LEVELS:
        raise typer.BadParameter(f"--log-level must be one of {', '.join(_LEVELS)}")
    if log_format not in ("", *_FORMATS):
        raise typer.BadParameter(f"--log-format must be one of {', '.join(_FORMATS)}")
    options = {
        "host": host,
        "port": port,
        "data_dir": str(data_dir),
        "replicas": replicas,
        "examples": examples,
        "log_level": log_level.lower(),
        "log_format": log_format or ("text" if sys.stderr.isatty() else "json"),
        "ray": ray,
        "native_ports": native_ports,
        "until_eof": until_eof,
    }
    if tls_cert is not None or tls_key is not None:
        from agentmesh.cli.machine import certificates

        shown = certificates.checked(tls_cert, tls_key)
        options |= {"tls_cert": str(shown.cert), "tls_key": str(shown.key), "tls_name": shown.name}
    handing.become("agentmesh.supervisor", json.dumps(options))


def restart(
    data_dir: Annotated[
        pathlib.Path, typer.Option(help="Of the mesh, as `up` was told.", envvar="AGENTMESH_DATA_DIR")
    ] = pathlib.Path("data"),
) -> None:
    """Restart the services of a mesh on this machine, one after the other; returns when all answer again.

    Apps and their jobs run on.  To have new code of apps served, `agentmesh boot` them.
    """
    pid = _supervisor(data_dir)
    before, _ = restarts.counted(data_dir)
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + _RESTART_S
    while (last := restarts.counted(data_dir))[0] <= before:
        if time.monotonic() > until or _supervisor(data_dir) != pid:
            raise ValueError("the mesh did not say in time that it was restarted: look at its log")
        time.sleep(_LOOK_S)
    if last[1] != restarts.DONE:
        raise ValueError(f"not all was restarted: {last[1]}")
    typer.echo("restarted")


def _supervisor(data_dir: pathlib.Path) -> int:
    """Return the process that runs a mesh.  Raises `ValueError` if none does."""
    try:
        with (data_dir / "up.lock").open(encoding="utf-8") as lock:
            pid = lock.read().partition(" ")[0]
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        if pid.isdecimal():
            return int(pid)
        raise ValueError("the mesh is only starting: try again in a moment") from None
    except OSError:
        pass
    raise ValueError(f"no mesh uses the data directory {data_dir}: name its own with --data-dir")


def serve(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(_SERVABLE)}.")],
    data_dir: Annotated[
        pathlib.Path | None, typer.Option(help="Where everything is kept.", envvar="AGENTMESH_DATA_DIR")
    ] = None,
) -> None:
    """Run one service of a mesh alone, in this process.

    It listens in AGENTMESH_SOCKETS_DIR, unless AGENTMESH_AUTH_ADDRESS, AGENTMESH_RUNNER_ADDRESS and so on say where.
    """
    chosen = _SERVABLE.get(service)
    if chosen is None:
        raise typer.BadParameter(f"there is no service {service!r}: choose one of {', '.join(_SERVABLE)}")
    if data_dir is not None:
        os.environ["AGENTMESH_DATA_DIR"] = str(data_dir)
    handing.become(chosen.module, secrets_of=chosen.secrets)
