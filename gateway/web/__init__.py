"""The web app: what is not transcoded ends here.

`GET /health` (no login) says whether the mesh serves, `/` where to sign in; every other path gets a 404, or a 405 if
only the HTTP method is wrong, in the shape of the dialect it would belong to.
"""

from gateway.web.app import create

__all__ = ["create"]
