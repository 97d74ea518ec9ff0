"""Between the runner's records and its messages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2, job_pb2, lock_pb2
from google.protobuf import json_format, struct_pb2

from meshkit import jsons, names
from meshkit.clock import stamp
from meshkit.errors import Denied, Invalid
from meshkit.principal import Principal
from services.runner.apps.appstates import App, AppState
from services.runner.births.allowances import Wanted
from services.runner.births.births import Order
from services.runner.births.launches import Launch
from services.runner.births.targets import KINDS, Wish, place_of
from services.runner.domain import (
    HELD,
    TERMINAL,
    End,
    Event,
    Isolation,
    Job,
    Lock,
    LockState,
    PlacedApp,
    Reason,
    State,
)
from services.runner.domain.attempts import Completion
from services.runner.domain.payments import Asked
from services.runner.ports.store import JobFilter

_STATES = {state: job_pb2.JobState.Value(f"JOB_STATE_{state.name}") for state in State}
_REASONS = {
    reason: job_pb2.JobReason.Value(f"JOB_REASON_{'UNSPECIFIED' if reason is Reason.NONE else reason.name}")
    for reason in Reason
}
_FROM_STATES = {number: state for state, number in _STATES.items()}
_LOCK_STATES = {state: lock_pb2.LockState.Value(f"LOCK_STATE_{state.name}") for state in LockState}
_ISOLATIONS = {app_pb2.ISOLATION_PROCESS: Isolation.PROCESS, app_pb2.ISOLATION_SHARED: Isolation.SHARED}
_SANDBOX = "sandbox"
_LABELS_MAX = 64
_TARGETS_MAX = 100
_WAITING = (State.PENDING, State.QUEUED, State.RETRYING, State.AWAITING_PAYMENT)
_OUTPUT_BYTES_MAX = 4 * 1024 * 1024
_LABEL_CHARS_MAX = 63
_APP_STATES = {state: app_pb2.AppState.Value(f"APP_STATE_{state.name}") for state in AppState}


def inputs_json(inputs: struct_pb2.Struct) -> str:
    """Write a JSON object; a `Struct` knows doubles only, so whole numbers become ints again."""
    return json.dumps(_whole(json_format.MessageToDict(inputs)), ensure_ascii=False, separators=(",", ":"))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


def job_to_pb(job: Job) -> job_pb2.Job:
    """Render a job."""
    return job_pb2.Job(
        name=f"jobs/{job.job_id}",
        flow=job.flow,
        owner=job.owner,
        state=_STATES[job.state],
        reason=_REASONS[job.reason],
        error=job.error,
        result_json=job.result_json,
        inputs_json=job.inputs_json,
        meta_json=job.meta_json,
        extra_json=job.extra_json,
        entry_point=job.entry_point,
        create_time=stamp(job.created_at),
        start_time=stamp(job.started_at),
        finish_time=stamp(job.finished_at),
        update_time=stamp(job.updated_at),
        last_seq=job.last_seq,
        payment=f"payments/{job.job_id}" if job.payment_json else "",
        locks=[f"jobs/{job.job_id}/locks/{lock_id}" for lock_id in sorted(job.pending_locks)],
        target=job.target or job.flow,
        usage=_usage(job),
        progress=job_pb2.Progress(percent=job.progress, text=job.progress_text) if job.progress >= 0 else None,
        conversation=job.conversation,
        attempt=job.attempt,
        labels=json.loads(job.labels_json) if job.labels_json else None,
        base_url=job.base_url,
        attempts_max=job.attempts_max,
        deadline_time=stamp(job.deadline_at),
    )


def counts_to_pb(targets: Sequence[str], counts: Mapping[tuple[str, State], int]) -> job_pb2.CountJobsResponse:
    """Render how many jobs targets have."""
    answer = job_pb2.CountJobsResponse()
    for target in targets:
        of = {state: counts.get((target, state), 0) for state in State}
        answer.counts.add(
            target=target,
            job_count=sum(of.values()),
            waiting_count=sum(of[state] for state in _WAITING),
            running_count=sum(of[state] for state in HELD),
            awaiting_input_count=of[State.AWAITING_INPUT],
            awaiting_payment_count=of[State.AWAITING_PAYMENT],
        )
    return answer


def _usage(job: Job) -> job_pb2.Usage | None:
    if not (job.input_tokens or job.output_tokens or job.cost_micros):
        return None
    return job_pb2.Usage(input_tokens=job.input_tokens, output_tokens=job.output_tokens, cost_micros=job.cost_micros)


def lock_to_pb(lock: Lock) -> lock_pb2.Lock:
    """Render a lock."""
    return lock_pb2.Lock(
        name=lock.name,
        state=_LOCK_STATES[lock.state],
        title=lock.title,
        elements_json=lock.elements_json,
        data_json=lock.data_json,
        owner=lock.owner,
        create_time=stamp(lock.created_at),
        expire_time=stamp(lock.expires_at),
        answer_time=stamp(lock.answered_at),
        answered_by=lock.answered_by,
        result_json=lock.result_json,
    )


def events_to_pb(events: Iterable[Event], *, detail: bool) -> list[job_pb2.Event]:
    """Render events; `detail` is for operators."""
    return [
        job_pb2.Event(
            seq=event.seq,
            kind=event.kind,
            time=event.time,
            payload=event.payload,
            detail=event.detail if detail else "",
        )
        for event in events
    ]


def app_to_pb(app: App, ready_count: int) -> app_pb2.App:
    """Render an app."""
    return app_pb2.App(
        name=f"apps/{app.expose}",
        state=_APP_STATES[app.state],
        message=app.message,
        detail=app.detail,
        flows=[app.flows[path] for path in sorted(app.flows)],
        import_path=app.placed.import_path,
        heartbeat_time=stamp(app.seen_at),
        replica_count=len(app.placed.host_ids),
        ready_count=ready_count,
        activity=app.activity,
    )


def app_from_pb(request: app_pb2.DeployAppRequest) -> PlacedApp:
    """Read an app to place.  Raises `Invalid`, naming the field."""
    if ":" not in request.import_path:
        raise Invalid("import_path must look like package.module:attribute", {"import_path": ["has no colon"]})
    return PlacedApp(
        expose=names.parse(request.name, "apps"),
        import_path=request.import_path,
        runtime_env_json=request.runtime_env_json,
        deployments_json=request.deployments_json,
        fork=request.fork if request.HasField("fork") else True,
        isolation=_ISOLATIONS.get(request.isolation),
        bounds=request.bounds.SerializeToString(),
    )


def launch_from_pb(request: job_pb2.CreateJobRequest, caller: Principal, *, allow_free: bool) -> Launch:
    """Read what a caller wants to start.  Raises `Invalid`, naming the field, and `Denied`."""
    if not caller.user:
        raise Denied("jobs belong to users: call with a user's token")
    if (request.extra_json or request.base_url) and not caller.service:
        raise Denied("extra_json and base_url are for services of this mesh")
    target = request.target or request.flow
    expose, path = place_of(target)
    wrong = [name for name in ("external", "overrides") if _is_said(request, name)]
    if wrong and not target.startswith(KINDS):
        raise Invalid(
            "a flow is run by its host, and as it is",
            {name: ["only for agents and crews"] for name in wrong},
        )
    asked = request.payment
    # An engine keeps to the budget of its job by itself, but for what is kept of it.
    log_bytes = request.budget.log_bytes
    budget = job_pb2.Budget(log_bytes=log_bytes) if target.startswith(KINDS) else request.budget
    order = Order(
        owner=caller.user,
        expose=expose,
        base_url=request.base_url,
        target=target,
        extra=jsons.object_in(request.extra_json, "extra_json"),
        labels=_labels(request.labels),
        conversation=_short(request.conversation, "conversation"),
        payment=Asked(
            # What a flow costs is not the buyer's to say.
            agent_identifier=asked.agent_identifier if caller.service else "",
            network=asked.network if caller.service else "",
            purchaser_identifier=asked.purchaser_identifier,
            input_hash=asked.input_hash if caller.service else "",
        ),
        free=request.free,
        may_free=allow_free and caller.operator,
        is_operator=caller.operator,
        is_sandbox=caller.tier == _SANDBOX,
        wanted=Wanted(retries=request.retries, deadline_s=request.deadline_s, budget=budget),
    )
    given = request.inputs_json or inputs_json(request.inputs)
    return Launch(
        order=order,
        path=path,
        inputs_json=given,
        request_id=request.request_id,
        wish=Wish(budget=request.budget, external=request.external, overrides=request.overrides),
    )


def _is_said(request: job_pb2.CreateJobRequest, name: str) -> bool:
    return any(field.name == name for field, _ in request.ListFields())


def filter_from_pb(request: job_pb2.ListJobsRequest) -> JobFilter:
    """Read which jobs a caller wants to see.  Raises `Invalid`, naming the field."""
    if len(request.targets) > _TARGETS_MAX:
        raise Invalid("there are too many targets", {"targets": [f"at most {_TARGETS_MAX}"]})
    if any(state not in _FROM_STATES for state in request.states):
        raise Invalid("there is no such state", {"states": ["must be states of a job, not UNSPECIFIED"]})
    return JobFilter(
        targets=tuple(sorted(set(request.targets))),
        states=tuple(sorted({_FROM_STATES[state] for state in request.states})),
        conversation=request.conversation,
    )


def completion_from_pb(request: job_pb2.CompleteJobRequest) -> Completion:
    """Read what somebody outside made of a job.  Raises `Invalid`, naming the field."""
    state = _FROM_STATES.get(request.state)
    if state not in TERMINAL:
        raise Invalid("a job is completed with its end", {"state": ["must be SUCCEEDED, FAILED or CANCELLED"]})
    if len(request.output.encode()) > _OUTPUT_BYTES_MAX:
        raise Invalid("the output is too large", {"output": ["must be at most 4 MiB"]})
    usage = request.usage
    counts = {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "cost_micros")}
    if wrong := {f"usage.{name}": ["must be 0 or more"] for name, count in counts.items() if not 0 <= count <= 2**53}:
        raise Invalid("the usage cannot be counted", wrong)
    done = state == State.SUCCEEDED
    stopped = "completed as cancelled by its runner" if state == State.CANCELLED else ""
    end = End(
        state=state,
        reason=Reason.NONE if done else Reason.ERROR if state == State.FAILED else Reason.USER_STOP,
        error="" if done else request.error or request.output or stopped,
        result_json=json.dumps({"str": request.output}, ensure_ascii=False, separators=(",", ":")) if done else "",
    )
    return Completion(end=end, is_total=request.usage_is_total, **counts)


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    if len(labels) > _LABELS_MAX or any(max(len(k), len(v)) > _LABEL_CHARS_MAX for k, v in labels.items()):
        limit = f"at most {_LABELS_MAX} labels, of at most {_LABEL_CHARS_MAX} characters each"
        raise Invalid("labels are too many or too long", {"labels": [limit]})
    return dict(sorted(labels.items()))


def labels_json(labels: Mapping[str, str]) -> str:
    """Return labels as they are kept, empty for none.  Raises `Invalid`, naming the field."""
    given = _labels(labels)
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")) if given else ""


def _short(text: str, field: str) -> str:
    if len(text) > _LABEL_CHARS_MAX + 1:
        raise Invalid(f"{field} is too long", {field: [f"at most {_LABEL_CHARS_MAX + 1} characters"]})
    return text
