"""Flows and jobs as Sumi shows them: pure functions from our messages to JSON objects.

Source: the "Expose and Sumi API Demonstration" notebook; MIP-002 (metadata), MIP-003 (jobs).
"""

import json
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import jobs
from gateway.core.catalogue import meta_of
from gateway.core.locks import GLOBAL
from gateway.core.mip003 import public
from gateway.core.service_names import expose_of
from gateway.core.states import CANCELLED, FAILED, SUCCEEDED
from gateway.core.times import epoch
from gateway.dialects.sumi.words import WORDS

_FREE = [{"pricingType": "Fixed", "fixedPricing": [{"amount": "0", "unit": "lovelace"}]}]


def item_of(flow: registry_pb2.Flow, service: str, base_url: str) -> dict[str, Any]:
    """Return the metadata (MIP-002) of the service that a flow is; what the operator's YAML does not say is null or the
    default.
    """
    meta = meta_of(flow)
    author = _texts(meta.get("author"), ("name", "contact_email", "contact_other", "organization")) or {}
    author = {
        "name": author.get("name") or _optional(flow, "author"),
        "contact_email": author.get("contact_email"),
        "contact_other": author.get("contact_other"),
        "organization": author.get("organization") or _optional(flow, "organization"),
    }
    return {
        "id": service,
        "parent": expose_of(flow),
        "name": service.partition("/")[2],
        "display": flow.summary or service,
        "api_url": public.base_of(flow, base_url) if flow.public else f"{base_url}/sumi/{service}",
        "tags": list(flow.tags) or ["untagged"],
        "agentPricing": _pricing(meta.get("agentPricing")),
        "metadata_version": 1,
        "description": flow.description or None,
        "image": _text(meta.get("image")),
        "example_output": _examples(meta.get("example_output")),
        "author": author if any(author.values()) else None,
        "capability": _texts(meta.get("capability"), ("name", "version")),
        "legal": _texts(meta.get("legal"), ("privacy_policy", "terms", "other")),
        "network": _optional(flow, "network"),
        "state": "alive" if flow.alive else "dead",
    }


def _optional(flow: registry_pb2.Flow, field: str) -> str | None:
    return str(getattr(flow, field)) if flow.HasField(field) else None  # type: ignore[arg-type]


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)


def _texts(value: Any, keys: tuple[str, ...]) -> dict[str, str | None] | None:
    """Return an object of texts, null where one is missing; None if there is no object."""
    if not isinstance(value, dict) or not any(value.get(key) is not None for key in keys):
        return None
    return {key: _text(value.get(key)) for key in keys}


def _pricing(value: Any) -> list[dict[str, Any]]:
    prices = []
    for price in value if isinstance(value, list) else ():
        fixed = price.get("fixedPricing") if isinstance(price, dict) else None
        entries = fixed if isinstance(fixed, list) else ()
        amounts = [amount for entry in entries if (amount := _texts(entry, ("amount", "unit")))]
        if amounts:
            prices.append({"pricingType": str(price.get("pricingType") or "Fixed"), "fixedPricing": amounts})
    return prices or _FREE


def _examples(value: Any) -> list[dict[str, str | None]] | None:
    entries = value if isinstance(value, list) else ()
    return [entry for item in entries if (entry := _texts(item, ("name", "mime_type", "url")))] or None


# -- jobs ------------------------------------------------------------------------------------------------------------


def started(job: job_pb2.Job) -> dict[str, Any]:
    """Return the answer to a job's start; the same whenever it is asked for."""
    began = epoch(job.create_time)
    return _job(job, "running", started_at=began, updated_at=began)


def status_of(job: job_pb2.Job, input_schema: Any = None) -> dict[str, Any]:
    """Return where a job stands; `result` is an object, times are seconds since 1970.

    `input_schema` is what it awaits, if it awaits input.
    """
    began, updated = epoch(job.create_time), epoch(job.update_time)
    return _job(
        job,
        WORDS.word(job.state),
        input_schema=input_schema,
        result=json.loads(job.result_json) if job.state == SUCCEEDED and job.result_json else None,
        error=jobs.failure(job) if job.state in (FAILED, CANCELLED) else None,
        started_at=began,
        updated_at=updated,
        runtime=max(0.0, round(updated - began, 6)),
    )


def _job(
    job: job_pb2.Job,
    status: str,
    *,
    input_schema: Any = None,
    result: Any = None,
    error: str | None = None,
    started_at: float,
    updated_at: float,
    runtime: float | None = None,
) -> dict[str, Any]:
    return {
        "job_id": jobs.id_of(job),
        "status": status,
        "input_schema": input_schema,
        "result": result,
        "error": error,
        "identifier_from_purchaser": jobs.json_object(job.extra_json).get("identifier_from_purchaser"),
        "started_at": started_at,
        "updated_at": updated_at,
        "runtime": runtime,
    }


def refusal(errors: Mapping[str, list[str]]) -> str:
    """Return what a form refuses as one line, as the notebook prints it; what concerns no field comes last."""
    ordered = {field: texts for field, texts in errors.items() if field != GLOBAL}
    ordered[GLOBAL] = list(errors.get(GLOBAL, ()))
    return "; ".join(f"{field}: {texts}" for field, texts in ordered.items())


def later(body: Mapping[str, Any], job: job_pb2.Job, purchase: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a job in the words of the later MIP-003 text: camel case, the result as text.

    `purchase` is what the purchaser of a paid job must know.
    """
    renamed = {
        "identifier_from_purchaser": "identifierFromPurchaser",
        "started_at": "startedAt",
        "updated_at": "updatedAt",
    }
    answer = {renamed.get(key, key): value for key, value in body.items()}
    answer["result"] = None if body["result"] is None else jobs.buyer_text(job.result_json)
    answer["input_hash"] = jobs.json_object(job.extra_json).get("input_hash")
    return {**answer, **purchase}
