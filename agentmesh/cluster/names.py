"""Names of Ray's that more than one of us uses."""

HOOK = "agentmesh.compat.install"
"""What each worker of Ray runs before anything of an app is imported there: the shims of modules, so that they are."""
HOOK_VARIABLE = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"
"""How a worker is told by its environment (`ray._private.ray_constants`)."""
