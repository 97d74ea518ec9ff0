"""Paths without upper and lower case."""

import dataclasses

from gateway.dialects import DIALECTS, codex, sumi
from gateway.edge import cases, contract, prefixes

SERVICES = contract.services(contract.descriptors())
PREFIXES = prefixes.of_dialects(DIALECTS, SERVICES)


def test_a_dialect_says_so() -> None:
    """Its paths come before its prefixes, as the first that fits counts; of others there is nothing."""
    found = list(cases.patterns(codex.DIALECT, SERVICES, PREFIXES))

    assert not list(cases.patterns(sumi.DIALECT, SERVICES, PREFIXES))
    assert {"/api/command/createAgent", "/api/agents/*/conversations", "/swagger/v1/swagger.json"} < set(found)
    assert found.index("/api/agents/*") < found.index("/api/agents/**")
    assert "/sumi/**" in cases.patterns(dataclasses.replace(sumi.DIALECT, is_caseless=True), SERVICES, PREFIXES)
