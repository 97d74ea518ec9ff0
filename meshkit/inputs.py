"""placeholder until the checker lands"""

from typing import Any


class Checker:
    def check(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs


def compiled(schema_json: str) -> Checker:
    return Checker()
