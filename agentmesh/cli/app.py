"""The commands, and what becomes of their errors.  Exit codes are in docs/cli.md."""

import io
import os
import sys
from typing import Annotated

import typer

from agentmesh.cli.machine import mesh
from agentmesh.cli.terminal import anywhere

EXIT_FAILED = 1
EXIT_USAGE = 2
TRACEBACK = "AGENTMESH_TRACEBACK"


def build(*, whole: bool = True) -> typer.Typer:
    """Return the command line.  Not whole, it has only what starts processes: that needs neither gRPC nor rich."""
    app = typer.Typer(
        name="agentmesh",
        help="A mesh of services that runs agentic flows behind one port.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    mesh.add_to(app)
    if whole:
        from agentmesh.cli.definitions import agents, chat, crews, exposes, tools
        from agentmesh.cli.jobs import again, files, flows, jobs, locks, payments
        from agentmesh.cli.machine import backup, certs, dev, doctor, logs, new
        from agentmesh.cli.people import keys, login, sessions, status, users
        from agentmesh.cli.timed import retention, schedules, webhooks

        for module in (
            dev,
            new,
            status,
            exposes,
            flows,
            jobs,
            files,
            again,
            locks,
            login,
            payments,
            agents,
            crews,
            tools,
            schedules,
            webhooks,
            retention,
            chat,
            certs,
            doctor,
            logs,
            backup,
            keys,
            sessions,
            users,
        ):
            module.add_to(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        print(importlib.metadata.version("agentmesh"))
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Say which version this is, if asked."""


def run(arguments: list[str]) -> int:
    """Run a command line; return its exit code.  Errors become one line on stderr, never a traceback."""
    arguments = [_text(each) for each in arguments]
    for stream in (sys.stdout, sys.stderr):  # what a terminal without UTF-8 cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app = build(whole=arguments[:1] not in (["up"], ["serve"]))
        app(anywhere.placed(arguments, app), prog_name="agentmesh")
        return 0
    except SystemExit as done:  # typer's way to end, usage errors included
        return done.code if isinstance(done.code, int) else 0
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ValueError as error:
        return _refuse(str(error))
    except Exception as error:
        from agentmesh.client import MeshError

        if isinstance(error, MeshError):
            return _refuse(_explained(error))
        if os.environ.get(TRACEBACK):
            raise
        print(f"agentmesh: {type(error).__name__}: {error} (set {TRACEBACK}=1 to see where)", file=sys.stderr)
        return EXIT_FAILED


def _text(argument: str) -> str:
    """Return an argument as it was typed: in a locale without UTF-8 Python takes its bytes for something else."""
    return os.fsencode(argument).decode("utf-8", "surrogateescape")  # a file's name may be no UTF-8


def _refuse(message: str) -> int:
    print(f"agentmesh: {message}", file=sys.stderr)
    return EXIT_USAGE


def _explained(error: Exception) -> str:
    lines = [str(error)]
    for field, texts in getattr(error, "fields", {}).items():
        lines += [f"  {field}: {text}" for text in texts if text not in lines[0]]
    return "\n".join(lines)
