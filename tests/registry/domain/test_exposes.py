"""The rules of exposes."""

import pytest

from meshkit.errors import Invalid
from services.registry.domain import exposes
from services.registry.domain.exposes import Definition


def test_the_engines_name_is_taken() -> None:
    """Nobody can put an app in the place of the one that runs agents and crews."""
    exposes.check(Definition(name="agents-of-mine"))
    with pytest.raises(Invalid) as caught:
        exposes.check(Definition(name="agents"))

    assert ["expose.name"] == list(caught.value.fields)
