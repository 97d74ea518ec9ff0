"""What of an operator's environment passes to apps."""

import pytest

from agentmesh.host.own.environment import allowed, has_credentials


@pytest.mark.parametrize(
    "name",
    ["PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "SSL_CERT_FILE", "NO_PROXY"],
)
def test_what_programs_need_passes(name: str) -> None:
    """As it is."""
    assert {name: "x"} == allowed({name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "AGENTMESH_ADMIN_PASSWORD",
        "AGENTMESH_DATA_DIR",
        "PYTHON_INDEX_TOKEN",
        "XPATH",
        "PATHS",
        "USER",
    ],
)
def test_what_is_not_listed_does_not(name: str) -> None:
    """Whatever it is like."""
    assert {} == allowed({name: "x"})


def test_an_operator_lets_through_what_is_not_the_meshs() -> None:
    """Names are spelled out; what is not there is not passed."""
    environ = {"AGENTMESH_PASS_ENV": " A, B ,C*,AGENTMESH_PAYMENTS,,CONTROL_PLANE_API_TOKEN", "A": "1", "CD": "3"}
    environ.update({"AGENTMESH_PAYMENTS": "{}", "CONTROL_PLANE_API_TOKEN": "t"})

    assert {"A": "1", "AGENTMESH_PASS_ENV": environ["AGENTMESH_PASS_ENV"]} == allowed(environ)
    assert allowed(environ) == allowed(allowed(environ))


@pytest.mark.parametrize(
    ("address", "has"),
    [
        ("http://proxy:3128", False),
        ("proxy:3128", False),
        ("http://me:secret@proxy:3128", True),
        ("me:secret@proxy:3128", True),
        ("http://[half", True),
    ],
)
def test_proxies_pass_without_credentials(address: str, has: bool) -> None:
    """In either spelling of their names."""
    environ = {"HTTPS_PROXY": address, "http_proxy": address}

    assert has is has_credentials(address)
    assert ({} if has else environ) == allowed(environ)
