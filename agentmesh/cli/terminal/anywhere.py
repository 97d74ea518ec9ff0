"""`--json` and `--url` in any place: they are put behind the command that has them."""

import typer.main
from typer import Typer

_FLAG, _VALUE = "--json", "--url"


def placed(arguments: list[str], app: Typer) -> list[str]:
    """Return the arguments with `--json` and `--url` that stand before a command put behind its name."""
    command = typer.main.get_command(app)
    names: list[str] = []
    taken: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word == _FLAG or word.startswith(f"{_VALUE}="):
            taken.append(rest.pop(0))
        elif word == _VALUE and len(rest) > 1:
            taken += [rest.pop(0), rest.pop(0)]
        elif word in (commands := getattr(command, "commands", {})):
            command = commands[word]
            names.append(rest.pop(0))
        else:
            break
    return [*names, *taken, *rest]
