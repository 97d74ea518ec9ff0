"""What the image is made of: `deploy/constraints.txt`, written by `make lock`, against the mesh and the whole lock."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.readme.snippets import ROOT

PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PACKAGE["project"]["optional-dependencies"]


def locked(file: str) -> dict[str, tuple[str, ...]]:
    """Return the version of each distribution in a lock, with the hashes of its files."""
    pieces = re.split(r"^(?=[a-z0-9])", (ROOT / file).read_text("utf-8"), flags=re.M)[1:]
    return {piece.partition("==")[0]: tuple(re.findall(r"==\S+|sha256:\w+", piece)) for piece in pieces}


def imported() -> Iterator[tuple[str, str]]:
    """Yield each file of the wheel with a module that it imports, by the first part of its name."""
    for folder in PACKAGE["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    yield from ((str(path), alias.name.partition(".")[0]) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield str(path), node.module.partition(".")[0]


def test_it_has_what_runs_a_mesh_and_nothing_that_checks_one() -> None:
    """All that the package and its extras ask for, and what builds it; in the versions of the lock, by its hashes."""
    image, whole = locked("deploy/constraints.txt"), locked("constraints.txt")
    runs = [each for extra, asked in EXTRAS.items() if extra != "dev" for each in asked]
    asked = [*PACKAGE["project"]["dependencies"], *PACKAGE["build-system"]["requires"], *runs]
    needed = {canonicalize_name(Requirement(each).name) for each in asked}
    checks = {canonicalize_name(Requirement(each).name) for each in EXTRAS["dev"]} - needed

    assert needed <= image.keys()
    assert not checks & image.keys()
    assert {name: whole[name] for name in image} == image


def test_it_has_whatever_the_mesh_imports() -> None:
    """Where a file of the mesh imports something of the lock, the image has that."""
    image, whole = locked("deploy/constraints.txt"), locked("constraints.txt")
    distributions = importlib.metadata.packages_distributions()
    found = {
        (path, canonicalize_name(distribution))
        for path, module in imported()
        if module not in sys.stdlib_module_names
        for distribution in distributions.get(module, ())
    }

    assert {"grpcio", "ray", "asyncpg", "opentelemetry-sdk"} <= {name for _, name in found}
    assert [] == sorted((path, name) for path, name in found if name in whole and name not in image)


def test_it_is_made_of_that() -> None:
    """The Containerfile takes this lock, and not the one of the tests."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Containerfile").read_text("utf-8"), re.M)

    assert [["deploy/constraints.txt"]] == [
        [each for each in sources.split() if each.endswith("constraints.txt")]
        for sources in copied
        if "constraints.txt" in sources
    ]
