"""What the reference of Kasal says beyond the contract: what is sent, and the examples of its document."""

from typing import Any

import pydantic

from gateway.dialects.kasal.auth import RefreshToken, SignIn
from gateway.dialects.kasal.definitions import (
    AgentChange,
    CrewChange,
    MemoryKind,
    NewAgent,
    NewCrew,
    NewTask,
    TaskChange,
)
from gateway.dialects.kasal.executions import NewExecution
from gateway.dialects.kasal.tools import NewTool
from gateway.http.shapes import REPEATABLE, Reference, Shape, json


class FieldError(pydantic.BaseModel):
    """What is wrong with one field."""

    field: str
    reason: str


class Details(pydantic.BaseModel):
    """Which field is wrong, and why; empty if it is none."""

    model_config = pydantic.ConfigDict(json_schema_extra={"required": []})

    field: str = ""
    reason: str = ""
    errors: list[FieldError] = []
    """All of them, if several are."""


class Problem(pydantic.BaseModel):
    """What went wrong."""

    code: str
    """Such as `VALIDATION_ERROR`."""
    message: str
    details: Details


class Error(pydantic.BaseModel):
    """The body of every error."""

    error: Problem


def _takes(model: type[pydantic.BaseModel], example: Any, *, creates: bool = False) -> Shape:
    return Shape(takes=(json(model, example),), headers=REPEATABLE if creates else {})


_SHAPES = {
    "AuthService.Login": _takes(SignIn, {"email": "user@example.com", "password": "secure_password"}),
    "AuthService.Refresh": Shape(takes=(json(RefreshToken, {"refresh_token": "eyJ0eXAi..."}),), may_be_left_out=True),
    "CrewService.CreateCrew": _takes(
        NewCrew,
        {
            "name": "Marketing Crew",
            "description": "Content generation team",
            "process": "hierarchical",
            "agents": [{"role": "Content Writer", "goal": "Create engaging content", "model": "gpt-4"}],
        },
        creates=True,
    ),
    "CrewService.UpdateCrew": _takes(CrewChange, {"name": "Updated Crew Name", "process": "sequential"}),
    "AgentService.CreateAgent": _takes(
        NewAgent,
        {
            "crew_id": "crew_019b9d3ac5f07f8e8c1f0d6f5a3b2c1d",
            "role": "Data Analyst",
            "goal": "Analyze metrics",
            "backstory": "Expert analyst with 10 years experience",
            "model": "claude-3-opus",
            "tools": ["web_search", "calculator"],
        },
        creates=True,
    ),
    "AgentService.UpdateAgent": _takes(AgentChange, {"model": "gpt-4"}),
    "TaskService.UpdateTask": _takes(TaskChange, {"description": "Analyze competitor pricing"}),
    "ExecutionService.StartExecution": _takes(
        NewExecution,
        {
            "crew_id": "crew_019b9d3ac5f07f8e8c1f0d6f5a3b2c1d",
            "inputs": {"topic": "Q4 Marketing Strategy", "deadline": "2024-12-31"},
        },
        creates=True,
    ),
    "TaskService.CreateTask": _takes(
        NewTask,
        {
            "agent_id": "agent_019b9d3ac5f07f8e8c1f0d6f5a3b2c1d",
            "description": "Analyze competitor pricing",
            "expected_output": "Markdown report",
            "context": ["Previous analysis from Q3"],
        },
        creates=True,
    ),
    "ToolService.CreateTool": _takes(
        NewTool,
        {
            "name": "salesforce_api",
            "description": "Query Salesforce data",
            "endpoint": "https://api.example.com/salesforce",
            "auth_type": "bearer",
        },
        creates=True,
    ),
    "MemoryService.ClearMemory": _takes(MemoryKind, {"type": "short_term"}),
}

REFERENCE = Reference(
    title="Kasal API",
    description="""Crews of agents, their tasks and tools, and executions of them.

Sign in at `/v1/auth/login`; then send `Authorization: Bearer <access_token>`.  Every path is under `/v1` and `/api/v1`.
Lists take `page` (from 1) and `limit` (1 to 100).

`/v1/ws` is a WebSocket: send `{"type": "subscribe", "job_id": "job_…"}`, with `since_seq` to go on where you were, and
get `task_start`, `task_complete`, `progress`, `error` and `execution_complete`, each with the `seq` of its event.""",
    error=Error,
    shapes=_SHAPES,
    values={
        "AgentItem.crew_id": str | None,
        "TaskItem.agent_id": str | None,
        "TaskItem.crew_id": str | None,
        "Execution.completed_at": str | None,
        "Execution.result": str | None,
        "Execution.error": str | None,
        "Trace.agent_id": str | None,
        "Trace.task_id": str | None,
    },
    errors=(400, 401, 403, 404, 413, 415, 429, 500, 503),
)
