"""The pages of `docs/reference` that are made from the code: `make reference` writes them, a test compares them."""

from tools.reference import cli, errors, protos, sdk

_NOTE = "<!-- Made from the code by `make reference`: change the code, not this. -->"


def pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    made = {
        "cli.md": cli.page(),
        "errors.md": errors.page(),
        "protos.md": protos.page("gRPC services", of_dialects=False),
        "dialects.md": protos.page("Methods of the dialects", of_dialects=True),
        "sdk.md": sdk.flows(),
        "client.md": sdk.client(),
    }
    return {name: f"{_NOTE}\n\n{text}\n" for name, text in made.items()}
