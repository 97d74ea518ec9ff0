"""Slugs: short names made of long ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.domain.slugs import PATTERN, candidates, is_id, slug_of

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Atlas", "atlas"),
        ("  Code -- Review!  ", "code-review"),
        ("Café Ærø Straße Łódź", "cafe-aero-strasse-lodz"),
        ("ﬁne ①", "fine-1"),
        ("日本", "agent"),
        ("...", "agent"),
        (ID, "agent"),
        ("x" * 80, "x" * 63),
        ("x" * 62 + " yz", "x" * 62),
    ],
)
def test_what_is_made_of_a_name(name: str, slug: str) -> None:
    """Letters lose their marks; what has none left has a name for all."""
    assert slug_of(name, "agent") == slug


@given(st.text(max_size=300))
def test_every_text_has_a_slug_and_every_candidate_is_one(text: str) -> None:
    """And none looks like an id."""
    tried = list(candidates(slug_of(text, "agent"), ID))

    assert all(PATTERN.fullmatch(slug) and not is_id(slug) for slug in tried)
    assert len(set(tried)) == len(tried) == 10
