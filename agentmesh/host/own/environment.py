"""The environment of processes with an app's code: what is listed here, and nothing else of where we were started.

An operator's shell holds keys of providers, passwords and tokens; a job is anybody's code.  What passes is needed to
run programs at all (`PATH`, the language, Python's own variables and libraries), to reach others (certificates, proxies
without credentials), or the SDK's.  HOME and TMPDIR pass, and are then set for each job (`folders`).  More is an
operator's to name, in `AGENTMESH_PASS_ENV`, or an expose's, in `env_vars` of its `runtime_env`.
"""

import re
import urllib.parse
from collections.abc import Mapping

PASS_ENV = "AGENTMESH_PASS_ENV"
NURSERY = "AGENTMESH_NURSERY"
JOBS_DIR = "AGENTMESH_JOBS_DIR"
ISOLATION = "AGENTMESH_ISOLATION"
UIDS = "AGENTMESH_UIDS"
PRIVATE_DIRS = "AGENTMESH_PRIVATE_DIRS"
"""Folders that no app may open, as in PATH: whoever starts a nursery knows them."""
ENVIRONMENTS_DIR = "AGENTMESH_ENVIRONMENTS_DIR"
INSTALL_TIMEOUT_S = "AGENTMESH_INSTALL_TIMEOUT_S"
FETCH_PRIVATE_ADDRESSES = "AGENTMESH_FETCH_PRIVATE_ADDRESSES"
OF_THE_NURSERY = (
    *(NURSERY, JOBS_DIR, PASS_ENV, ISOLATION, UIDS, PRIVATE_DIRS),
    *(ENVIRONMENTS_DIR, INSTALL_TIMEOUT_S, FETCH_PRIVATE_ADDRESSES),
)
"""What the nursery itself is told, and its hosts are not."""

_NAMES = re.compile(
    r"PATH|HOME|TMPDIR|TZ|LANG|LANGUAGE|LC_[A-Z]+"
    # Python's own variables have no underscore; those of programs written in Python do, and may be anything.
    r"|PYTHON[A-Z0-9]+|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|MALLOC_[A-Z_]+"
    # Without them nobody behind a company's gateway reaches a model.
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NO_PROXY|no_proxy"
    r"|AGENTMESH_SHARED_THREADS|AGENTMESH_IMPORT_ALIASES"
)
PROXIES = re.compile(r"(HTTP|HTTPS|ALL|http|https|all)_(PROXY|proxy)")
# Of the mesh: not even an operator passes these, for they are never a flow's.
_OURS = re.compile(r"AGENTMESH_.*|CONTROL_PLANE_API_TOKEN|RUNTIME_LOCAL_UI_TOKEN")


def allowed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of `environ` passes to the nursery, and but for `OF_THE_NURSERY` to its hosts."""
    listed = {name.strip() for name in environ.get(PASS_ENV, "").split(",")}
    return {
        name: value
        for name, value in environ.items()
        if _NAMES.fullmatch(name)
        or name in OF_THE_NURSERY
        or (name in listed and not _OURS.fullmatch(name))
        or (PROXIES.fullmatch(name) and not has_credentials(value))
    }


def has_credentials(address: str) -> bool:
    """Return whether an address names a user, such as `http://user:password@proxy:3128`."""
    try:
        return "@" in urllib.parse.urlsplit(address if "://" in address else f"//{address}").netloc
    except ValueError:  # it is no address: nobody can say what it is
        return True
