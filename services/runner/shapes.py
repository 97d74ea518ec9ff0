"""Conversations, memories and spans as messages: for callers, and for hosts."""

import math
from typing import Any

from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2, memory_pb2, trace_pb2
from google.protobuf import struct_pb2

from meshkit.clock import stamp
from services.runner.domain import Layer, Memory, Role, readings
from services.runner.domain.conversations import Conversation, Message
from services.runner.domain.memories import Ranked
from services.runner.domain.traces import Span

ROLES = {Role.USER: conversation_pb2.MESSAGE_ROLE_USER, Role.ASSISTANT: conversation_pb2.MESSAGE_ROLE_ASSISTANT}
LAYERS = {layer: memory_pb2.MemoryLayer.Value(f"MEMORY_LAYER_{layer.name}") for layer in Layer}
FROM_LAYERS = {number: layer for layer, number in LAYERS.items()}
_SPAN_KINDS = dict(trace_pb2.SpanKind.items())
_DEPTH_MAX = 30
"""Of what a span says: each level is up to three nested messages, of which protobuf reads a hundred."""
_SPAN_STATUSES = dict(trace_pb2.SpanStatus.items())


def conversation_to_pb(conversation: Conversation) -> conversation_pb2.Conversation:
    """Render a conversation."""
    return conversation_pb2.Conversation(
        name=conversation.name,
        title=conversation.title,
        summary=conversation.summary,
        active=conversation.active,
        owner=conversation.owner,
        message_count=conversation.message_count,
        job_count=conversation.job_count,
        create_time=stamp(conversation.created_at),
        update_time=stamp(conversation.updated_at),
        last_message_time=stamp(conversation.last_message_at),
    )


def message_to_pb(message: Message) -> conversation_pb2.Message:
    """Render a message of a conversation."""
    return conversation_pb2.Message(
        name=f"conversations/{message.conversation_id}/messages/{message.number}",
        index=message.number,
        role=ROLES[message.role],
        content=message.content,
        job=f"jobs/{message.job_id}",
        create_time=stamp(message.created_at),
    )


def hit_to_pb(hit: Ranked) -> memory_pb2.MemoryHit:
    """Render a record that was found."""
    return memory_pb2.MemoryHit(
        record=record_to_pb(hit.record),
        score=hit.score,
        lexical_rank=hit.lexical_rank,
        dense_rank=hit.dense_rank,
        graph_rank=hit.graph_rank,
    )


def record_to_pb(record: Memory) -> memory_pb2.MemoryRecord:
    """Render a record of a memory."""
    return memory_pb2.MemoryRecord(
        name=f"memoryRecords/{record.number}",
        scope=record.scope,
        owner=record.owner,
        layer=LAYERS[record.layer],
        type=record.type,
        category=record.category,
        content=record.content,
        importance=record.importance,
        job=f"jobs/{record.job_id}" if record.job_id else "",
        create_time=stamp(record.created_at),
    )


def kind_of(span: Span) -> int:
    """Return the `SpanKind` of a span; one that this version does not know is UNSPECIFIED."""
    return int(_SPAN_KINDS.get(f"SPAN_KIND_{span.kind.upper()}", trace_pb2.SPAN_KIND_UNSPECIFIED))


def span_to_pb(span: Span) -> trace_pb2.Span:
    """Render a span."""
    attributes = struct_pb2.Struct()
    attributes.update(_plain(span.attributes))
    return trace_pb2.Span(
        id=span.id,
        parent=span.parent,
        seq=span.seq,
        kind=kind_of(span),  # type: ignore[arg-type]  # an enum is an int to protobuf
        display_name=span.name,
        status=_SPAN_STATUSES.get(f"SPAN_STATUS_{span.status.upper()}", 0),  # type: ignore[arg-type]
        agent=span.agent,
        agent_display_name=span.agent_name,
        task_def=span.task_def,
        start_time=stamp(span.start),
        end_time=stamp(span.end),
        usage=job_pb2.Usage(**span.usage) if span.usage else None,
        attributes=attributes,
        redactions=span.redactions,
    )


def _plain(value: Any, depth: int = _DEPTH_MAX) -> Any:
    """Return a JSON value of a flow as `Struct` takes it, and everybody reads it.

    Text is Unicode; numbers that a double does not hold, and what is nested too deep, are text.
    """
    if isinstance(value, str):
        return readings.readable(value)
    if isinstance(value, dict | list) and not depth:
        return "… nested too deep to be shown"
    if isinstance(value, dict):
        return {_plain(str(name)): _plain(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth - 1) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
