"""Exposes as rows: texts, numbers and JSON, as a table keeps them and a kept answer is written."""

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

from services.registry.domain.exposes import Expose, FlowMeta, FoundFlow

FIELDS = (
    "name",
    "display_name",
    "network",
    "enabled",
    "bootstrap",
    "meta",
    "created_at",
    "updated_at",
    "flows",
    "booted_etag",
    "failure",
    "sealed",
)
"""The columns of a row, in order."""


def dump(expose: Expose) -> tuple[Any, ...]:
    """Return an expose as a row."""
    values = {field: getattr(expose, field) for field in FIELDS}
    values["enabled"] = int(expose.enabled)
    values["meta"] = None if expose.meta is None else _json(expose.meta)
    values["flows"] = _json(expose.flows)
    values["created_at"] = expose.created_at.isoformat()
    values["updated_at"] = expose.updated_at.isoformat()
    return tuple(values.values())


def load(row: Sequence[Any]) -> Expose:
    """Return the expose of a row."""
    values = dict(zip(FIELDS, row, strict=True))
    values["enabled"] = bool(values["enabled"])
    values["created_at"] = datetime.datetime.fromisoformat(values["created_at"])
    values["updated_at"] = datetime.datetime.fromisoformat(values["updated_at"])
    if values["meta"] is not None:
        values["meta"] = tuple(_load_meta(item) for item in json.loads(values["meta"]))
    values["flows"] = tuple(FoundFlow(**{**item, "tags": tuple(item["tags"])}) for item in json.loads(values["flows"]))
    return Expose(**values)


def _json(records: tuple[FlowMeta, ...] | tuple[FoundFlow, ...]) -> str:
    return json.dumps([dataclasses.asdict(record) for record in records], default=_iso, ensure_ascii=False)


def _iso(value: datetime.datetime) -> str:
    return value.isoformat()


def _load_meta(item: dict[str, Any]) -> FlowMeta:
    heartbeat_at = item.pop("heartbeat_at")
    return FlowMeta(**item, heartbeat_at=heartbeat_at and datetime.datetime.fromisoformat(heartbeat_at))
