"""What an operator says of how apps are confined."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Mapping

from agentmesh.host.own.environment import (
    ENVIRONMENTS_DIR,
    FETCH_PRIVATE_ADDRESSES,
    INSTALL_TIMEOUT_S,
    ISOLATION,
    PRIVATE_DIRS,
    UIDS,
)

AUTO, OFF, REQUIRE = "auto", "off", "require"
KEEP = "keep"
UIDS_PER_HOST = 128
"""The app's, and one for each job that runs."""
_INSTALL_S = 600.0
_UIDS = "2000000000-2000065535"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How apps are confined."""

    isolation: str = AUTO
    """`auto` takes what there is, `require` refuses to go without, `off` confines nothing."""
    uids: tuple[int, int] | None = None
    """The first and the last user id for apps and jobs of a mesh that root has started; None keeps ours."""
    private: tuple[str, ...] = ()
    """Absolute paths that no app may open."""
    kept: pathlib.Path | None = None
    """Where what apps need is made and kept; None where it is not, as Ray makes it."""
    install_timeout_s: float = _INSTALL_S
    """How long it may take to make what one app needs."""
    private_addresses: bool = False
    """Whether that may be fetched from addresses that are not the Internet's."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings.  Raises `ValueError`, naming the one that says nothing."""
        isolation = environ.get(ISOLATION) or AUTO
        if isolation not in (AUTO, OFF, REQUIRE):
            raise ValueError(f"{ISOLATION}={isolation}: say {AUTO}, {OFF} or {REQUIRE}")
        private = filter(None, environ.get(PRIVATE_DIRS, "").split(os.pathsep))
        kept = environ.get(ENVIRONMENTS_DIR)
        return cls(
            isolation=isolation,
            uids=_uids(environ),
            private=tuple(map(os.path.abspath, private)),
            kept=pathlib.Path(kept).absolute() if kept else None,
            install_timeout_s=_seconds(environ, INSTALL_TIMEOUT_S, _INSTALL_S),
            private_addresses=_is_allowed(environ),
        )


def _is_allowed(environ: Mapping[str, str]) -> bool:
    said = environ.get(FETCH_PRIVATE_ADDRESSES) or "refuse"
    if said not in ("allow", "refuse"):
        raise ValueError(f"{FETCH_PRIVATE_ADDRESSES}={said}: say allow or refuse")
    return said == "allow"


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    said = environ.get(name) or default
    with contextlib.suppress(ValueError):
        if 0 < (found := float(said)) < float("inf"):
            return found
    raise ValueError(f"{name}={said}: say a number of seconds")


def _uids(environ: Mapping[str, str]) -> tuple[int, int] | None:
    said = environ.get(UIDS) or _UIDS
    if said == KEEP:
        return None
    first, _, last = said.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1000 <= int(first) <= int(last) < 2**32 - 2):
        raise ValueError(f"{UIDS}={said}: say {KEEP}, or the first and last of a range, such as {_UIDS}")
    if int(last) - int(first) + 1 < UIDS_PER_HOST:
        raise ValueError(f"{UIDS}={said}: each host takes {UIDS_PER_HOST}")
    return int(first), int(last)
