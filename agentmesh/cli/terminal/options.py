"""Options that several commands have: written once, as the parameters of a function that makes fields of them."""

import functools
import inspect
import json
import pathlib
from collections.abc import Callable
from typing import Any

import typer

Fields = dict[str, Any]
"""What was given, by the name of the field."""


def given(**values: Any) -> Fields:
    """Return those values that are given."""
    return {name: value for name, value in values.items() if value is not None}


def text_of(file: pathlib.Path) -> str:
    """Return what is in a file.  Raises `typer.BadParameter` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise typer.BadParameter(f"there is no file {file} (in {pathlib.Path.cwd()}): name one that is there") from None
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}: name a file that you can read") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"cannot read {file}: it is no text in UTF-8") from error


def json_of(text: str, option: str) -> dict[str, Any]:
    """Return the JSON object in `text`, or in FILE if that is `@FILE`; raise `typer.BadParameter` for anything else."""
    if not text:
        return {}
    source = text_of(pathlib.Path(text[1:])) if text.startswith("@") else text
    try:
        values = json.loads(source)
    except ValueError as error:
        where = f"{text[1:]} is" if text.startswith("@") else "is"
        raise typer.BadParameter(
            f'{option} {where} not JSON: {error}; write an object, such as \'{{"name": "Ann"}}\', or @FILE'
        ) from error
    if not isinstance(values, dict):
        raise typer.BadParameter(f'{option} is no JSON object: write one, such as \'{{"name": "Ann"}}\', or @FILE')
    return values


def having(shared: Callable[..., Fields]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `shared`, where its parameter `fields` stands; that gets what `shared` returns.

    What a command says after `fields` is listed behind those options in its help.
    """
    options = inspect.signature(shared).parameters

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += options.values() if parameter.name == "fields" else [parameter]

        @functools.wraps(command)
        def called(**values: Any) -> None:
            fields = shared(**{name: values.pop(name) for name in options})
            command(fields=fields, **values)

        # What typer reads.
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorated
