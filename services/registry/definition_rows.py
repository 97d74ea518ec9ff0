"""Definitions as texts: JSON, as a table keeps them and a kept answer is written."""

from typing import Any, TypeVar

import pydantic

from services.registry.domain.agents import Agent
from services.registry.domain.crews import Crew
from services.registry.domain.records import Record
from services.registry.domain.taskdefs import TaskDef
from services.registry.domain.tools import Tool

R = TypeVar("R", bound=Record)

_ADAPTERS: dict[type[Record], pydantic.TypeAdapter[Any]] = {
    kind: pydantic.TypeAdapter(kind) for kind in (Agent, Crew, TaskDef, Tool)
}


def dump(record: Record) -> str:
    """Return a definition as JSON."""
    return _ADAPTERS[type(record)].dump_json(record).decode()


def load(kind: type[R], text: str | bytes) -> R:
    """Return the definition in JSON; fields that it does not have take their defaults."""
    record: R = _ADAPTERS[kind].validate_json(text)
    return record
