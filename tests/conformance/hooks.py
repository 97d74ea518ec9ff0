"""Loaded by schemathesis: puts real names where it would make some up, so that it gets past 404.

`REAL` in the environment is a JSON object of values by the parameter's name.
"""

import json
import os
from typing import Any

import schemathesis

_REAL = json.loads(os.environ.get("REAL", "{}"))


_BELOW = {"/mip003/{expose}/{flow}": "async"}
"""Flows that are named within their expose, by how the path begins."""
_VICTIMS = ("user", "role")
"""Names of users: always one that may be harmed."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Take real values two times of three, unless to delete them; what is made up says which.

    Nothing, or dots, in the place of a name would be another path, so they become a name that nobody has.
    """
    made_up = sum(repr(sorted((case.path_parameters or {}).items())).encode())
    for name, value in list((case.path_parameters or {}).items()):
        if name in _REAL and (name in _VICTIMS or (made_up % 3 and case.method.upper() != "DELETE")):
            within = next((flow for path, flow in _BELOW.items() if case.operation.path.startswith(path)), None)
            case.path_parameters[name] = within if within and name == "flow" else _REAL[name]
        elif not str(value).strip("/."):
            case.path_parameters[name] = "nobody"
    if "user" in (case.path_parameters or {}) and isinstance(case.body, dict):
        case.body.pop("name", None)  # it would name another
