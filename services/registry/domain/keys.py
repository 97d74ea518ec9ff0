"""Which keys a bootstrap may have, and which of them do something.

A bootstrap is what Ray Serve calls an application's config (`ServeApplicationSchema` of `ray.serve.schema`, Ray 2.60,
with names of versions before it), and a few keys of ours.  Kodosumi's are that, so each of Serve's keys is known.
"""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

_Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Keys:
    """What a mapping may hold."""

    used: Mapping[str, "_Keys | None"]
    """What we read; None where nothing is known of what is below."""
    on_ray: tuple[str, ...] = ()
    """What Ray reads where hosts are placed on it, and nobody else."""
    unused: tuple[str, ...] = ()
    """What nobody reads: there is no Serve."""
    listed: bool = False
    """Whether it is a list of such mappings."""

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.used, *self.on_ray, *self.unused)


def _only(*names: str) -> _Keys:
    return _Keys(dict.fromkeys(names))


_RUNTIME_ENV = _Keys(
    {
        "env_vars": None,
        "working_dir": None,
        "py_modules": None,
        "requirements": None,
        "pip": _Keys(dict.fromkeys(("packages", "pip_install_options")), on_ray=("pip_check", "pip_version")),
        "uv": _Keys(dict.fromkeys(("packages", "uv_pip_install_options")), on_ray=("uv_check", "uv_version")),
    },
    on_ray=(
        *("conda", "container", "image_uri", "py_executable", "java_jars", "excludes", "config", "mpi", "nsight"),
        *("worker_process_setup_hook", "_nsight", "_rocprof_sys", "_ray_release", "_ray_commit", "_inject_current_ray"),
    ),
)
# What an actor needs has Ray place it.  One machine has nothing to choose from: nobody misses the effect.
_PLACED = ("num_cpus", "num_gpus", "memory", "resources", "accelerator_type", "label_selector")
_ACTOR = _Keys(
    {"runtime_env": _RUNTIME_ENV, **dict.fromkeys(_PLACED)},
    unused=("object_store_memory", "fallback_strategy"),
)
_SCALING = _Keys(
    dict.fromkeys(
        (
            *("min_replicas", "max_replicas", "initial_replicas", "target_ongoing_requests", "upscale_delay_s"),
            "downscale_delay_s",
        )
    ),
    unused=(
        *("metrics_interval_s", "look_back_period_s", "smoothing_factor", "upscale_smoothing_factor", "policy"),
        *("downscale_smoothing_factor", "upscaling_factor", "downscaling_factor", "downscale_to_zero_delay_s"),
        *("aggregation_function", "target_num_ongoing_requests_per_replica"),
    ),
)
_DEPLOYMENT = _Keys(
    {"name": None, "num_replicas": None, "autoscaling_config": _SCALING, "ray_actor_options": _ACTOR},
    unused=(
        *(
            "max_ongoing_requests",
            "max_concurrent_queries",
            "max_queued_requests",
            "backpressure_config",
            "user_config",
        ),
        *("graceful_shutdown_wait_loop_s", "graceful_shutdown_timeout_s", "health_check_period_s", "logging_config"),
        *("health_check_timeout_s", "placement_group_bundles", "placement_group_strategy", "max_replicas_per_node"),
        *("placement_group_bundle_label_selector", "request_router_config", "gang_scheduling_config"),
        *("deployment_actors", "rolling_update_percentage", "max_surge_percent"),
        *("route_prefix", "is_driver_deployment"),  # of before Ray 2.10, and what `serve build` wrote then
    ),
    listed=True,
)
_BOOTSTRAP = _Keys(
    {
        # Ours are the expose's, as kodosumi has it.
        "name": None,
        "route_prefix": None,
        "import_path": None,
        "runtime_env": _RUNTIME_ENV,
        "deployments": _DEPLOYMENT,
        "fork": None,
        "isolation": None,
        "limits": _only("memory", "processes", "files", "file_size"),
        "paths": _only("read", "write"),
    },
    unused=(
        *("args", "host", "port", "logging_config", "autoscaling_policy", "external_scaler_enabled", "docs_path"),
        # Of the file that holds several such configs: the boot says what is to be given instead.
        *("applications", "http_options", "grpc_options", "proxy_location", "target_capacity"),
        *("controller_options", "tracing_config"),
    ),
)
_OWN = "x-"
"""Begins keys that are the operator's own, such as what anchors hang on."""
_ENTRIES_MAX = 100
_NAME_MAX = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown:
    """A key that nobody knows."""

    path: _Path
    """From the outermost mapping to the key; a number is a place in a list, from 0."""
    meant: str = ""
    """A key that looks like it; empty if none does."""

    def __str__(self) -> str:
        """What is wrong, for people: `runtime-env is not known: did you mean runtime_env?`."""
        return f"{_named(self.path)} is not known" + (f": did you mean {self.meant}?" if self.meant else "")


def unknown(document: Any) -> Iterator[Unknown]:
    """Yield the keys of a bootstrap that nobody knows."""
    for path, key, keys in _each(document, _BOOTSTRAP, ()):
        if key not in keys.all and not key.startswith(_OWN):
            like = difflib.get_close_matches(key[:_NAME_MAX].lower().replace("-", "_"), keys.all, n=1)
            yield Unknown((*path, key), like[0] if like else "")


def idle(document: Any, *, on_ray: bool) -> Iterator[str]:
    """Yield, for people to read, which known keys have no effect in this mesh, whose hosts are `on_ray` or not."""
    for path, key, keys in _each(document, _BOOTSTRAP, ()):
        if key in keys.unused:
            yield f"{_named((*path, key))} has no effect"
        elif key in keys.on_ray and not on_ray:
            yield f"{_named((*path, key))} has an effect on Ray only"


def _each(value: Any, keys: _Keys, path: _Path) -> Iterator[tuple[_Path, str, _Keys]]:
    if keys.listed:
        for number, entry in enumerate(value[:_ENTRIES_MAX] if isinstance(value, list) else ()):
            yield from _each(entry, dataclasses.replace(keys, listed=False), (*path, number))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, str(key), keys
            if (below := keys.used.get(str(key))) is not None:
                yield from _each(inner, below, (*path, str(key)))


def _named(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part[:_NAME_MAX]}"
    return text.removeprefix(".")
