"""What a host is told at its start, as the nursery gets it: one JSON object."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One app to hold."""

    host_id: str
    """Chosen by the runner; never used twice."""
    expose: str
    """The expose's id."""
    import_path: str
    """`package.module:attribute`."""
    runner_address: str
    """`host:port` of the runner."""
    token: str
    """Shows the runner that it started this host."""
    runtime_env: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The bootstrap's: `env_vars`, `working_dir` and `py_modules` are used."""
    fork: bool = True
    """Whether jobs are forked from the loaded app, or start a fresh interpreter."""
