"""What a bootstrap may say of what a job takes and reaches."""

from typing import Any

import pytest

from meshkit.errors import Invalid
from services.registry.domain import bounds
from services.registry.domain.bounds import UNBOUNDED, Bounds


def test_what_is_said_is_read() -> None:
    """Sizes in bytes or with a unit, counts as whole numbers, paths as lists."""
    found = bounds.read(
        {
            "limits": {"memory": "2GiB", "processes": 32, "files": 128, "file_size": "1.5 MB"},
            "paths": {"read": ["/srv/models"], "write": ["/srv/out", "/srv/more"]},
        }
    )

    assert found == Bounds(
        memory_bytes=2 * 1024**3,
        processes=32,
        open_files=128,
        file_bytes=1_500_000,
        read_paths=("/srv/models",),
        write_paths=("/srv/out", "/srv/more"),
    )


@pytest.mark.parametrize("document", [{}, {"limits": None, "paths": None}, {"limits": {}, "paths": {"read": None}}])
def test_what_is_not_said_is_left_to_the_host(document: dict[str, Any]) -> None:
    """Zeros stand for its defaults."""
    assert bounds.read(document) == UNBOUNDED


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"limits": [1]}, "limits"),
        ({"limits": {"cpu": 1}}, "limits.cpu"),
        ({"limits": {"memory": "much"}}, "limits.memory"),
        ({"limits": {"memory": 1}}, "limits.memory"),
        ({"limits": {"memory": "9" * 400 + "T"}}, "limits.memory"),
        ({"limits": {"processes": True}}, "limits.processes"),
        ({"limits": {"processes": 1.5}}, "limits.processes"),
        ({"limits": {"files": -1}}, "limits.files"),
        ({"limits": {"file_size": [1]}}, "limits.file_size"),
        ({"paths": "/srv"}, "paths"),
        ({"paths": {"execute": []}}, "paths.execute"),
        ({"paths": {"read": "/srv"}}, "paths.read"),
        ({"paths": {"write": ["srv"]}}, "paths.write"),
        ({"paths": {"write": ["/"]}}, "paths.write"),
        ({"paths": {"write": ["/srv\0"]}}, "paths.write"),
        ({"paths": {"write": [7]}}, "paths.write"),
        ({"paths": {"read": ["/srv"] * 101}}, "paths.read"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(document: dict[str, Any], field: str) -> None:
    """In the words of the bootstrap."""
    with pytest.raises(Invalid) as refused:
        bounds.read(document)

    assert [field] == list(refused.value.fields)
    assert str(refused.value).startswith(f"{field} of the bootstrap ")
