"""How an app's zygote begins: with the packages, variables, folders and confinement that are the app's.

An app without packages of its own is loaded in a fork of the nursery.  One that has some cannot be: the mesh's are
imported there already.  It is loaded by the interpreter of its environment (`fresh`), which is handed what a
fork would know.
"""

import functools
import json
import os
import pathlib
import pickle
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import NoReturn

from agentmesh_protos.runner.v1 import host_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from agentmesh.host.confine import Confinement
from agentmesh.host.forking import environment, zygote
from agentmesh.host.own import folders
from agentmesh.host.own.folders import Folders
from agentmesh.host.packages import keeping
from agentmesh.host.packages.building import Builder
from agentmesh.host.packages.helpers import NotProvided
from agentmesh.host.packages.needs import Needs, fetched, place_of
from agentmesh.host.talk import limits
from agentmesh.host.talk.frames import Channel, Kind

_FRESH = "agentmesh.host.forking.fresh"


def begin(
    control: socket.socket, spec: HostSpec, confinement: Confinement | None, refusal: str, needed: Needs | None
) -> NoReturn:
    """Be the zygote of the app that `spec` describes, in a fork that has just been made; ends the process.

    `refusal` says why it cannot be confined, and so nothing of it may run.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        if confinement is None:
            raise ValueError(refusal)
        if needed is not None and confinement.kept is not None:
            say = functools.partial(_say, Channel(control))
            environment = _provide(needed, spec, confinement, confinement.kept, say)
            say("")
            if environment is not None:
                _become_fresh(environment, control, spec, confinement)
    except (ValueError, OSError) as error:
        _fail(control, error)
    _enter(control, spec, confinement)


def _provide(
    needed: Needs, spec: HostSpec, confinement: Confinement, kept: pathlib.Path, say: Callable[[str], None]
) -> pathlib.Path | None:
    """Have what the app needs; return its environment, if it has one.  The spec names what was fetched from then on."""
    builder = Builder(confinement, say)
    paths = {url: builder.fetch(url, place_of(url, kept)) for url in needed.urls}
    spec.runtime_env_json = json.dumps(fetched(json.loads(spec.runtime_env_json), paths))
    if needed.packages is None:
        return None
    found = kept / needed.packages.key
    builder.install(needed.packages, found)
    return found


def go_on(control: socket.socket, handed: bytes) -> NoReturn:
    """Be the zygote in an interpreter that was started for it; ends the process."""
    packed, confinement, held = pickle.loads(handed)  # of our parent
    keeping.go_on_holding(held)
    spec = HostSpec.FromString(packed)
    try:
        confinement.go_on_as_app()
        given = environment.apply(json.loads(spec.runtime_env_json or "{}"))
        folders.be_at_home(confinement.folder / folders.OF_THE_APP, given)
    except (ValueError, OSError) as error:
        _fail(control, error)
    zygote.main(control, spec, Folders(confinement.folder, given), confinement)


def _enter(control: socket.socket, spec: HostSpec, confinement: Confinement) -> NoReturn:
    try:
        given = environment.apply(json.loads(spec.runtime_env_json or "{}"))
        folders.settle(confinement.folder / folders.OF_THE_APP, given)
        confinement.enter_app()
    except (ValueError, OSError) as error:
        _fail(control, error)
    zygote.main(control, spec, Folders(confinement.folder, given), confinement)


def _say(channel: Channel, text: str) -> None:
    channel.send(Kind.PREPARING, text.encode())


def _fail(control: socket.socket, error: ValueError | OSError) -> NoReturn:
    said = str(error) if isinstance(error, NotProvided) else f"{type(error).__name__}: {error}"
    detail = error.detail if isinstance(error, NotProvided) else ""
    loaded = host_pb2.Loaded(error=limits.encodable(said), detail=limits.encodable(detail))
    Channel(control).send(Kind.LOADED, loaded.SerializeToString())
    os._exit(1)


def _become_fresh(found: pathlib.Path, control: socket.socket, spec: HostSpec, confinement: Confinement) -> NoReturn:
    """Go on in the interpreter of an environment, confined: packages run code when it starts, by their `.pth` files."""
    python = str(found / "bin" / "python")
    with tempfile.TemporaryFile(dir=confinement.folder) as file:
        file.write(pickle.dumps((spec.SerializeToString(), confinement, keeping.held())))
        file.seek(0)
        for fd in (control.fileno(), file.fileno(), *keeping.held()):
            os.set_inheritable(fd, True)
        folders.make(confinement.folder / folders.OF_THE_APP)
        confinement.enter_app(passed_on=True)
        variables = {**os.environ, "VIRTUAL_ENV": str(found)}
        variables["PATH"] = os.pathsep.join(filter(None, (str(found / "bin"), os.environ.get("PATH"))))
        flags = ["-P"] if sys.flags.safe_path else []
        numbers = map(str, (control.fileno(), file.fileno(), os.getppid()))
        os.execve(python, [python, *flags, "-m", _FRESH, *numbers], variables)
