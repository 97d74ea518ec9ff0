"""What the registry can be told."""

from typing import Literal

from meshkit.service import Settings


class Config(Settings):
    """Every field has a default that works on a laptop; the prefix is `AGENTMESH_`."""

    boot_timeout_s: float = 1800.0
    """How long one app may take to load during a boot."""

    boot_parallel: int = 4
    """How many apps load at once during a boot."""

    placement: Literal["local", "ray"] = "local"
    """Where the runner has hosts run: a boot says which keys of a bootstrap have no effect, and some have on Ray."""

    probe_timeout_s: float = 10.0
    """How long a flow may take to answer when a boot asks whether it is alive."""

    look_s: float = 10.0
    """How often flows that did not answer are asked again; those that stay away, less and less often."""

    look_timeout_s: float = 60.0
    """How long a flow may take to answer then: the first answer of some takes long."""

    runner_patience_s: float = 10.0
    """How long a boot waits for a runner that does not answer, such as one that restarts."""

    heartbeat_s: float = 10.0
    """How often a stream of flows says that it lives when it has nothing else to say."""
