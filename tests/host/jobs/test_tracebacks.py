"""What an author is shown of an error: their own code, and what it called."""

import asyncio
import importlib
import pathlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from agentmesh import Tracer
from agentmesh._app.loading import load
from agentmesh._job.execution import execute
from agentmesh.host.jobs.carrying import traceback_of

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a module that can be imported, and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(text: str) -> str:
        name = f"shown_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return name

    return written


def shown(call: Callable[..., Any], argument: Any) -> str:
    """Return what is shown of the error of a call."""
    try:
        call(argument)
    except Exception as error:
        here = error.__traceback__
        assert here is not None
        return traceback_of(error.with_traceback(here.tb_next))  # a host has no frame of this test
    raise AssertionError("it raised nothing")


def files(text: str) -> list[str]:
    """Return the names of the files of a traceback, in order."""
    return [pathlib.Path(path).name for path in re.findall(r'File "([^"]+)"', text)]


def test_what_fails_in_an_import_begins_in_the_module(write: Write) -> None:
    """Frames of ours, and of what imports for us, say nothing to its author; those between the author's stay."""
    inner = write("def fail():\n    return 1 / 0\n")
    deep = write(f"import {inner}\n{inner}.fail()\n")
    outer = write(f"import importlib\nimportlib.import_module({deep!r})\n")
    text = shown(load, f"{outer}:app")

    assert text.startswith("Traceback (most recent call last):\n")
    assert f"{outer}.py" == files(text)[0]
    assert "__init__.py" == files(text)[1]
    assert [f"{deep}.py", f"{inner}.py"] == files(text)[-2:]
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_of_a_syntax_error_its_place_is_shown(write: Write) -> None:
    """And nothing else, if the app itself is no Python; what imports such a module is."""
    broken = write("x = 1\napp = ServeAPI(]\n")
    outer = write(f"import {broken}\n")

    assert [f"{broken}.py"] == files(shown(load, f"{broken}:app"))
    assert [f"{outer}.py", f"{broken}.py"] == files(shown(load, f"{outer}:app"))


def test_an_error_of_ours_keeps_its_last_frame(write: Write) -> None:
    """So that it can be found."""
    name = write("")
    text = shown(load, f"{name}:app")

    assert ["loading.py"] == files(text)
    assert "has no 'app'" in text


def test_what_led_to_an_error_is_shown_so_too(write: Write) -> None:
    """Each begins where its author's code does; what that has called stays, ours, too."""
    name = write(
        "from agentmesh import forms\n\ndef run(inputs, tracer):\n    try:\n        forms.Select('a', 5)\n"
        "    except Exception as error:\n        raise ExceptionGroup('both', [error, KeyError('x')]) from error\n"
    )
    inputs: dict[str, object] = {}
    text = shown(asyncio.run, execute(f"{name}:run", inputs, Tracer("f1", lambda kind, payload: None)))
    cause, _, group = text.partition("The above exception was the direct cause")

    assert f"{name}.py" == files(cause)[0]
    assert f"{name}.py" != files(cause)[-1]
    assert f"{name}.py" in files(group)
    assert "ExceptionGroup: both (2 sub-exceptions)" in group
