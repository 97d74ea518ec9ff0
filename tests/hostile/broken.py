"""Apps that cannot be loaded."""

from agentmesh import Launch, ServeAPI
from agentmesh import forms as F  # noqa: N812


def huge_form() -> ServeAPI:
    """Have a form of 20 MB."""
    app = ServeAPI()

    @app.enter("/", model=F.Model(F.Markdown("x" * 20_000_000), F.Submit("Go")))
    async def enter(inputs: dict[str, str]) -> Launch:
        raise NotImplementedError

    return app


def huge_error() -> ServeAPI:
    """Raise with a text of 20 MB."""
    raise ValueError("x" * 20_000_000)
