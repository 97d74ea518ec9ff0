"""Where the mesh does not run: a platform without what only Unix has."""

import subprocess
import sys

LACKING = ("fcntl", "grp", "pwd", "resource", "termios", "uvloop")
WITHOUT = f"import sys\nsys.modules.update(dict.fromkeys({LACKING}))\n"


def python(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program where these modules cannot be imported."""
    command = [sys.executable, "-P", "-c", WITHOUT + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_says_where_it_runs() -> None:
    """One line instead of a traceback."""
    done = python("import agentmesh.cli\nagentmesh.cli.main()")

    assert 1 == done.returncode
    assert done.stderr.startswith("agentmesh: the mesh and its command line run on Linux and macOS, not here.")
    assert 1 == len(done.stderr.splitlines())


def test_the_client_can_be_imported() -> None:
    """It speaks to a mesh elsewhere."""
    done = python("from agentmesh.client import Client\nprint(Client.__name__)")

    assert (0, "Client\n") == (done.returncode, done.stdout), done.stderr
