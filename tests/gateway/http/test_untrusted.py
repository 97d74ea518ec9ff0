"""What an app answers is passed on as far as it speaks for the answer, and no further."""

import pytest

from gateway.http import untrusted
from gateway.http.errors import HttpError

URL = "http://localhost:3370/-/app/page"
OURS = ("kodosumi_jwt", "koda_operator_session")


def passed(*sent: tuple[str, str], sandboxed: bool = False) -> list[tuple[str, str]]:
    """Return what of these headers is passed on."""
    return untrusted.headers(sent, cookies=OURS, url=URL, sandboxed=sandboxed)


@pytest.mark.parametrize("number", [-1, 0, 99, 100, 101, 103, 199, 600, 999, 2**31 - 1])
def test_a_status_that_is_none_is_502(number: int) -> None:
    """Also those of answers that are still to come."""
    with pytest.raises(HttpError, match="none of an answer") as caught:
        untrusted.status(number)

    assert 502 == caught.value.status


@pytest.mark.parametrize("number", [200, 204, 304, 404, 418, 599])
def test_other_statuses_are_the_apps(number: int) -> None:
    """Registered or not."""
    assert number == untrusted.status(number)


@pytest.mark.parametrize(
    "name",
    [
        "Clear-Site-Data",
        "Alt-Svc",
        "Strict-Transport-Security",
        "Service-Worker-Allowed",
        "NEL",
        "Report-To",
        "Accept-CH",
        "Refresh",
        "WWW-Authenticate",
        "Connection",
        "Transfer-Encoding",
        "Upgrade",
        "x-http-code",
        "X-Kodosumi_User",
        "x-mesh-path",
        "x-forwarded-for",
        "grpc-status",
        ":status",
        "x-a b",
        "",
    ],
)
def test_what_speaks_for_more_than_the_answer_stays(name: str) -> None:
    """For the site, the connection or the mesh."""
    assert [] == passed((name, "1"))


@pytest.mark.parametrize(
    "name", ["Content-Type", "x-app", "ETag", "Access-Control-Allow-Origin", "content-disposition"]
)
def test_what_speaks_for_the_answer_is_passed_on(name: str) -> None:
    """In lower case, the value as it is."""
    assert [(name.lower(), "a\xe9")] == passed((name, "a\xe9"))
    assert [] == passed((name, "a\r\nset-cookie: x=1"))


@pytest.mark.parametrize(
    ("cookie", "is_theirs"),
    [
        ("mine=1; Path=/", True),
        ("kodosumi_jwt2=1", True),
        ("kodosumi_jwt=x", False),
        (" kodosumi_jwt =x; Path=/", False),
        ("koda_operator_session=x; HttpOnly", False),
        ("=kodosumi_jwt=x", False),
        ("kodosumi_jwt", False),
        (" ; kodosumi_jwt=x", False),
        ("", False),
    ],
)
def test_no_cookie_of_ours_is_set(cookie: str, is_theirs: bool) -> None:
    """Nor one without a name, which a browser sends back as what it holds."""
    assert bool(passed(("Set-Cookie", cookie))) is is_theirs


@pytest.mark.parametrize(
    ("location", "may"),
    [
        ("/flow", True),
        ("next", True),
        ("https://elsewhere.example/login", True),
        ("http://localhost:1/login", True),
        ("/-/app/login", True),
        ("login", True),
        ("/login?name=eve&password=eve", False),
        ("/login/", False),
        ("//localhost:3370/login", False),
        ("http://LOCALHOST:3370/logout", False),
        ("../../login", False),
        ("/-/%2e%2e/login", False),
        ("/l%6Fgin", False),
        ("\\login", False),
        ("/\\localhost:3370/login", False),
        (" /logout", False),
        ("/log\tout", False),
        ("//[", False),
    ],
)
def test_no_redirect_signs_anybody_in_or_out(location: str, may: bool) -> None:
    """The browser would take it for a step of our own page."""
    if may:
        assert [("location", location)] == passed(("Location", location))
    else:
        with pytest.raises(HttpError):
            passed(("Location", location))


def test_too_many_bytes_of_headers_are_502() -> None:
    """Rather than some of them."""
    with pytest.raises(HttpError, match="bytes of headers"):
        passed(*((f"x-{number}", "a" * 1000) for number in range(20)))


def test_a_page_has_an_origin_of_its_own() -> None:
    """Beside the policy that the app has given it."""
    policy = ("content-security-policy", "default-src 'self'")

    assert [policy, ("content-security-policy", untrusted.SANDBOX)] == passed(policy, sandboxed=True)
    assert "allow-same-origin" not in untrusted.SANDBOX
    assert {"allow-forms", "allow-scripts"} <= set(untrusted.SANDBOX.split())
