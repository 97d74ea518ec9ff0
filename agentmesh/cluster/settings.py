"""What is said of a Ray cluster, in the environment of what connects to it."""

import contextlib
import dataclasses
import os
import pathlib
import secrets as random
from collections.abc import Mapping
from typing import Self

from agentmesh.host.own import environment
from agentmesh.supervisor.handing import RAY_TOKEN as TOKEN

ADDRESS = "AGENTMESH_RAY_ADDRESS"
OWN = "AGENTMESH_RAY_OWN"
"""Set where the cluster is a Ray of the mesh's own, which ends with it."""
FLOWS = "AGENTMESH_RAY_FLOWS"
PLACE_S = "AGENTMESH_RAY_PLACE_S"
SPARES = "AGENTMESH_RAY_SPARES"
_PLACE_S = 100.0
_SPARES = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A cluster, and what hosts there are told."""

    nursery: str
    """The socket that orders come through."""
    address: str
    token: str = dataclasses.field(default="", repr=False)
    data_dir: pathlib.Path
    """Of the mesh."""
    own: bool = False
    flows: bool = True
    """Whether flows may use the cluster themselves."""
    place_s: float = _PLACE_S
    spares: int = _SPARES
    of_nurseries: Mapping[str, str] = dataclasses.field(default_factory=dict)
    passed: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """What of our own environment goes to hosts: what an operator lets through, and where apps are imported from."""

    @classmethod
    def of(cls, environ: Mapping[str, str], secrets: Mapping[str, str]) -> Self | None:
        """Read the settings; None if there is no word of a socket or a cluster.  Raises `ValueError`."""
        nursery, address = environ.get(environment.NURSERY, ""), environ.get(ADDRESS, "")
        if not nursery or not address:
            return None
        listed = {name.strip() for name in environ.get(environment.PASS_ENV, "").split(",")}
        names = (environment.ISOLATION, environment.UIDS, environment.PRIVATE_DIRS)
        return cls(
            nursery=nursery,
            address=address,
            token=secrets.get(TOKEN, "") or _users_token(),
            data_dir=pathlib.Path(environ.get("AGENTMESH_DATA_DIR", "data")),
            own=environ.get(OWN) == "1",
            flows=environ.get(FLOWS, "allow") == "allow",
            place_s=float(environ.get(PLACE_S) or _PLACE_S),
            spares=int(environ.get(SPARES) or _SPARES),
            of_nurseries={
                "cwd": os.getcwd(),
                "own": environ.get(OWN, ""),
                **{name: environ[name] for name in names if name in environ},
            },
            passed={
                name: value
                for name, value in environ.items()
                if name in listed or name in ("PYTHONPATH", "AGENTMESH_IMPORT_ALIASES", "AGENTMESH_SHARED_THREADS")
            },
        )

    def namespace(self) -> str:
        """Return the name that this mesh's actors are found by, for as long as its data are.  Raises `OSError`."""
        path = self.data_dir / "ray.namespace"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(f"agentmesh-{random.token_hex(8)}")
        return path.read_text("utf-8").strip()

    def for_ray(self) -> dict[str, str]:
        """Return the variables by which Ray's own library knows what to do."""
        found = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        if self.token:
            found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return found

    def for_hosts(self) -> dict[str, str]:
        """Return the variables that hosts are handed."""
        if not self.flows:
            return dict(self.passed)
        return {**self.passed, **self.for_ray(), "RAY_ADDRESS": self.address}


def _users_token() -> str:
    """Return the token that `ray get-auth-token` has made for our user; empty without one."""
    with contextlib.suppress(OSError):
        return pathlib.Path("~/.ray/auth_token").expanduser().read_text("utf-8").strip()
    return ""
