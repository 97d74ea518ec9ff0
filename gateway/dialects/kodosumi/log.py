"""A job's log in kodosumi's words: what the core says of a flow or a payment has other names there.

Source: the events that the "Expose and Sumi API Demonstration" notebook prints.
"""

import json
from collections.abc import Callable
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import jobs
from gateway.http.answers import dumps

_PAYMENT_NAMES = {
    "agent_identifier": "agentIdentifier",
    "network": "network",
    "input_hash": "inputHash",
    "blockchain_identifier": "blockchainIdentifier",
    "pay_by_time": "payByTime",
    "submit_result_time": "submitResultTime",
    "external_dispute_unlock_time": "externalDisputeUnlockTime",
    "unlock_time": "unlockTime",
    "seller_vkey": "sellerVkey",
    "result_hash": "resultHash",
}


class Payloads:
    """Translates the payloads of one job's events."""

    def __init__(self, job: job_pb2.Job) -> None:
        self._job = job
        self._known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "meta": self._meta,
            "payment": _payment,
        }

    def payload(self, kind: str, payload: str) -> str:
        """Return an event's payload as kodosumi would have it; most kinds are the same."""
        translate = self._known.get(kind)
        if translate is None:
            return payload
        said = jobs.json_object(payload).get("dict")
        return dumps({"dict": translate(said)}) if isinstance(said, dict) else payload

    def _meta(self, said: dict[str, Any]) -> dict[str, Any]:
        meta = {
            "fid": jobs.id_of(self._job),
            "username": self._job.owner.removeprefix("users/"),
            "app_url": app_url(self._job),
            "panel_url": self._job.base_url,
            "entry_point": self._job.entry_point,
            "kodosumi": None,
            **said,
        }
        if self._job.extra_json:
            meta["extra"] = json.loads(self._job.extra_json)
        return meta


def app_url(job: job_pb2.Job) -> str:
    """Return the address of a job's app, as its meta names it."""
    expose = job.flow.split("/")[1]
    return f"{job.base_url}/-/{expose}"


def _payment(said: dict[str, Any]) -> dict[str, Any]:
    """Times are texts of milliseconds there."""
    shown: dict[str, Any] = {"step": said.get("step")}
    for name, value in said.items():
        if name in _PAYMENT_NAMES:
            is_time = name.endswith("_time") and isinstance(value, int | float)
            shown[_PAYMENT_NAMES[name]] = str(round(value * 1000)) if is_time else value
    return shown
