"""What stands in for Ray: `ray.serve`'s way to declare an app, which agentmesh hosts itself.

Declaring works (`@serve.deployment`, `@serve.ingress(app)`, `X.bind()`); whatever needs a cluster says what to install.
"""

import contextvars
import copy
import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, overload

from agentmesh.compat import methods
from agentmesh.errors import KodosumiError

_T = TypeVar("_T")

_INGRESS = "__agentmesh_ingress__"
SHIM = "__agentmesh_shim__"
"""Set in modules that are made here."""


class Application:
    """A deployment bound to its arguments: what a bootstrap's import path names."""

    def __init__(self, deployment: "Deployment", args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._deployment = deployment
        self._args = args
        self._kwargs = kwargs
        self._instance: Any = None

    def __agentmesh_bound__(self) -> Any:  # the name by which `loading` knows it without importing this module
        """Make the deployment's object, as a replica would, and return its app.  Raises `ValueError` without one."""
        target = self._deployment.func_or_class
        app = getattr(target, _INGRESS, None)
        name = self._deployment.name
        if app is None:
            raise ValueError(
                f"deployment {name} has no app: decorate it with @serve.ingress(app) below @serve.deployment"
            )
        if any(isinstance(value, Application) for value in (*self._args, *self._kwargs.values())):
            raise ValueError(f"deployment {name} is bound to another deployment: agentmesh hosts one app per expose")
        if inspect.isclass(target):
            self._instance = target(*self._args, **self._kwargs)
            methods.bind(app, target, self._instance)
        return app


class Deployment:
    """A class that Ray Serve would run replicas of."""

    def __init__(self, func_or_class: Any, options: dict[str, Any]) -> None:
        self.func_or_class = func_or_class
        self.name = str(options.get("name") or getattr(func_or_class, "__name__", "deployment"))
        self.init_options = options

    def options(self, func_or_class: Any = None, **options: Any) -> "Deployment":
        """Return a copy with other options; replicas and resources are taken from the bootstrap, not from here."""
        changed = copy.copy(self)
        changed.init_options = {**self.init_options, **options}
        changed.func_or_class = func_or_class or self.func_or_class
        changed.name = str(changed.init_options.get("name") or self.name)
        return changed

    def bind(self, *args: Any, **kwargs: Any) -> Application:
        """Return what a bootstrap's import path names."""
        return Application(self, args, kwargs)

    def __agentmesh_bound__(self) -> NoReturn:
        raise ValueError(f"deployment {self.name} is not bound: name what its .bind() returns")

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise KodosumiError(f"deployment {self.name} is not called: bind it with .bind()")


@overload
def deployment(func_or_class: Callable[..., Any]) -> Deployment: ...
@overload
def deployment(func_or_class: None = None, **options: Any) -> Callable[[Any], Deployment]: ...
def deployment(func_or_class: Any = None, **options: Any) -> Any:
    """Decorate a class: `@serve.deployment` or `@serve.deployment(num_replicas=2)`."""
    if func_or_class is not None:
        return Deployment(func_or_class, options)
    return lambda target: Deployment(target, options)


def ingress(app: Any) -> Callable[[_T], _T]:
    """Decorate a class: `app` answers its HTTP requests."""
    if not callable(app):
        raise TypeError(f"serve.ingress takes an app, got {type(app).__name__}")

    def mark(target: _T) -> _T:
        setattr(target, _INGRESS, app)
        return target

    return mark


def _needs(what: str, remedy: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise KodosumiError(f"{what}: {remedy}")

    refuse.__name__ = what.rpartition(".")[2]
    return refuse


_RUN_REMEDY = "agentmesh runs apps by itself; expose the app's import path, or install 'ray[serve]'"
_RAY_REMEDY = "Ray is not installed for this app; run `pip install ray`"


def fill_serve(module: types.ModuleType) -> None:
    """Fill `ray.serve`."""
    contents = {
        SHIM: True,
        "Application": Application,
        "Deployment": Deployment,
        "deployment": deployment,
        "ingress": ingress,
    }
    contents |= {
        name: _needs(f"serve.{name}", _RUN_REMEDY) for name in ("run", "start", "shutdown", "status", "delete")
    }
    contents |= {
        name: _needs(f"serve.{name}", _RUN_REMEDY)
        for name in ("batch", "multiplexed", "get_app_handle", "get_replica_context")
    }
    vars(module).update(contents)


def fill_ray(module: types.ModuleType) -> None:
    """Fill `ray`."""
    names = ("init", "remote", "get", "put", "wait", "kill", "cancel", "shutdown", "get_actor", "method")
    vars(module).update({name: _needs(f"ray.{name}", _RAY_REMEDY) for name in names})
    vars(module).update({SHIM: True, "is_initialized": lambda: False})


@dataclasses.dataclass(frozen=True)
class ReplicaContext:
    """Where a deployment runs; an app of the mesh has none."""

    app_name: str = ""
    deployment: str = ""
    replica_tag: str = ""
    servable_object: Any = None


@dataclasses.dataclass(frozen=True)
class RequestContext:
    """What Ray Serve knows of the request that is being served; here nothing."""

    route: str = ""
    request_id: str = ""
    app_name: str = ""
    multiplexed_model_id: str = ""


_NO_REQUEST = RequestContext()


def fill_context(module: types.ModuleType) -> None:
    """Fill `ray.serve.context`: there is no replica, no client and no request of Serve's."""

    def nothing(*args: Any, **kwargs: Any) -> None:
        return None

    names = ("_get_internal_replica_context", "_get_global_client", "_set_global_client")
    vars(module).update({SHIM: True, "ReplicaContext": ReplicaContext, "_RequestContext": RequestContext})
    vars(module).update(dict.fromkeys(names, nothing))
    current = contextvars.ContextVar("serve_request_context", default=_NO_REQUEST)
    vars(module).update({"_serve_request_context": current, "_get_serve_request_context": current.get})


MODULES: dict[str, Callable[[types.ModuleType], None]] = {
    "ray": fill_ray,
    "ray.serve": fill_serve,
    "ray.serve.context": fill_context,
}
"""Modules that are made where nobody else knows them, and what fills them."""
