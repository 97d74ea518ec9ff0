"""Between the registry's records and the messages of `mesh.registry.v1`."""

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from google.protobuf import duration_pb2

from meshkit import names
from meshkit.clock import stamp_at
from services.registry.boot.runs import Event, Run
from services.registry.domain import facts
from services.registry.domain.exposes import Definition, Expose, FlowMeta, clean_name
from services.registry.domain.facts import Counts, Fact, Kind
from services.registry.domain.flows import Flow
from services.registry.domain.prices import Pricing
from services.registry.domain.standings import Standing, State

_STATES = {state: pb.ExposeState.Value(f"EXPOSE_STATE_{state.name}") for state in State}
_KINDS = {kind: pb.BootEvent.Kind.Value(f"KIND_{kind.name}") for kind in Kind}
_ENUMS: dict[type, Mapping[Any, int]] = {
    State: _STATES,
    facts.Step: {step: pb.BootStep.Value(f"BOOT_STEP_{step.name}") for step in facts.Step},
    facts.Operation: {item: pb.BootOperation.Value(f"BOOT_OPERATION_{item.name}") for item in facts.Operation},
    facts.Reason: {reason: pb.ExposeSkipped.Reason.Value(f"REASON_{reason.name}") for reason in facts.Reason},
}


def expose_id(name: str, field: str = "name") -> str:
    """Return the id in `exposes/{expose}` as it is; raise `Invalid` if `name` is not of that form."""
    return names.parse(name, "exposes", field)


def definition(expose: pb.Expose) -> Definition:
    """Return what is to be saved; raise `Invalid` for a name that cannot be one."""
    has_meta = expose.has_meta or bool(expose.meta)
    return Definition(
        name=clean_name(expose_id(expose.name, "expose.name"), "expose.name"),
        display_name=expose.display_name or None,
        network=expose.network or None,
        enabled=expose.enabled,
        bootstrap=expose.bootstrap,
        meta=tuple(_meta(entry) for entry in expose.meta) if has_meta else None,
    )


def original_id(name: str) -> str:
    """Return the id of the expose to rename, or an empty string."""
    return expose_id(name, "original_name").strip().lower() if name else ""


def expose_pb(found: tuple[Expose, Standing]) -> pb.Expose:
    """Return an expose and where it stands as one message."""
    expose, standing = found
    return pb.Expose(
        name=f"exposes/{expose.name}",
        display_name=expose.display_name,
        network=expose.network,
        enabled=expose.enabled,
        bootstrap=expose.bootstrap,
        meta=[_meta_pb(entry) for entry in expose.meta or ()],
        has_meta=expose.meta is not None,
        state=_STATES[standing.state],
        message=standing.message,
        heartbeat_time=stamp_at(standing.heartbeat_at),
        create_time=stamp_at(expose.created_at),
        update_time=stamp_at(expose.updated_at),
        etag=expose.etag,
        alive_count=standing.alive_count,
        flow_count=standing.flow_count,
        stale=standing.stale,
        needs_reboot=standing.needs_reboot,
    )


def flow_pb(flow: Flow, *, whole: bool) -> pb.Flow:
    """Return a flow as a message; its form and schema are in it if it shall be `whole`."""
    return pb.Flow(
        name=flow.name,
        expose=f"exposes/{flow.expose}",
        path=flow.path,
        url=flow.url,
        summary=flow.summary,
        description=flow.description,
        tags=flow.tags,
        author=flow.author,
        organization=flow.organization,
        version=flow.version,
        deprecated=flow.deprecated,
        meta_yaml=flow.meta_yaml,
        network=flow.network,
        alive=flow.alive,
        method=flow.method,
        expose_state=_STATES[flow.state],
        pricing=_pricing_pb(flow.pricing) if flow.pricing is not None else None,
        elements_json=flow.elements_json if whole else "",
        input_schema_json=flow.input_schema_json if whole else "",
        enabled=flow.enabled,
        public=flow.public,
    )


def _pricing_pb(pricing: Pricing) -> pb.Pricing:
    return pb.Pricing(
        agent_identifier=pricing.agent_identifier,
        network=pricing.network,
        amounts=[pb.Pricing.Amount(amount=item.amount, unit=item.unit) for item in pricing.amounts],
    )


def event_pb(event: Event) -> pb.BootEvent:
    """Return a fact of a boot as a message."""
    message = pb.BootEvent(kind=_KINDS[event.kind], time=stamp_at(event.at))
    part = getattr(message, fact_field(type(event.fact)))
    part.SetInParent()  # a fact without fields is said too
    _fill(part, event.fact)
    return message


def fact_field(fact: type[Fact]) -> str:
    """Return the field of `BootEvent` that holds a kind of fact: `app_settled` for `AppSettled`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", fact.__name__).lower()


def _fill(message: Any, record: Fact | Counts) -> None:
    """Copy the fields of a record to those of a message with the same names."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name == "expose":
            message.expose = f"exposes/{value}" if value else ""
        elif isinstance(value, Counts):
            _fill(message.counts, value)
        elif isinstance(value, datetime.timedelta):
            getattr(message, field.name).CopyFrom(_duration(value))
        elif isinstance(value, tuple):
            getattr(message, field.name).extend(value)
        elif value is not None:
            setattr(message, field.name, _ENUMS[type(value)][value] if type(value) in _ENUMS else value)


def _duration(value: datetime.timedelta) -> duration_pb2.Duration:
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message


def boot_pb(run: Run | None) -> pb.Boot:
    """Return the current or last boot; an empty one if there was none."""
    if run is None:
        return pb.Boot()
    return pb.Boot(
        running=not run.ended,
        start_time=stamp_at(run.started_at),
        events=[event_pb(event) for event in run.events],
    )


def _meta(entry: pb.FlowMeta) -> FlowMeta:
    return FlowMeta(url=entry.url, data=entry.data, enabled=entry.enabled, state=entry.state)


def _meta_pb(entry: FlowMeta) -> pb.FlowMeta:
    return pb.FlowMeta(
        url=entry.url,
        data=entry.data,
        enabled=entry.enabled,
        state=entry.state,
        heartbeat_time=stamp_at(entry.heartbeat_at),
        seen=entry.seen,
    )
