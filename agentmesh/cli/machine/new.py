"""`agentmesh new`: a folder with an app that runs, a test of it, and what to type."""

import difflib
import importlib.util
import pathlib
import re
from typing import Annotated

import typer

from agentmesh.cli.machine.starters import STARTERS, Starter
from agentmesh.cli.terminal import output

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
_TEMPLATES = ", ".join(f"{name} ({starter.title})" for name, starter in STARTERS.items())


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(help="What the folder and the app are called.")],
    template: Annotated[str, typer.Option("--template", "-t", help=f"What it begins as: {_TEMPLATES}.")] = "form",
) -> None:
    """Make a folder with an app that runs, and a test of it: agentmesh new hello, then agentmesh dev hello/app.py."""
    starter = STARTERS.get(template)
    if starter is None:
        near = difflib.get_close_matches(template, STARTERS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(STARTERS)}"
        raise typer.BadParameter(f"--template: there is no {template!r}; {hint}")
    folder = pathlib.Path(name)
    if not _NAME.match(folder.name):
        raise typer.BadParameter(
            f"{folder.name!r}: a name is lower-case letters, digits, - and _, and begins with a letter"
        )
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is there already and not empty: take another name, or remove it first")
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in _files(folder.name, starter).items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{folder} cannot be made: {error.strerror}") from None
    output.say(f"{folder}/ has {', '.join(_files(folder.name, starter))}")
    if missing := [package for package in starter.packages if importlib.util.find_spec(package) is None]:
        output.say(f"it needs what is not installed here: pip install {' '.join(missing)}", "yellow")
    output.say(f"start it:  agentmesh dev {folder}/app.py")
    output.say(f"run it:    agentmesh run {folder.name} {starter.run}")
    output.say(f"test it:   python -m pytest {folder}")


def _files(name: str, starter: Starter) -> dict[str, str]:
    """Return what stands in the folder."""
    needs = f"pip install agentmesh pytest {' '.join(starter.packages)}".rstrip()
    readme = f"""\
# {name}

{starter.title[0].upper()}{starter.title[1:]}.

```sh
{needs}
agentmesh dev app.py     # a mesh with this app; it is loaded anew whenever you save
agentmesh run {name} {starter.run}
python -m pytest
```
"""
    files = {
        "app.py": starter.app,
        "test_app.py": starter.test,
        "README.md": readme,
        ".gitignore": ".agentmesh/\n__pycache__/\n",
    }
    if starter.packages:
        files["requirements.txt"] = "".join(f"{package}\n" for package in ("agentmesh", *starter.packages))
    return files
