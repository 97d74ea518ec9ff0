"""Routes that are methods of a deployment's class: Ray Serve calls them on the replica's object, and so do we.

A class's body declares its routes before there is an object.  Those of plain FastAPI have taken `self` for a parameter
of the request by then, so they are declared anew, in their old places, on the object's own methods.  Handlers of a
`ServeAPI` (`enter`, `lock`, `lease`) look for the object when they are called.
"""

import inspect
from typing import Any

from starlette.routing import BaseRoute


def bind(app: Any, owner: type, instance: Any) -> None:
    """Have the routes of `app` that are methods of `owner` call `instance`."""
    if hasattr(app, "servable"):
        app.servable = instance
    routes = getattr(getattr(app, "router", None), "routes", [])
    routes[:] = [_bound(route, owner, instance) for route in routes]


def _bound(route: BaseRoute, owner: type, instance: Any) -> BaseRoute:
    """Return a route as it is, or the same on the method of `instance` that it calls."""
    endpoint = getattr(route, "endpoint", None)
    if not inspect.isfunction(endpoint):
        return route
    name = next((name for name in dir(owner) if inspect.getattr_static(owner, name) is endpoint), None)
    if name is None:
        return route
    kind = type(route)
    # A route keeps what its author said under the names of its parameters.
    said = {key: getattr(route, key) for key in inspect.signature(kind).parameters if hasattr(route, key)}
    return kind(**{**said, "endpoint": getattr(instance, name)})
