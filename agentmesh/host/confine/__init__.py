"""What keeps an app and its jobs from the rest of the machine.

A host makes one `Confinement` before it forks anything, and enters it; its zygote enters more of it before it imports
the app, and each process that is forked from that enters the rest: a job sees what its app may read and its own folder.
What the platform cannot give is left out, and said (`survey`); or the host refuses to be one, if that is required.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

from agentmesh_protos.runner.v1.app_pb2 import Bounds
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from agentmesh.host.confine import identity, landlock, limits, places, seccomp
from agentmesh.host.confine.identity import Users
from agentmesh.host.confine.places import Rules
from agentmesh.host.confine.settings import REQUIRE, Settings
from agentmesh.host.confine.survey import Measure, missing, survey
from agentmesh.host.own import folders
from agentmesh.host.packages.needs import Needs

__all__ = ["Confinement", "Measure", "Settings", "missing", "survey"]

# Others make folders in it, and find no others there.
_SHARED_FOLDER = 0o1733


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How one host, its app and its jobs are confined."""

    folder: pathlib.Path
    """Of the host: what its processes write is in folders of it."""
    bounds: Bounds
    abi: int = 0
    """Of Landlock; 0 if it is not used."""
    rules: Rules = dataclasses.field(default_factory=list)
    """What the app and its jobs may reach, but for `folder`."""
    beside: Rules = dataclasses.field(default_factory=list)
    """What is left of `rules` once a process has entered those: few, as each job enters them."""
    program: bytes = b""
    """Of seccomp; empty if it is not used."""
    users: Users | None = None
    """None if all keep the mesh's user."""
    is_on: bool = True
    kept: pathlib.Path | None = None
    """Where what apps need is made; None if this one needs nothing."""
    install_timeout_s: float = 0.0
    """How long that may take."""
    private_addresses: bool = False
    """Whether it may be fetched from addresses that are not the Internet's."""

    @classmethod
    def of(
        cls, spec: HostSpec, folder: pathlib.Path, settings: Settings, place: int, needs: Needs | None = None
    ) -> "Confinement":
        """Decide how the host of `spec`, whose processes write to `folder`, is confined.

        `place` is its own among the hosts of this machine, counted from 0.  `needs` is what it needs beside its code.
        Raises `ValueError`, saying why it cannot be, or what is wrong in the spec.
        """
        kept = None if needs is None else settings.kept
        needed = [] if needs is None or kept is None else [str(path) for path in needs.places(kept)]
        measures = survey(settings)
        given = {measure.name for measure in measures if measure.given}
        if settings.isolation == REQUIRE and (lacking := missing(measures)):
            raise ValueError("; ".join(f"{each.name}: {each.note}" for each in lacking))
        users = identity.users(settings, place) if "user" in given else None
        among = None if users is None else (users.of_app, users.last)
        rules: Rules = []
        if "files" in given:
            private = (*settings.private, str(folder))  # of which each job gets its own
            rules += places.readable(_runtime_env(spec), private, os.environ, needed)
            rules += places.named(needs.packages.paths if needs and needs.packages else (), landlock.READ, private)
            rules += places.named(spec.bounds.read_paths, landlock.READ, private)
            rules += places.named(spec.bounds.write_paths, landlock.WRITE, private)
        return cls(
            folder=folder,
            bounds=spec.bounds,
            abi=landlock.version() if "files" in given else 0,
            rules=rules,
            beside=places.beside(str(folder), rules),
            program=seccomp.compile_program(users=among) if "calls" in given else b"",
            users=users,
            is_on="limits" in given,
            kept=kept,
            install_timeout_s=settings.install_timeout_s,
            private_addresses=settings.private_addresses,
        )

    def enter_host(self) -> None:
        """Confine the host itself, and all that it will fork.  Raises `OSError`, as what follows."""
        if self.users is not None:
            os.chmod(self.folder, _SHARED_FOLDER)
        if self._is_root:
            identity.bound(identity.OF_HOST)
            identity.keep_only(identity.OF_HOST)
        of_processes = landlock.READ | landlock.WRITE_FILE  # the zygote has a word to say there
        writable = [self.folder, *([self.kept] if self.kept is not None else [])]
        self._restrict(self.rules, {**{str(path): landlock.WRITE for path in writable}, "/proc": of_processes})

    def enter_helper(self, folder: pathlib.Path) -> None:
        """Confine what makes `folder` for the app: it may read what the app may, and write there."""
        if self.users is not None:
            identity.become(self.users.of_app, identity.OF_JOB, passed_on=identity.OF_JOB)
        elif self._is_root:
            identity.keep_only(identity.OF_JOB, passed_on=identity.OF_JOB)
        if self.is_on:
            limits.be_ended_first()
            limits.apply(Bounds(), has_user=self.users is not None)  # not the expose's, which are those of a job
        self._restrict(self.rules, {str(folder): landlock.WRITE})
        if self.program:
            landlock.keep_privileges()
            seccomp.enter(self.program)

    def give(self, folder: pathlib.Path, *, to_helper: bool) -> None:
        """Give `folder`, and all that is in it, to whom `enter_helper` makes the helper; or take it back."""
        if self.users is None:
            return
        user = self.users.of_app if to_helper else os.geteuid()
        for top, below, files in os.walk(folder):
            for path in (top, *(os.path.join(top, name) for name in (*below, *files))):
                os.chown(path, user, user, follow_symlinks=False)

    def enter_app(self, *, passed_on: bool = False) -> None:
        """Confine the zygote, before it imports the app: from then on the host is out of its reach.

        `passed_on` says that it goes on as another program, which calls `go_on_as_app`.
        """
        if self.users is not None:
            for path in (self._of_the_app, *self._of_the_app.iterdir()):
                os.chown(path, self.users.of_app, self.users.of_app)
            kept = identity.OF_ZYGOTE if passed_on else ()
            identity.become(self.users.of_app, identity.OF_ZYGOTE, passed_on=kept)
        elif self._is_root:  # with more of them the kernel would have it look into any process
            identity.keep_only(identity.OF_JOB, passed_on=identity.OF_JOB)
        if self.is_on:
            limits.be_ended_first()
        self._restrict(self.rules, {str(self.folder): landlock.WRITE})
        if self.program:
            landlock.keep_privileges()
            seccomp.enter(self.program)

    def go_on_as_app(self) -> None:
        """Keep what only the zygote may from the programs that it runs."""
        if self.users is not None:
            identity.keep_only(identity.OF_ZYGOTE)

    def enter_handler(self) -> None:
        """Confine the app's handler, which is forked from the zygote, to the app's folder."""
        if self.users is not None:
            identity.become(self.users.of_app, identity.OF_JOB, passed_on=identity.OF_JOB)
        self._restrict(self.beside, {str(self._of_the_app): landlock.WRITE})

    def take_user(self, place: int) -> None:
        """Be the user of the job that has a place among those of this host, before its folder is made."""
        if self.users is not None:
            identity.become(self.users.of_job(place), identity.OF_JOB, passed_on=identity.OF_JOB)

    def enter_job(self, own: pathlib.Path) -> None:
        """Confine a job, or a worker with all jobs in it, to the folder `own`; it may read the app's."""
        if self.is_on:
            limits.apply(self.bounds, has_user=self.users is not None)
        self._restrict(self.beside, {str(own): landlock.WRITE, str(self._of_the_app): landlock.READ})

    @property
    def _is_root(self) -> bool:
        return self.is_on and os.geteuid() == 0 and identity.is_known()

    @property
    def _of_the_app(self) -> pathlib.Path:
        return self.folder / folders.OF_THE_APP

    def _restrict(self, rules: Rules, more: Mapping[str, int]) -> None:
        if self.abi:
            landlock.restrict(self.abi, [*rules, *more.items()])


def _runtime_env(spec: HostSpec) -> Mapping[str, object]:
    """Return what an expose says; what is wrong with it is said where it is applied."""
    with contextlib.suppress(ValueError):
        found = json.loads(spec.runtime_env_json or "{}")
        if isinstance(found, dict):
            return found
    return {}
