"""Between the registry's records and the messages of `mesh.registry.v1`."""

import datetime

from google.protobuf import timestamp_pb2
from mesh.registry.v1 import registry_pb2 as pb

from meshkit import names
from services.registry.domain import Definition, Expose, FlowMeta, Standing, State, clean_name
from services.registry.flows import Flow
from services.registry.runs import Event, Kind, Run

_STATES = {state: pb.ExposeState.Value(f"EXPOSE_STATE_{state.name}") for state in State}
_KINDS = {kind: pb.BootEvent.Kind.Value(f"KIND_{kind.name}") for kind in Kind}


def stamp(at: datetime.datetime | None) -> timestamp_pb2.Timestamp | None:
    """Return a time as a message; None stays absent."""
    if at is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(at)
    return message


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
        heartbeat_time=stamp(standing.heartbeat_at),
        create_time=stamp(expose.created_at),
        update_time=stamp(expose.updated_at),
        etag=expose.etag,
        alive_count=standing.alive_count,
        flow_count=standing.flow_count,
        stale=standing.stale,
        needs_reboot=standing.needs_reboot,
    )


def flow_pb(flow: Flow) -> pb.Flow:
    """Return a flow as a message."""
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
    )


def event_pb(event: Event) -> pb.BootEvent:
    """Return what a boot said as a message."""
    return pb.BootEvent(
        kind=_KINDS[event.kind],
        step=event.step,
        target=event.target,
        message=event.message,
        result=event.result,
        time=stamp(event.at),
    )


def boot_pb(run: Run | None) -> pb.Boot:
    """Return the current or last boot; an empty one if there was none."""
    if run is None:
        return pb.Boot()
    return pb.Boot(
        running=not run.ended,
        start_time=stamp(run.started_at),
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
        heartbeat_time=stamp(entry.heartbeat_at),
    )
