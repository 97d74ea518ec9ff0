"""What an actor of Ray does for a host: it has a nursery started on its node, in a process of its own, for that host.

A worker of Ray has threads, and must not fork; its nursery is another interpreter, without any.  That dies with the
actor (PR_SET_PDEATHSIG), however it ends.  What the actor is made with can be read in Ray's tables, so nothing secret
is in it: the host's spec, its badge and its variables come later, sealed (`sealing`).  Actor and nursery may be there
before anybody knows for which host, and fork several (`spares`).
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any

import ray
from agentmesh_protos.runner.v1 import placement_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostStart, NurseryOrder

from agentmesh.cluster import places, sessions
from agentmesh.cluster.names import HOOK, HOOK_VARIABLE
from agentmesh.cluster.orders import Nursery
from agentmesh.cluster.sealing import Key
from agentmesh.host.own import environment

_START_S = 60.0
_LINGER_S = 60.0
"""How long an actor whose host has ended waits to be asked how."""
_WAIT_S = 60.0
"""How long one question waits for a host's end.  One of somebody who was killed must not wait for ever: so many wait at
once, and no more are heard."""
_UNWANTED_S = 120.0
"""How long an actor that has no host yet waits to be asked for anything: whoever made it may have been killed."""


class HostActor:
    """One host, or several that share a nursery.  Every method may be called again by a bridge that has begun anew."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` are those of the nursery that all may read: `environment.OF_THE_NURSERY`, and `cwd`."""
        self._settings = dict(settings)
        self._key = Key()
        self._room = 1
        """How many hosts may live here at once; with more than one the nursery stays when they have ended."""
        self._hosts: dict[str, asyncio.Future[str]] = {}
        """All that were started, with how they have ended once they have."""
        self._turn = asyncio.Lock()
        self._folder = ""
        self._nursery: Nursery | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None
        self._unwanted: threading.Timer | None = None
        self._be_wanted()

    async def key(self) -> bytes:
        """Return what to seal with for this actor."""
        self._be_wanted()
        return self._key.public

    async def prepare(self, sealed: bytes, room: int) -> int:
        """Have a nursery ready for up to `room` hosts, in the environment of a sealed `HostStart` without a host.

        Returns for how many it is.  Raises as `start`.
        """
        self._room = room
        async with self._turn:
            await self._start_nursery(HostStart.FromString(self._key.open(sealed)))
        return self._room

    async def keep(self) -> None:
        """Wait on for a host.  Raises `RuntimeError` if there is nothing ready for one any more."""
        if self._process is None or self._process.returncode is not None:
            raise RuntimeError("this actor has no nursery")
        self._be_wanted()

    async def start(self, sealed: bytes) -> None:
        """Start the host of a sealed `HostStart`.  Raises `NotSealed`, and `RuntimeError` if it cannot be started."""
        start = HostStart.FromString(self._key.open(sealed))
        host_id = start.spec.host_id
        if host_id in self._hosts or len(self._living()) >= self._room:
            raise RuntimeError("this actor has started its host already")
        self._hosts[host_id] = asyncio.get_running_loop().create_future()
        try:
            spec = self._adapted(start.spec, is_for_flows="RAY_ADDRESS" in start.environment)
            async with self._turn:
                if self._nursery is None:
                    await self._start_nursery(start)
                assert self._nursery is not None
                await self._nursery.send(NurseryOrder(start=spec), start.badge)
        except BaseException:
            self._hosts.pop(host_id)
            if not self._living():
                self._give_up()
            self._be_wanted()
            raise

    def _living(self) -> list[str]:
        return [host_id for host_id, ended in list(self._hosts.items()) if not ended.done()]  # a thread asks, too

    async def hosts(self) -> tuple[list[str], int]:
        """Return the ids of the hosts that were started here and live, and how many may."""
        return self._living(), self._room

    async def ended(self, host_id: str) -> str:
        """Wait until a host has ended; return how, or nothing if that takes long: then ask again."""
        if host_id not in self._hosts:
            return "was not started"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                return await asyncio.shield(self._hosts[host_id])
        return ""

    async def stop(self, host_id: str) -> None:
        """End a host, and all it runs; nobody asks for it any more."""
        ended = self._hosts.get(host_id)
        if ended is not None and not ended.done():
            async with self._turn:  # after its start, if that is under way
                if self._nursery is not None and host_id in self._hosts:
                    await self._nursery.send(NurseryOrder(stop=host_id))
            if host_id in self._hosts:
                await asyncio.shield(ended)
        self._hosts.pop(host_id, None)

    async def _start_nursery(self, start: HostStart) -> None:
        self._folder = tempfile.mkdtemp(prefix="agentmesh-host-")
        os.chmod(self._folder, 0o711)  # jobs of other users must get to their own folders
        path = pathlib.Path(self._folder, "nursery")
        command = [sys.executable, "-P", "-m", "agentmesh.host"]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._environment(start, path), cwd=self._cwd(), stdin=asyncio.subprocess.DEVNULL
            )
            self._nursery = await Nursery.connect(str(path), self._process, _START_S)
        except BaseException:
            self._give_up()
            raise
        self._following = asyncio.create_task(self._follow(self._nursery, self._process), name="follow")

    async def _follow(self, nursery: Nursery, process: asyncio.subprocess.Process) -> None:
        """Hear of hosts that end; after the only one end the nursery, and by and by the actor."""
        only = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for event in nursery.events():
                ended = self._hosts.get(event.exited.host_id) if event.HasField("exited") else None
                if ended is None:
                    continue
                if self._room == 1:
                    only = ended, event.exited.reason
                    break
                ended.set_result(event.exited.reason)
                self._be_wanted()
        nursery.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        if only is not None:
            only[0].set_result(only[1])
        for host_id in self._living():
            self._hosts[host_id].set_result("was lost with its nursery")
        await asyncio.sleep(_LINGER_S)
        _end()

    def _give_up(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _be_wanted(self) -> None:
        """End in a while, unless there is a host or somebody asks again."""
        if self._unwanted is not None:
            self._unwanted.cancel()
        self._unwanted = threading.Timer(_UNWANTED_S, self._end_if_unwanted)
        self._unwanted.daemon = True
        self._unwanted.start()

    def _end_if_unwanted(self) -> None:
        if not self._living():
            self._give_up()
            _end()

    def _adapted(self, spec: placement_pb2.HostSpec, *, is_for_flows: bool) -> placement_pb2.HostSpec:
        """Return the spec as it holds here: what Ray has provided is not provided again."""
        adapted = placement_pb2.HostSpec()
        adapted.CopyFrom(spec)
        given = json.loads(spec.runtime_env_json or "{}")
        kept: dict[str, Any] = {"env_vars": given["env_vars"]} if given.get("env_vars") else {}
        if "working_dir" in _own_runtime_env():
            kept["working_dir"] = os.getcwd()
        adapted.runtime_env_json = json.dumps(kept)
        if is_for_flows:
            session = sessions.folder()
            adapted.bounds.read_paths.append(str(session))
            adapted.bounds.write_paths.append(str(session / sessions.LOGS))
            if self._settings.get("own"):
                sessions.open_to_jobs(session)
        return adapted

    def _cwd(self) -> str | None:
        """Return where the mesh was started, if this node has that and Ray has not provided another folder."""
        cwd = self._settings.get("cwd", "")
        return cwd if cwd and os.path.isdir(cwd) and "working_dir" not in _own_runtime_env() else None

    def _environment(self, start: HostStart, path: pathlib.Path) -> dict[str, str]:
        """Return the nursery's environment: what may pass of this node's, what was handed over, and the settings."""
        passed = {**start.environment, **_for_flows(start.environment)}
        # Where this process imports from, then where the mesh does: a node that has not those folders is not harmed.
        found = [*(each for each in sys.path if each), *start.environment.get("PYTHONPATH", "").split(os.pathsep)]
        env = {**environment.allowed(os.environ), **passed}
        env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, found)))
        env |= {name: value for name, value in self._settings.items() if name in environment.OF_THE_NURSERY}
        env |= {environment.NURSERY: str(path), environment.JOBS_DIR: str(path.parent)}
        env[environment.PASS_ENV] = ",".join(passed)
        users, self._room = places.take(env.get(environment.UIDS, ""), self._room)
        return env | ({environment.UIDS: users} if users else {})


def _end() -> None:
    """End this actor, from outside of its methods."""
    ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def _own_runtime_env() -> dict[str, Any]:
    return dict(ray.get_runtime_context().runtime_env)


def _for_flows(given: Mapping[str, str]) -> dict[str, str]:
    """Return variables by which `ray.init()` in a flow finds this cluster, and its workers what the flow imports.

    Nothing if flows are not to use it: `given` says so by leaving RAY_ADDRESS out.
    """
    if "RAY_ADDRESS" not in given:
        return {}
    found = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    runtime_env = _own_runtime_env()
    if not runtime_env and os.environ.get(HOOK_VARIABLE) == HOOK:
        return found  # every worker of this Ray has it all: those that are started ahead can be used
    runtime_env["worker_process_setup_hook"] = HOOK
    path = given.get("PYTHONPATH")
    runtime_env["env_vars"] = {**({"PYTHONPATH": path} if path else {}), **runtime_env.get("env_vars", {})}
    # What a flow says itself in `ray.init` counts more.
    return {
        **found,
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": runtime_env}),
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
    }
