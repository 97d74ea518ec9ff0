"""The reference of each dialect as OpenAPI 3.1, made of the contract and of what the dialect registers.

Paths, parameters, who may call and most bodies come from the protos, the words from their comments; bodies that no
message describes come from the dialect's shapes (`gateway.http.shapes`).  `python -m gateway.openapi` writes the
documents that `gateway.web` serves.
"""

from gateway.http.openapi.document import render
from gateway.http.openapi.operations import Unshaped

__all__ = ["Unshaped", "render"]
