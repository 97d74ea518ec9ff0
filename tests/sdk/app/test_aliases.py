"""Names under which apps import what is here by another; each case in a process of its own."""

import pathlib

import pytest

from tests.sdk.installed import run, write


def test_an_alias_wins_and_is_the_same_module(tmp_path: pathlib.Path) -> None:
    """Executed once, whatever it is called; the parent that is there for real stays."""
    write(
        tmp_path,
        {
            "tests/__init__.py": "real = True",
            "tests/other.py": "name = 'other'",
            "tests/taken.py": "name = 'hidden'",
            "real_app.py": "import os\nname = 'app'\nruns = globals().get('runs', 0) + 1",
        },
    )
    code = """
import tests.taken, tests.other, tests.virtual, real_app
print(json.dumps([tests.real, tests.taken is real_app, tests.virtual is real_app, tests.other.name, real_app.runs]))
"""
    aliases = "tests.taken=real_app, tests.virtual = real_app,"
    assert [True, True, True, "other", 1] == run(code, folder=tmp_path, aliases=aliases)


def test_parents_of_an_alias_are_made(tmp_path: pathlib.Path) -> None:
    """As far as needed and no further; modules below an aliased package are the package's own."""
    write(tmp_path, {"pkg/__init__.py": "", "pkg/calculator.py": "x = 1"})
    code = """
import kodosumi_examples.prime.calculator, pkg.calculator
from kodosumi_examples.prime import calculator
try:
    import kodosumi_examples.other
    other = True
except ModuleNotFoundError:
    other = False
print(json.dumps([calculator is pkg.calculator, other]))
"""
    assert [True, False] == run(code, folder=tmp_path, aliases="kodosumi_examples.prime=pkg")


def test_a_real_parent_without_the_child_stays_real(tmp_path: pathlib.Path) -> None:
    """Only what is missing is made."""
    write(tmp_path, {"examples_of/__init__.py": "real = True", "real_app.py": ""})
    code = """
import examples_of.deep.app, real_app
print(json.dumps([examples_of.real, examples_of.deep.app is real_app]))
"""
    assert [True, True] == run(code, folder=tmp_path, aliases="examples_of.deep.app=real_app")


def test_an_alias_to_nothing_says_so(tmp_path: pathlib.Path) -> None:
    """With both names; an import error within the target is its own."""
    write(tmp_path, {"broken.py": "import missing_thing"})
    code = """
found = []
for name in ("a.b", "a.c"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        found.append([str(error), error.name])
print(json.dumps(found))
"""
    first, second = run(code, folder=tmp_path, aliases="a.b=nowhere,a.c=broken")

    assert ["a.b is an alias of nowhere: there is none", "a.b"] == first
    assert ["No module named 'missing_thing'", "missing_thing"] == second


def test_install_again_takes_new_aliases(tmp_path: pathlib.Path) -> None:
    """The finders are there once."""
    write(tmp_path, {"real_app.py": ""})
    code = """
import os
os.environ["AGENTMESH_IMPORT_ALIASES"] = "x.y=real_app"
compat.install()
import x.y, real_app
finders = [type(finder).__name__ for finder in sys.meta_path]
print(json.dumps([x.y is real_app, finders.count("_First"), finders.count("_Last")]))
"""
    assert [True, 1, 1] == run(code, folder=tmp_path)


def test_what_is_here_by_another_name_is_known(tmp_path: pathlib.Path) -> None:
    """So that nobody fetches it: the module itself, and what is in it."""
    code = "print(json.dumps([compat.is_aliased(name) for name in ('x', 'x.y', 'x.y.z', 'x.yz', 'y')]))"
    assert [False, True, True, False, False] == run(code, folder=tmp_path, aliases="x.y=real_app")


@pytest.mark.parametrize("aliases", ["x", "x=", "x=y z", "x=y;z=a"])
def test_malformed_aliases_are_refused(tmp_path: pathlib.Path, aliases: str) -> None:
    """The message names the variable and the part."""
    code = """
import os
os.environ["AGENTMESH_IMPORT_ALIASES"] = %r
try:
    compat.install()
except ValueError as error:
    print(json.dumps(str(error)))
"""
    assert "AGENTMESH_IMPORT_ALIASES" in run(code % aliases, folder=tmp_path)
