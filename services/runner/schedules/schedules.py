"""What people do with schedules: add, change, halt, resume, delete.  What they fire is `firings`' to do."""

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from meshkit import clock, jsons
from meshkit.bus import Bus
from meshkit.errors import Denied, Exhausted, Invalid
from meshkit.principal import Principal
from meshkit.secrets import MASK
from services.runner.births.births import Order
from services.runner.births.launches import Launch, Launches
from services.runner.births.targets import place_of
from services.runner.callers.masking import Masks
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.callers.standing import key_of
from services.runner.domain import schedules
from services.runner.domain.schedules import Fired, Firing, Schedule, ScheduleState
from services.runner.ports.schedules import Owner, Owners, ScheduleStore, TooManySchedules
from services.runner.schedules.calendars import times_of

SCHEDULES = "schedules"
"""Schedules have changed, or are to fire: who fires them looks."""
_TIMES = frozenset(("cron", "run_at", "time_zone", "starts_at", "ends_at", "jitter_s"))
_SANDBOX = "sandbox"


class Schedules:
    """The schedules of this mesh."""

    def __init__(
        self,
        store: ScheduleStore,
        launches: Launches,
        owners: Owners,
        requests: Requests,
        shares: Shares,
        masks: Masks,
        bus: Bus,
        *,
        count_max: int,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`count_max` is how many one owner may have, 0 for any number."""
        self._store = store
        self._launches = launches
        self._owners = owners
        self._requests = requests
        self._shares = shares
        self._masks = masks
        self._bus = bus
        self._count_max = count_max
        self._now = now

    async def create(self, draft: Schedule, caller: Principal, request_id: str = "") -> Schedule:
        """Keep a new schedule, whose inputs are as they were sent.

        Raises `Invalid` with the fields if its times or inputs are refused, `Exhausted` if its owner has too many, and
        what `Launches.check` raises.
        """
        said = [str(getattr(draft, field.name)) for field in dataclasses.fields(draft) if field.name not in _MADE]
        request = self._requests.made(draft.owner, request_id, "schedule", *said)
        async with self._requests.one_at_a_time(request):
            if request is not None and (known := await self._requests.known(request)) is not None:
                return await self._store.get(known.decode())
            await self._shares.check_stored(draft.owner)
            checked = await self._checked(draft, Owner(operator=caller.operator, tier=caller.tier))
            made = self._aimed(dataclasses.replace(checked, key_json=key_of(caller)))
            try:
                done = request and request.answered(made.schedule_id.encode())
                await self._store.add(made, done, count_max=self._count_max or None)
            except TooManySchedules:
                raise Exhausted(
                    f"an owner may have {self._count_max} schedules: delete some", limit=str(self._count_max)
                ) from None
        await self._bus.publish(SCHEDULES)
        return made

    async def update(self, known: Schedule, draft: Schedule, fields: Collection[str], caller: Principal) -> Schedule:
        """Change fields of a schedule as `draft` has them; its inputs, if they are among them, as they were sent.

        Raises as `create`, and `NotFound` if it was deleted meanwhile.
        """
        while True:
            try:
                return await self._update(known, {name: getattr(draft, name) for name in fields}, caller)
            except _Changed as changed:  # by somebody else: together with theirs, ours may not be what was checked
                known = changed.now

    async def _update(self, known: Schedule, changed: dict[str, Any], caller: Principal) -> Schedule:
        real = self._masks.unscheduled(known.schedule_id, known.inputs_json, known.sealed)
        draft = dataclasses.replace(known, **changed)
        draft = dataclasses.replace(
            draft, inputs_json=_unmasked(draft.inputs_json, real) if "inputs_json" in changed else real, sealed=b""
        )
        sent = jsons.value_of(changed.get("inputs_json", known.inputs_json))
        hidden = _still_hidden(sent, known.inputs_json, real)
        if draft.target != known.target:
            _refuse(hidden, "what is secret is handed to no other target")
        if changed.keys() & {"inputs_json", "target"}:
            owner = await self._owners.find(known.owner)
            if owner is None:
                raise Denied("the owner of the schedule is not active any more")
            draft = await self._checked(draft, owner)
            shown, known_real = jsons.value_of(draft.inputs_json), jsons.value_of(real)
            _refuse(
                [name for name in hidden if shown.get(name) == known_real[name]], "its flow keeps it no secret any more"
            )
            changed.update(inputs_json=draft.inputs_json, sealed=draft.sealed)
        else:
            schedules.check(draft, self._now())
            times_of(draft)
        if caller.user == known.owner:
            changed["key_json"] = key_of(caller)
        changed["updated_at"] = self._now()

        def rule(before: Schedule, open_: Sequence[Firing]) -> Fired:
            if any(getattr(before, name) != getattr(known, name) for name in _CHECKED):
                raise _Changed(before)
            after = dataclasses.replace(before, **changed)
            is_firing = before.state in (ScheduleState.ACTIVE, ScheduleState.ENDED)
            if is_firing and changed.keys() & _TIMES:
                after = self._aimed(dataclasses.replace(after, state=ScheduleState.ACTIVE))
            return Fired(schedule=after)

        return await self._changed(known.schedule_id, rule)

    async def pause(self, schedule_id: str) -> Schedule:
        """Let no tick fire.  Raises `NotFound`, `FailedPrecondition`."""
        return await self._changed(
            schedule_id, lambda before, open_: Fired(schedule=schedules.pause(before, self._now()))
        )

    async def resume(self, schedule_id: str, caller: Principal) -> Schedule:
        """Let ticks fire again.  Raises `NotFound`, `FailedPrecondition`."""

        def rule(before: Schedule, open_: Sequence[Firing]) -> Fired:
            after = schedules.resume(before, times_of(before), self._now())
            mine = caller.user == before.owner
            return Fired(schedule=dataclasses.replace(after, key_json=key_of(caller)) if mine else after)

        return await self._changed(schedule_id, rule)

    async def delete(self, schedule_id: str) -> None:
        """Forget a schedule.  Raises `NotFound`."""
        await self._store.delete(schedule_id)
        await self._bus.publish(SCHEDULES)

    async def _changed(self, schedule_id: str, rule: Callable[[Schedule, Sequence[Firing]], Fired]) -> Schedule:
        fired = await self._store.change(schedule_id, rule)
        await self._bus.publish(SCHEDULES)
        return fired.schedule

    async def _checked(self, draft: Schedule, owner: Owner) -> Schedule:
        """Check times and inputs; return the schedule with what is secret sealed."""
        schedules.check(draft, self._now())
        times_of(draft)
        given = await self._launches.check(launch_of(draft, draft.inputs_json, owner))
        masked, sealed = self._masks.scheduled(draft.schedule_id, draft.inputs_json, given)
        return dataclasses.replace(draft, inputs_json=masked, sealed=sealed)

    def _aimed(self, schedule: Schedule) -> Schedule:
        aimed = schedules.aim(schedule, times_of(schedule), self._now())
        if aimed.state == ScheduleState.ENDED:
            field = "cron" if schedule.cron else "run_time"
            raise Invalid("the schedule names no moment that is to come", {field: ["must name one in the future"]})
        return aimed


class _Changed(Exception):
    """A schedule is not any more what a change of it was checked with."""

    def __init__(self, now: Schedule) -> None:
        super().__init__(now.schedule_id)
        self.now = now


_CHECKED = (*_TIMES, "target", "inputs_json", "sealed", "missed_runs_max", "labels_json")
"""What is checked of a schedule as a whole."""
_MADE = frozenset(("schedule_id", "created_at", "updated_at", "key_json"))
"""What a repeated request has anew."""


def launch_of(schedule: Schedule, inputs_json: str, owner: Owner, request_id: str = "") -> Launch:
    """Return what a schedule launches, with its real inputs: an ordinary launch of its owner."""
    expose, path = place_of(schedule.target)
    order = Order(
        owner=schedule.owner,
        expose=expose,
        target=schedule.target,
        labels=json.loads(schedule.labels_json or "{}"),
        is_operator=owner.operator,
        is_sandbox=owner.tier == _SANDBOX,
    )
    return Launch(order=order, path=path, inputs_json=inputs_json, request_id=request_id)


def _still_hidden(sent: Any, shown_json: str, real_json: str) -> list[str]:
    """Return the secrets of a schedule that were sent as they are shown, and so stay what nobody has read."""
    shown, real = jsons.value_of(shown_json), jsons.value_of(real_json)
    if not all(isinstance(each, dict) for each in (sent, shown, real)):
        return []
    return [name for name in sent if name in real and shown.get(name) != real[name] and sent[name] == shown.get(name)]


def _refuse(names: Collection[str], reason: str) -> None:
    if names:
        raise Invalid(reason, {f"inputs.{name}": ["send it anew"] for name in names})


def _unmasked(inputs_json: str, known_json: str) -> str:
    """Return inputs in which a mask that somebody has read and sent back is what it stands for."""
    sent, known = jsons.value_of(inputs_json), jsons.value_of(known_json)
    if not isinstance(sent, dict) or not isinstance(known, dict):
        return inputs_json
    real: dict[str, Any] = {
        name: known[name] if value == MASK and name in known else value for name, value in sent.items()
    }
    return json.dumps(real, ensure_ascii=False, separators=(",", ":"))
