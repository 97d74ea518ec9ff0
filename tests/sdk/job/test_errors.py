"""What users see of an error."""

import os
import pickle
import sys

import pytest

from agentmesh import InputsError, KodosumiError
from agentmesh.errors import DESCRIPTION_CHARS_MAX, describe, hide_paths


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KodosumiError("no credit\nbuy some"), "no credit\nbuy some"),
        (KodosumiError(), "KodosumiError"),
        (ValueError("bad"), "ValueError: bad"),
        (ValueError(), "ValueError"),
        (KeyError("start"), "KeyError: 'start'"),
        (Unspeakable(), "Unspeakable"),
        (SystemExit(3), "SystemExit: 3"),
        (InputsError("all wrong", name="missing"), "all wrong\nname: missing"),
        (ExceptionGroup("many", [ValueError("a")]), "ExceptionGroup: many (1 sub-exception); first: ValueError: a"),
    ],
)
def test_errors_are_described(error: BaseException, text: str) -> None:
    """What an author meant for the user as it is, the rest with its type."""
    assert text == describe(error)


def test_a_description_is_bounded() -> None:
    """An error may carry a whole document."""
    assert len(describe(ValueError("x" * 1_000_000))) <= DESCRIPTION_CHARS_MAX + 1


def test_of_a_long_text_no_path_is_shown() -> None:
    """Though only its beginning is looked at, which may be short without them; that more was there is seen."""
    shown = describe(ValueError("no /usr/lib/x here " * 100_000))

    assert "/usr" not in shown
    assert shown.startswith("ValueError: no <path> here")
    assert shown.endswith("…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "[Errno 2] No such file or directory: '/usr/lib/my data/x.txt'",
            "[Errno 2] No such file or directory: '<path>'",
        ),
        ("open /tmp/a.txt: denied", "open <path>: denied"),
        ("in /usr/lib/python3/x.py, line 3", "in <path>, line 3"),
        ("(/home/me/app.py)", "(<path>)"),
        ("see https://example.com/usr/lib and /api/login", "see https://example.com/usr/lib and /api/login"),
        ("either/or, 1/2, and/usr/x", "either/or, 1/2, and/usr/x"),
        (r"C:\Users\me\app.py failed", "<path> failed"),
        ("wrote /Users/me/x.", "wrote <path>."),
    ],
)
def test_paths_of_the_machine_are_hidden(text: str, shown: str) -> None:
    """Paths of web addresses stay."""
    assert shown == hide_paths(text)


def test_where_python_lives_is_hidden() -> None:
    """Whatever this machine looks like."""
    for path in (sys.executable, os.path.abspath(__file__)):
        assert "ImportError: <path>" == describe(ImportError(path))


def test_inputs_errors_are_collected() -> None:
    """Collect, ask whether there are any, raise."""
    error = InputsError()
    assert not error
    assert not error.has_errors()

    error.add(name="is missing", age=["too low", "odd"])
    error.add(name="really")
    error.flash("Please check.")

    assert error
    assert {"name": ["is missing", "really"], "age": ["too low", "odd"], "_global_": ["Please check."]} == error.errors
    assert isinstance(error, KodosumiError)


def test_inputs_errors_travel() -> None:
    """From a process that a flow started, say."""
    again = pickle.loads(pickle.dumps(InputsError("no", name="missing")))

    assert {"_global_": ["no"], "name": ["missing"]} == again.errors
    assert "no\nname: missing" == str(again)
