"""Where flows are on this server, as the panel's clients know them: `/-/{host}/{port}/{expose}/-/{path}`.

Host and port were those of the app's own HTTP server; apps have none here, so they say nothing and any value is taken.
"""

from urllib.parse import quote, unquote

HOST = "localhost/8005"
"""What we write in the place of host and port (the panel's default app server)."""


def app_url(expose: str) -> str:
    """Return where an app is: `/-/localhost/8005/prime/-`."""
    return f"/-/{HOST}/{expose}/-"


def flow_url(flow: str) -> str:
    """Return where a flow is, by its name: `flows/prime` -> `/-/localhost/8005/prime/-/`."""
    expose, _, path = flow.removeprefix("flows/").partition("/")
    return f"{app_url(expose)}/{quote(path)}"


def split(path: str) -> tuple[str, str]:
    """Return the expose and the path within its app (decoded) of a request path `/-/…`.

    `/-/{host}/{port}/{expose}/-/{path}` or `/-/{expose}/{path}`; the expose is empty if there is none.
    """
    segments = path.removeprefix("/-/").split("/")
    if len(segments) >= 4 and segments[3] == "-":
        expose, rest = segments[2], segments[4:]
    else:
        expose, rest = segments[0], segments[1:]
    return unquote(expose), "/" + unquote("/".join(rest))
