"""`python -m gateway.openapi FOLDER`: write the reference of each dialect, which the web app serves, as OpenAPI 3.1."""

import importlib.metadata
import json
import pathlib
import sys
from typing import Any

from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.openapi import render


def documents() -> dict[str, dict[str, Any]]:
    """Return the documents by the dialect's name."""
    version = importlib.metadata.version("agentmesh")
    return {dialect.name: render(dialect, contract.descriptors(), version) for dialect in DIALECTS}


def main(folder: pathlib.Path) -> None:
    """Write them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
