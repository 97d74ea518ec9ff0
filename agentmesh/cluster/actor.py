"""What an actor of Ray does for one host: it has a nursery started on its node, in a process of its own, for that host.

A worker of Ray has threads, and must not fork; its nursery is another interpreter, without any.  That dies with the
actor (PR_SET_PDEATHSIG), however it ends.  What the actor is made with can be read in Ray's tables, so nothing secret
is in it: the host's spec, its badge and its variables come later, sealed (`sealing`).
"""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import ray
from mesh.runner.v1 import placement_pb2
from mesh.runner.v1.placement_pb2 import HostStart, NurseryOrder

from agentmesh.cluster import places, sessions
from agentmesh.cluster.names import HOOK, HOOK_VARIABLE
from agentmesh.cluster.orders import Nursery
from agentmesh.cluster.sealing import Key
from agentmesh.host.own import environment

_START_S = 60.0
_LINGER_S = 60.0
"""How long an actor whose host has ended waits to be asked how."""


class HostActor:
    """One host.  Every method may be called again by a bridge that has begun anew."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """`settings` are those of the nursery that all may read: `environment.OF_THE_NURSERY`, and `cwd`."""
        self._settings = dict(settings)
        self._key = Key()
        self._host_id = ""
        self._nursery: Nursery | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ended: asyncio.Future[str] | None = None
        self._following: asyncio.Task[None] | None = None

    async def key(self) -> bytes:
        """Return what to seal with for this actor."""
        return self._key.public

    async def start(self, sealed: bytes) -> None:
        """Start the host of a sealed `HostStart`.  Raises `NotSealed`, and `RuntimeError` if it cannot be started."""
        start = HostStart.FromString(self._key.open(sealed))
        if self._nursery is not None:
            raise RuntimeError("this actor has started its host already")
        self._host_id = start.spec.host_id
        self._ended = asyncio.get_running_loop().create_future()
        spec = self._adapted(start.spec, is_for_flows="RAY_ADDRESS" in start.environment)
        folder = tempfile.mkdtemp(prefix="agentmesh-host-")
        os.chmod(folder, 0o711)  # jobs of other users must get to their own folders
        path = pathlib.Path(folder, "nursery")
        env = self._environment(start, path)
        command = [sys.executable, "-P", "-m", "agentmesh.host"]
        self._process = await asyncio.create_subprocess_exec(
            *command, env=env, cwd=self._cwd(spec), stdin=asyncio.subprocess.DEVNULL
        )
        try:
            self._nursery = await Nursery.connect(str(path), self._process, _START_S)
            await self._nursery.send(NurseryOrder(start=spec), start.badge)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._following = asyncio.create_task(self._follow(self._nursery, folder), name="follow")

    async def host(self) -> str:
        """Return the id of the host that was started here, and lives; or nothing."""
        return self._host_id if self._ended is not None and not self._ended.done() else ""

    async def ended(self) -> str:
        """Wait until the host has ended; return how."""
        if self._ended is None:
            return "was not started"
        return await asyncio.shield(self._ended)

    async def stop(self) -> None:
        """End the host, and all it runs."""
        if self._nursery is not None and self._ended is not None and not self._ended.done():
            await self._nursery.send(NurseryOrder(stop=self._host_id))
            await asyncio.shield(self._ended)

    async def _follow(self, nursery: Nursery, folder: str) -> None:
        """Wait for the host's end; then end the nursery, and by and by the actor."""
        assert self._process is not None
        assert self._ended is not None
        how = "was lost with its nursery"
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async for event in nursery.events():
                if event.HasField("exited") and event.exited.host_id == self._host_id:
                    how = event.exited.reason
                    break
        nursery.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._ended.set_result(how)
        await asyncio.sleep(_LINGER_S)
        ray.actor.exit_actor()

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

    def _cwd(self, spec: placement_pb2.HostSpec) -> str | None:
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
        users = places.take(env.get(environment.UIDS, ""))
        return env | ({environment.UIDS: users} if users else {})


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
