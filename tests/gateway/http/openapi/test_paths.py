"""Templates of the contract in OpenAPI's words."""

import pytest

from gateway.http.openapi import paths


@pytest.mark.parametrize(
    ("template", "text", "names"),
    [
        ("/flow", "/flow", []),
        ("/role/{role}", "/role/{role}", ["role"]),
        ("/mesh/v1/{name=jobs/*}:cancel", "/mesh/v1/jobs/{job}:cancel", ["job"]),
        ("/mesh/v1/{name=jobs/*/locks/*}", "/mesh/v1/jobs/{job}/locks/{lock}", ["job", "lock"]),
        ("/mesh/v1/{user.name=users/*}", "/mesh/v1/users/{user}", ["user"]),
    ],
)
def test_a_variable_within_becomes_one_of_the_path(template: str, text: str, names: list[str]) -> None:
    """Named after the collection that it is of."""
    path = paths.parse(template)

    assert text == path.text
    assert names == [variable.name for variable in path.variables]
    assert not any(variable.deep for variable in path.variables)


@pytest.mark.parametrize(
    ("template", "text", "field"),
    [
        ("/-/{proxy_path=**}", "/-/{proxy_path}", "proxy_path"),
        ("/mesh/v1/{name=flows/**}", "/mesh/v1/flows/{flow}", "name"),
    ],
)
def test_a_variable_may_have_slashes(template: str, text: str, field: str) -> None:
    """Which OpenAPI cannot say; the path is remembered as such."""
    path = paths.parse(template)

    assert text == path.text
    assert frozenset((field,)) == path.fields
    assert [True] == [variable.deep for variable in path.variables]
