"""What a host is told at its start, as the nursery gets it: one JSON object."""

import dataclasses
import json
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
    concurrency: int = 64
    """Jobs that run at once; more wait in the runner."""

    @classmethod
    def from_json(cls, text: str) -> "HostSpec":
        """Parse; raises `TypeError` or `ValueError` if it is not one."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Render on one line."""
        return json.dumps(dataclasses.asdict(self))
