"""Templates for pages that an app renders itself."""

import os
from collections.abc import Sequence
from typing import Any

from starlette.templating import Jinja2Templates


class Templates(Jinja2Templates):
    """Jinja2 templates from one or several folders, with autoescape on."""

    def __init__(
        self,
        directory: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        **options: Any,
    ) -> None:
        if directory is None and "env" not in options:
            raise ValueError('Templates: say where they are, such as Templates(directory="templates")')
        super().__init__(directory, **options)  # type: ignore[arg-type]  # None goes with an `env`
