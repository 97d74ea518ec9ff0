"""Hosts as actors of a Ray cluster: started, found again by name, followed to their end.

An actor is detached, so it outlives us and the mesh, and has a name in a namespace of the mesh's own.  Who begins anew
finds them all there, asks each for its host, and makes none twice.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from typing import Any

import ray
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec, HostStart
from ray._private.runtime_env.py_modules import upload_py_modules_if_needed
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

from agentmesh.cluster import local, reasons, settings
from agentmesh.cluster.actor import HostActor
from agentmesh.cluster.sealing import seal
from agentmesh.cluster.spares import Spare, Spares, Unmade, nodes
from agentmesh.cluster.standing import Standing

_ASK_S = 10.0
_SPARE_S = 30.0
"""How long an actor that is ready may take to start a host; else another is made for it."""
_STOP_S = 5.0
_STOP_SHARED_S = 20.0
"""A nursery takes as long until what a host has left behind is gone, too; one that others share cannot be killed."""
_LOOK_S = 0.5
_METHODS_AT_ONCE = 64
_HOSTS_MAX = 16
"""How many hosts share a nursery at most."""
_NOTHING = {"num_cpus": 0}
"""What an actor is made with for a host that asks for nothing.  It takes nothing: most apps wait for others."""
_OPTIONS = ("num_cpus", "num_gpus", "memory", "resources", "accelerator_type", "label_selector")
"""What of `ray_actor_options` an actor is made with; their `runtime_env` is in the bootstrap's already."""


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
    spares: int = 0
    """How many are ready for hosts that are not known yet."""


class ActorHosts:
    """The hosts of one mesh; Ray is initialised in its namespace."""

    def __init__(self, terms: Terms, standing: Standing) -> None:
        self._terms = terms
        self._standing = standing
        self._actors: dict[str, Any] = {}
        self._shared: set[Any] = set()
        """Actors of which a host may end without them."""
        self._spares = Spares(terms.spares, self._make_spare, self._kill, standing.are_ready)

    async def keep_spares(self) -> None:
        """Have actors ready for further hosts, until cancelled."""
        await self._spares.keep()

    async def find(self) -> set[str]:
        """Look for hosts that live; return their ids.  An actor of ours that has none, or does not answer, is ended."""
        names = await asyncio.to_thread(ray.util.list_named_actors)
        await asyncio.gather(*map(self._find, names))
        return set(self._actors)

    async def _find(self, name: str) -> None:
        try:
            actor = await asyncio.to_thread(ray.get_actor, name)
        except ValueError:  # it has ended meanwhile
            return
        host_ids: list[str] = []
        room = 1
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
            async with asyncio.timeout(_ASK_S):
                host_ids, room = await actor.hosts.remote()
        if not host_ids:
            self._kill(actor)
        elif room > 1:
            self._shared.add(actor)
        for host_id in host_ids:
            self._actors[host_id] = actor
            self._standing.lives(host_id)

    async def start(self, spec: HostSpec, badge: str) -> None:
        """Have an actor start a host: one that is ready, or one that is made.  Raises `Unplaced`, in Ray's words."""
        options = _options(spec)
        start = HostStart(spec=spec, badge=badge, environment=self._terms.environment)
        if options == _NOTHING and await self._start_in_spare(start):
            return
        try:
            actor = self._actors[spec.host_id] = await asyncio.to_thread(self._make, spec.host_id, options)
            public = await self._placed(actor.key.remote(), options, spec.host_id)
            async with asyncio.timeout(self._terms.place_s):
                await actor.start.remote(seal(start.SerializeToString(), public))
            self._standing.lives(spec.host_id)
        except TimeoutError:
            self.forget(spec.host_id)
            raise Unplaced(f"the host's actor did not start it within {self._terms.place_s:g} s") from None
        except (ray.exceptions.RayError, ValueError, TypeError, OSError, RuntimeError) as error:
            self.forget(spec.host_id)
            raise Unplaced(*reasons.of(error)) from error
        except BaseException:
            self.forget(spec.host_id)
            raise

    async def _start_in_spare(self, start: HostStart) -> bool:
        """Start a host in an actor that is ready; return False if there is none, or it is no more."""
        host_id = start.spec.host_id
        spare = await self._spares.take()
        if spare is None:
            return False
        actor = self._actors[host_id] = spare.actor
        try:
            async with asyncio.timeout(_SPARE_S):
                await actor.start.remote(seal(start.SerializeToString(), await actor.key.remote()))
        except (ray.exceptions.RayError, TimeoutError, ValueError):
            self._spares.drop(spare)
            self.forget(host_id)
            return False
        except BaseException:
            self.forget(host_id)
            raise
        self._standing.lives(host_id)
        return True

    async def _make_spare(self) -> Spare:
        """Make an actor, and its nursery.  Raises `Unmade`."""
        actor = None
        try:
            room = _HOSTS_MAX if len(await asyncio.to_thread(nodes)) == 1 else 1
            actor = await asyncio.to_thread(self._make, f"spare-{secrets.token_hex(4)}", dict(_NOTHING))
            public = await self._placed(actor.key.remote(), _NOTHING)
            start = HostStart(environment=self._terms.environment)
            async with asyncio.timeout(self._terms.place_s):
                room = await actor.prepare.remote(seal(start.SerializeToString(), public), room)
        except BaseException as error:
            if actor is not None:
                self._kill(actor)
            if isinstance(error, ray.exceptions.RayError | Unplaced | TimeoutError | OSError | RuntimeError):
                raise Unmade(str(error) or type(error).__name__) from error
            raise
        if room > 1:
            self._shared.add(actor)
        return Spare(actor, room, is_shared=room > 1)

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

    async def _placed(self, answer: Any, options: Mapping[str, Any], host_id: str = "") -> bytes:
        """Wait for an actor's first answer, and say what a host waits for meanwhile.

        Raises `Unplaced` if no node has room for it in time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._terms.place_s
        future = asyncio.ensure_future(_answer(answer))
        try:
            while not future.done():
                lacking = await asyncio.to_thread(reasons.lacking, options)
                if loop.time() >= until:
                    raise Unplaced(lacking or _late(options, self._terms.place_s))
                await asyncio.wait({future}, timeout=min(_LOOK_S, until - loop.time()))
                if host_id and not future.done():
                    self._standing.waits(host_id, lacking or _making(options))
            public: bytes = future.result()
            return public
        finally:
            future.cancel()

    async def ended(self, host_id: str) -> str:
        """Wait until a host has ended; return how."""
        actor = self._actors[host_id]
        while True:
            try:
                if how := str(await actor.ended.remote(host_id)):
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
                async with asyncio.timeout(_STOP_SHARED_S if actor in self._shared else _STOP_S):
                    await actor.stop.remote(host_id)
            self.forget(host_id)

    def forget(self, host_id: str) -> None:
        """End whatever of a host is left: with its actor, unless that has other hosts."""
        self._standing.is_gone(host_id)
        actor = self._actors.pop(host_id, None)
        if actor in self._shared:
            actor.stop.remote(host_id)
            self._spares.give_back(actor)
        elif actor is not None:
            self._kill(actor)

    def _kill(self, actor: Any) -> None:
        self._shared.discard(actor)
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(actor, no_restart=True)

    async def end_all(self) -> None:
        """End every actor of ours, those that are being made, too: nobody makes any afterwards."""
        self._end_named()
        await asyncio.get_running_loop().shutdown_default_executor()  # threads that make some
        self._end_named()

    def _end_named(self) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            for name in ray.util.list_named_actors():
                with contextlib.suppress(ValueError):  # it has ended meanwhile
                    self._kill(ray.get_actor(name))


async def _answer(ref: Any) -> Any:
    return await ref


def _making(options: Mapping[str, Any]) -> str:
    return f"Ray makes its {'environment' if 'runtime_env' in options else 'actor'}"


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
    options = {**_NOTHING, **options}
    given = json.loads(spec.runtime_env_json or "{}")
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
