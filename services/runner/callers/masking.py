"""What is secret in a job is kept sealed, beside what is shown of it; nothing that its host says shows it either.

Which inputs are secret is known from the flow's form or schema.  What everybody reads, and every table but one column
has, are inputs with a mask; the inputs themselves are sealed, and opened for the host that runs the job.  The values,
and those of the `env_vars` of its app, are looked for in whatever its host reports.
"""

import base64
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit.errors import FailedPrecondition
from meshkit.secrets import MASK, Secret, Vault
from meshkit.secrets.hiding import NOTHING, Redactor, fields_of, values_of, without
from services.runner.domain import End, Event, Job, Lock, OpenLock, PlacedApp, Step

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a host says of a job: events, and one thing at most that comes behind them."""

    events: Sequence[Event] = ()
    outcome: End | None = None
    opening: OpenLock | None = None
    step: Step | None = None
    shown_json: str = ""
    """The step's result without what its host knows to be secret; empty if there is nothing of that in it."""
    is_refused: bool = False
    """Whether what came behind the events could not be kept: the outcome says why, and its host does not know of it."""


_CACHE_MAX = 4096
_ENV = "env_vars"
_ENV_VALUES_MAX = 200


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What a caller sent for a flow: the secrets in it, wherever the flow's own code puts them."""

    fields: frozenset[str] = frozenset()
    redactor: Redactor = NOTHING


class Masks:
    """Seals what is secret in jobs, locks and apps, and keeps it out of what is said of them."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._env: dict[str, tuple[str, ...]] = {}
        self._redactor = functools.lru_cache(maxsize=_CACHE_MAX)(self._redactor_of)

    # -- apps ----------------------------------------------------------------------------------------------------

    def know(self, app: PlacedApp) -> None:
        """Take the `env_vars` of an app out of what is said by it, and by the version before as long as we run."""
        known = (*env_values(app.runtime_env_json), *self._env.get(app.expose, ()))
        self._env[app.expose] = tuple(dict.fromkeys(known))[:_ENV_VALUES_MAX]

    def sealed_app(self, app: PlacedApp) -> PlacedApp:
        """Return an app as it is kept: with masks for its `env_vars`."""
        masked = masked_env(app.runtime_env_json)
        if masked == app.runtime_env_json:
            return app
        sealed = self._vault.seal(Secret(app.runtime_env_json), _place_of_app(app.expose))
        return dataclasses.replace(app, runtime_env_json=masked, sealed=sealed)

    def opened_app(self, app: PlacedApp) -> PlacedApp:
        """Return an app as its hosts need it.  Raises `FailedPrecondition` if it was sealed with another key."""
        if app.sealed:
            env = self._vault.open(app.sealed, _place_of_app(app.expose)).reveal()
            app = dataclasses.replace(app, runtime_env_json=env, sealed=b"")
        self.know(app)
        return app

    def of_app(self, expose: str) -> Redactor:
        """Return what takes an app's `env_vars` out of texts."""
        return self._redactor(b"", "", self._env.get(expose, ()))

    # -- jobs ----------------------------------------------------------------------------------------------------

    def given(self, info: app_pb2.FlowInfo | None, sent: Any) -> Given:
        """Return the secrets in what was sent for a flow; of one that declares no form, none are known."""
        fields = fields_of(info.elements_json, info.input_schema_json) if info is not None else frozenset()
        return Given(fields, Redactor(values_of(sent, fields))) if fields else Given()

    def concealed(self, job: Job, given: Given) -> Job:
        """Return a job as it is kept, with what is secret in its inputs sealed."""
        if not given.fields:
            return job
        inputs = json.loads(job.inputs_json)
        values = [*values_of(inputs, given.fields), *given.redactor.values]
        redactor = Redactor(values)
        masked = json.dumps(without(inputs, given.fields, redactor), ensure_ascii=False, separators=(",", ":"))
        if masked == job.inputs_json and not redactor:
            return job
        kept = {"json": job.inputs_json, "blob": base64.b64encode(job.inputs_blob).decode(), "values": redactor.values}
        return dataclasses.replace(
            job,
            inputs_json=masked,
            inputs_blob=b"",
            extra_json=redactor.text(job.extra_json),
            sealed=self._vault.seal(Secret(json.dumps(kept)), _place_of_job(job.job_id)),
        )

    def tell(self, job: Job, run: host_pb2.Run) -> None:
        """Complete what a host is told of a job.  Raises `FailedPrecondition` if it was sealed with another key."""
        run.inputs_json, run.inputs_blob = job.inputs_json, job.inputs_blob
        if job.sealed:
            kept = self._opened(job.sealed, job.job_id)
            run.inputs_json, run.inputs_blob = kept["json"], base64.b64decode(kept["blob"])
        # So that the job itself leaves them out: what it asks is compared with what an attempt before it has asked.
        run.secrets.update({f"hidden/{number}": value for number, value in enumerate(self.of(job).values)})

    def of(self, job: Job) -> Redactor:
        """Return what takes the secrets of a job and of its app out of texts."""
        return self._redactor(job.sealed, job.job_id, self._env.get(job.expose, ()))

    def _redactor_of(self, sealed: bytes, job_id: str, env: tuple[str, ...]) -> Redactor:
        values: list[str] = []
        if sealed:
            try:
                values = self._opened(sealed, job_id)["values"]
            except FailedPrecondition:
                log.warning("the secrets of a job cannot be opened", job=job_id)
        return Redactor((*values, *env)) if values or env else NOTHING

    def _opened(self, sealed: bytes, job_id: str) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self._vault.open(sealed, _place_of_job(job_id)).reveal())
        return kept

    def report(self, job: Job, said: Report) -> Report:
        """Return what a host reports without the job's secrets; a step's result is kept beside that as it is."""
        redactor = self.of(job)
        if not redactor and not said.shown_json:
            return said
        text = redactor.text
        outcome, opening, step = said.outcome, said.opening, said.step
        events = [
            Event(kind=event.kind, payload=text(event.payload), time=event.time, detail=text(event.detail))
            for event in said.events
        ]
        if outcome is not None:
            outcome = dataclasses.replace(
                outcome,
                error=text(outcome.error),
                detail=text(outcome.detail),
                result_json=redactor.json(outcome.result_json),
            )
        if opening is not None:
            opening = dataclasses.replace(
                opening,
                title=text(opening.title),
                elements_json=text(opening.elements_json),
                data_json=text(opening.data_json),
            )
        if step is not None:
            step = dataclasses.replace(step, name=text(step.name))
            if (masked := redactor.json(said.shown_json or step.result_json)) != step.result_json:
                sealed = self._vault.seal(Secret(step.result_json), _place_of_steps(job.job_id))
                step = dataclasses.replace(step, result_json=masked, sealed=sealed)
        return Report(events=events, outcome=outcome, opening=opening, step=step)

    def result(self, job_id: str, step: Step) -> str:
        """Return what a step has returned.  Raises `FailedPrecondition` if it was sealed with another key."""
        if not step.sealed:
            return step.result_json
        return self._vault.open(step.sealed, _place_of_steps(job_id)).reveal()

    # -- schedules -----------------------------------------------------------------------------------------------

    def scheduled(self, schedule_id: str, inputs_json: str, given: Given) -> tuple[str, bytes]:
        """Return the inputs of a schedule as they are shown, and as they are sealed if some of them are secret."""
        masked = json.dumps(
            without(json.loads(inputs_json), given.fields, given.redactor), ensure_ascii=False, separators=(",", ":")
        )
        if not given.fields or masked == inputs_json:
            return inputs_json, b""
        return masked, self._vault.seal(Secret(inputs_json), _place_of_schedule(schedule_id))

    def unscheduled(self, schedule_id: str, inputs_json: str, sealed: bytes) -> str:
        """Return the inputs of a schedule.  Raises `FailedPrecondition` if they were sealed with another key."""
        return self._vault.open(sealed, _place_of_schedule(schedule_id)).reveal() if sealed else inputs_json

    # -- answers to locks ----------------------------------------------------------------------------------------

    def answered(self, job: Job, lock: Lock, sent: Any, result_json: str) -> tuple[Job, str, bytes]:
        """Take an answer to a lock: return the job that knows its secrets, and the answer as it is shown and sealed."""
        fields = fields_of(lock.elements_json)
        values = values_of(sent, fields)
        if not values:
            return job, result_json, b""
        result = json.loads(result_json)
        redactor = Redactor([*values, *values_of(result, fields)])
        masked = json.dumps(without(result, fields, redactor), ensure_ascii=False, separators=(",", ":"))
        sealed = self._vault.seal(Secret(result_json), _place_of_lock(lock.lock_id))
        if not redactor:
            return job, masked, sealed
        if job.sealed:
            kept = self._opened(job.sealed, job.job_id)
        else:
            blob = base64.b64encode(job.inputs_blob).decode()
            kept = {"json": job.inputs_json, "blob": blob, "values": []}
        kept["values"] = list(dict.fromkeys([*kept["values"], *redactor.values]))
        resealed = self._vault.seal(Secret(json.dumps(kept)), _place_of_job(job.job_id))
        return dataclasses.replace(job, inputs_blob=b"", sealed=resealed), masked, sealed

    def asked(self, lock: Lock, sent: Any) -> Redactor:
        """Return what takes the secrets of what was sent as an answer out of texts."""
        return Redactor(values_of(sent, fields_of(lock.elements_json)))

    def answer(self, lock_id: str, result_json: str, sealed: bytes) -> str:
        """Return an answer as the job gets it.  Raises `FailedPrecondition` if it was sealed with another key."""
        return self._vault.open(sealed, _place_of_lock(lock_id)).reveal() if sealed else result_json


def env_values(runtime_env_json: str) -> tuple[str, ...]:
    """Return the values of `env_vars` that are taken out of texts: not those that are numbers."""
    env = json.loads(runtime_env_json or "{}").get(_ENV)
    values = [str(value) for value in env.values()] if isinstance(env, dict) else []
    return tuple(value for value in values if not value.replace(".", "", 1).isdecimal())


def sealing(vault: Vault) -> Mapping[str, Callable[..., Any]]:
    """Return the functions with which a database seals what it has of before: `sealed_env` and `masked_env`."""

    def sealed_env(expose: str, runtime_env_json: str) -> bytes:
        if masked_env(runtime_env_json) == runtime_env_json:
            return b""
        return vault.seal(Secret(runtime_env_json), _place_of_app(expose))

    return {"sealed_env": sealed_env, "masked_env": masked_env}


def masked_env(runtime_env_json: str) -> str:
    """Return a `runtime_env` with masks for its `env_vars`."""
    runtime_env = json.loads(runtime_env_json or "{}")
    env = runtime_env.get(_ENV)
    if not isinstance(env, dict) or not env:
        return runtime_env_json
    return json.dumps({**runtime_env, _ENV: dict.fromkeys(env, MASK)})


def _place_of_app(expose: str) -> str:
    return f"apps/{expose}#runtime_env"


def _place_of_job(job_id: str) -> str:
    return f"jobs/{job_id}#inputs"


def _place_of_steps(job_id: str) -> str:
    return f"jobs/{job_id}#steps"


def _place_of_lock(lock_id: str) -> str:
    return f"locks/{lock_id}#result"


def _place_of_schedule(schedule_id: str) -> str:
    return f"schedules/{schedule_id}#inputs"
