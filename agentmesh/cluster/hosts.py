"""Hosts as actors of a Ray cluster: started, found again by name, followed to their end.

An actor is detached, so it outlives us and the mesh, and named for its host in a namespace of the mesh's own.  Who
begins anew finds them all there, and makes none twice.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import ray
from mesh.runner.v1.placement_pb2 import HostSpec, HostStart
from ray._private.runtime_env.py_modules import upload_py_modules_if_needed
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

from agentmesh.cluster import local, reasons, settings
from agentmesh.cluster.actor import HostActor
from agentmesh.cluster.sealing import seal

_ASK_S = 10.0
_STOP_S = 5.0
_LOOK_S = 0.5
_METHODS_AT_ONCE = 16
_OPTIONS = ("num_cpus", "num_gpus", "memory", "resources", "accelerator_type", "label_selector")
"""What of `ray_actor_options` an actor is made with; its `runtime_env` is the bootstrap's."""


class Unplaced(Exception):
    """A host cannot be placed; `detail` has the rest of the words."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every host of a mesh is started with."""

    settings: Mapping[str, str]
    """Of its nursery, which all may read."""
    environment: Mapping[str, str]
    """Variables for it, which are handed over sealed."""
    place_s: float
    """How long it may take until Ray has made an actor."""


class ActorHosts:
    """The hosts of one mesh; Ray is initialised in its namespace."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._actors: dict[str, Any] = {}

    async def find(self) -> set[str]:
        """Look for hosts that live; return their ids.  An actor of ours that has none, or does not answer, is ended."""
        names = await asyncio.to_thread(ray.util.list_named_actors)
        return {name for name in await asyncio.gather(*map(self._find, names)) if name}

    async def _find(self, name: str) -> str:
        try:
            actor = await asyncio.to_thread(ray.get_actor, name)
        except ValueError:  # it has ended meanwhile
            return ""
        try:
            async with asyncio.timeout(_ASK_S):
                host_id: str = await actor.host.remote()
        except (ray.exceptions.RayError, TimeoutError):
            host_id = ""
        if host_id != name:
            self._kill(actor)
            return ""
        self._actors[host_id] = actor
        return host_id

    async def start(self, spec: HostSpec, badge: str) -> None:
        """Make an actor for a host and have it start that.  Raises `Unplaced`, in Ray's words."""
        options = _options(spec)
        try:
            actor = self._actors[spec.host_id] = await asyncio.to_thread(self._make, spec.host_id, options)
            public = await self._placed(actor.key.remote(), options)
            start = HostStart(spec=spec, badge=badge, environment=self._terms.environment)
            async with asyncio.timeout(self._terms.place_s):
                await actor.start.remote(seal(start.SerializeToString(), public))
        except TimeoutError:
            self.forget(spec.host_id)
            raise Unplaced(f"the host's actor did not start it within {self._terms.place_s:g} s") from None
        except (ray.exceptions.RayError, ValueError, TypeError, OSError, RuntimeError) as error:
            self.forget(spec.host_id)
            raise Unplaced(*reasons.of(error)) from error
        except BaseException:
            self.forget(spec.host_id)
            raise

    def _make(self, name: str, options: dict[str, Any]) -> Any:
        if "runtime_env" in options:
            options = {**options, "runtime_env": _uploaded(options["runtime_env"])}
        remote = ray.remote(HostActor).options(
            name=name,
            lifetime="detached",
            max_restarts=0,
            max_concurrency=_METHODS_AT_ONCE,
            **options,
        )
        return remote.remote(dict(self._terms.settings))

    async def _placed(self, answer: Any, options: Mapping[str, Any]) -> bytes:
        """Wait for an actor's first answer.  Raises `Unplaced` if no node has room for it in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._terms.place_s
        future = asyncio.ensure_future(_answer(answer))
        try:
            while not future.done():
                lacking = await asyncio.to_thread(reasons.lacking, options)
                if loop.time() >= until:
                    raise Unplaced(lacking or _late(options, self._terms.place_s))
                await asyncio.wait({future}, timeout=min(_LOOK_S, until - loop.time()))
            public: bytes = future.result()
            return public
        finally:
            future.cancel()

    async def ended(self, host_id: str) -> str:
        """Wait until a host has ended; return how."""
        actor = self._actors[host_id]
        while True:
            try:
                how: str = await actor.ended.remote()
                return how
            except ray.exceptions.ActorUnavailableError:  # it cannot be reached now; Ray says when it has died
                await asyncio.sleep(_LOOK_S)
            except ray.exceptions.RayError as error:
                return f"was lost: {reasons.of(error)[0]}"

    async def stop(self, host_id: str) -> None:
        """End a host and all it runs."""
        actor = self._actors.get(host_id)
        if actor is not None:
            with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await actor.stop.remote()
            self.forget(host_id)

    def forget(self, host_id: str) -> None:
        """End a host's actor, and with it whatever of the host is left."""
        actor = self._actors.pop(host_id, None)
        if actor is not None:
            self._kill(actor)

    def _kill(self, actor: Any) -> None:
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(actor, no_restart=True)

    def end_all(self) -> None:
        """End every actor of ours."""
        for host_id in list(self._actors):
            self.forget(host_id)


async def _answer(ref: Any) -> Any:
    return await ref


def _late(options: Mapping[str, Any], place_s: float) -> str:
    if "runtime_env" in options:
        return (
            f"Ray is still making the host's environment after {place_s:g} s: what it needs is brought and installed "
            f"first, three times unless {local.TRIES} says less; if it only is slow, set {settings.PLACE_S} to more"
        )
    return f"Ray has not made the host's actor within {place_s:g} s"


def _options(spec: HostSpec) -> dict[str, Any]:
    """Return what an actor is made with.  Variables are left out of its runtime environment: Ray shows them to all."""
    asked = json.loads(spec.resources_json or "{}")
    options = {name: asked[name] for name in _OPTIONS if asked.get(name) is not None}
    options.setdefault("num_cpus", 0)  # an app that asks for nothing takes nothing: most wait for others
    given = {**(asked.get("runtime_env") or {}), **json.loads(spec.runtime_env_json or "{}")}
    given.pop("env_vars", None)
    if working_dir := given.get("working_dir"):
        given["working_dir"] = _whole(str(working_dir))
    if given:
        options["runtime_env"] = given
    return options


def _uploaded(runtime_env: dict[str, Any]) -> dict[str, Any]:
    """Give the cluster folders of this machine, as Ray itself does for what a driver begins with only.

    Raises `ValueError` for what is not there, or too large.
    """
    with tempfile.TemporaryDirectory(prefix="agentmesh-upload-") as scratch:
        found = upload_py_modules_if_needed(dict(runtime_env), include_gitignore=True, scratch_dir=scratch)
        return dict(upload_working_dir_if_needed(found, include_gitignore=True, scratch_dir=scratch))


def _whole(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)
