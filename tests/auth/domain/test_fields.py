"""What people may call themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import Invalid
from services.auth import domain
from services.auth.domain import policy


@pytest.mark.parametrize("login", ["a", "ada.l", "ada@example.com", "Ada Lovelace", "ädä", "名前", "x" * 64])
def test_good_logins(login: str) -> None:
    """Most things that people call themselves."""
    domain.check_fields({"login": login})


@pytest.mark.parametrize(
    "login",
    ["", " ", " ada", "ada ", "a/b", "a\nb", "a\x00b", "x" * 65, "38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc", "\u202eada"],
)
def test_bad_logins(login: str) -> None:
    """What cannot be typed, told apart or put into a resource name; a UUID names a user already."""
    with pytest.raises(Invalid) as caught:
        domain.check_fields({"login": login})

    assert list(caught.value.fields) == ["login"]


@pytest.mark.parametrize("email", ["a@b", "ada@example.com", "a.b+c@sub.example.co.uk", "ä@münchen.de"])
def test_good_emails(email: str) -> None:
    """Anything of the form."""
    domain.check_fields({"email": email})


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a@b..c", "a@.b", f"a@{'x' * 260}"]
)
def test_bad_emails(email: str) -> None:
    """What cannot be an address."""
    with pytest.raises(Invalid):
        domain.check_fields({"email": email})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2000))
def test_passwords_are_bounded_in_bytes(password: str) -> None:
    """Any text of 8 characters to 1024 bytes is a password, if it is not one of the first that are guessed."""
    common = password.casefold() in policy.COMMON or len(set(password.casefold())) == 1
    good = len(password) >= 8 and len(password.encode()) <= 1024 and not common
    if good:
        domain.check_fields({"password": password})
    else:
        with pytest.raises(Invalid):
            domain.check_fields({"password": password})


@pytest.mark.parametrize(
    "password",
    ["admin", "seven77", "password", "Password123", "QWERTYUIOP", "aaaaaaaaa", "ada.lovelace", "ADA.LOVELACE@x.org"],
)
def test_what_is_guessed_first_is_no_password(password: str) -> None:
    """Too short, known to everybody, or the name of who has it; unless whoever decides it says so."""
    who = {"login": "Ada.Lovelace", "email": "ada.lovelace@x.org"}
    with pytest.raises(Invalid) as caught:
        domain.check_fields({**who, "password": password})
    with pytest.raises(Invalid):
        domain.check_fields({"new_password": password}, names=who.values())

    assert {"password"} == set(caught.value.fields)
    domain.check_fields({**who, "password": password}, weak=True)


def test_every_wrong_field_is_named_at_once() -> None:
    """A form can show all that is wrong."""
    with pytest.raises(Invalid) as caught:
        domain.check_fields({"login": "", "email": "x", "password": "a good one", "display_name": " "})

    assert set(caught.value.fields) == {"login", "email", "display_name"}
