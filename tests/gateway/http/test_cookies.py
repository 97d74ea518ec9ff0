"""The sign-in cookie, and where a sign-in may lead."""

import pytest

from gateway.http import cookies
from meshkit import errors as mesh


@pytest.mark.parametrize("target", ["/", "/flow", "/a/b?c=d#e", "/%20"])
def test_a_path_on_this_server_is_a_redirect(target: str) -> None:
    """It is returned as it is."""
    assert cookies.check_redirect(target) == target


@pytest.mark.parametrize("target", ["//a", "/\\a", "http://a", "a", "", "/a\r\nset-cookie: x", "/ü", "/" + "a" * 3000])
def test_anything_else_is_not(target: str) -> None:
    """Not another server, not a second header."""
    with pytest.raises(mesh.Invalid):
        cookies.check_redirect(target)
