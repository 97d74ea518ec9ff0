"""The panel: what people use of the mesh in a browser, at `/panel/`.

Pages are rendered here (Jinja), work without script, and are made livelier by htmx: a search as one types, and
server-sent events of which each carries the page's part anew.  Everything is asked in the name of who is signed in.
"""

from gateway.web.panel.routes import PATHS, Panel
from gateway.web.panel.shell import HOME, error_page, sign_in_page

__all__ = ["HOME", "PATHS", "Panel", "error_page", "sign_in_page"]
