"""Where flows are, as the panel's clients know them."""

import pytest

from gateway.dialects.kodosumi import flow_urls


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/-/localhost/8005/prime/-", ("prime", "/")),
        ("/-/localhost/8005/prime/-/", ("prime", "/")),
        ("/-/h/1/prime/-/async", ("prime", "/async")),
        ("/-/h/1/prime/-/a/-/b%20c/", ("prime", "/a/-/b c/")),
        ("/-/prime", ("prime", "/")),
        ("/-/prime/async", ("prime", "/async")),
        ("/-/", ("", "/")),
    ],
)
def test_a_proxied_path_names_an_expose(path: str, expected: tuple[str, str]) -> None:
    """In the seed's form and in the short one."""
    assert flow_urls.split(path) == expected


@pytest.mark.parametrize("flow", ["flows/prime", "flows/prime/async", "flows/x/a/b"])
def test_a_flows_url_leads_back_to_it(flow: str) -> None:
    """Whatever the depth."""
    expose, path = flow_urls.split(flow_urls.flow_url(flow))

    assert f"flows/{expose}{path}".rstrip("/") == flow
