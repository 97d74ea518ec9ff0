"""What a launch says of files: which uploads a value means, and what its flow gets in place of it.

A value for files is a batch of ours, `"batches/{id}"`, or what kodosumi's forms send: `{"batchId", "items": {upload id:
{"filename", "totalChunks"}}}`, as an object or as its text.  All else, such as addresses, is not ours.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meshkit.errors import Invalid
from services.runner.domain import files
from services.runner.domain.files import Upload
from services.runner.files.uploads import Uploads

_BATCH = "batches/"


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """The uploads of one launch, by the field that they were sent for."""

    fields: Mapping[str, Sequence[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    """Batch and id of each."""
    paths: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """Where they will be, within `in`."""

    @property
    def uploads(self) -> list[tuple[str, str]]:
        """All of them, each once."""
        return [*dict.fromkeys(each for found in self.fields.values() for each in found)]


NOTHING = Sent()


def file_fields(elements_json: str) -> frozenset[str] | None:
    """Return the names of the fields for files of a form; `None` if the form is not known."""
    try:
        elements = json.loads(elements_json or "null")
    except ValueError:
        return None
    if not isinstance(elements, list):
        return None
    found = (element for element in elements if isinstance(element, dict) and element.get("type") == "file")
    return frozenset(str(element.get("name")) for element in found)


async def sent(uploads: Uploads, owner: str, values: Any, fields: Iterable[str] | None) -> Sent:
    """Return the uploads that values mean: of these fields, or of all if the form is not known.

    An upload that is named several times is meant once: each would be copied again.  Raises `Invalid`, by field, for
    those that are not there, and for two of one path.
    """
    if not isinstance(values, Mapping):
        return NOTHING
    names = [name for name in values if isinstance(name, str)] if fields is None else [*fields]
    found: dict[str, list[Upload]] = {}
    for name in names:
        batch, wanted = _meant(values.get(name))
        if not batch:
            continue
        there = {upload.upload_id: upload for upload in await uploads.find(owner, batch)} if files.is_id(batch) else {}
        missing = [each for each in wanted if each not in there] if wanted is not None else not there
        if missing:
            text = "Failed to upload files: there is no such batch, or not all of it is there"
            raise Invalid(text, {name: [text]})
        found[name] = [there[each] for each in dict.fromkeys(there if wanted is None else wanted)]
    if not found:
        return NOTHING
    _check_apart(found)
    return Sent(
        {name: [(upload.batch, upload.upload_id) for upload in each] for name, each in found.items()},
        {name: [upload.path for upload in each] for name, each in found.items()},
    )


def _check_apart(found: Mapping[str, Sequence[Upload]]) -> None:
    """Raise `Invalid` where two uploads would be one file of the job: the later would take the place of the other."""
    places: dict[str, tuple[str, str]] = {}
    for name, uploads in found.items():
        for upload in uploads:
            place = upload.batch, upload.upload_id
            if places.setdefault(upload.path, place) != place:
                text = f"there is another file {upload.path!r}: give one of them another name"
                raise Invalid(text, {name: [text]})


def _meant(value: Any) -> tuple[str, list[str] | None]:
    """Return a batch and the uploads of it that a value means, `None` for all; no batch if it is something else."""
    if isinstance(value, str) and value.startswith(_BATCH):
        return value.removeprefix(_BATCH), None
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return "", None
    if not isinstance(value, Mapping) or not isinstance(value.get("batchId"), str):
        return "", None
    items = value.get("items")
    if not isinstance(items, Mapping) or not items:
        return "", None
    return value["batchId"], [
        str(each).rpartition(".")[2] for each in items
    ]  # with its batch, as kodosumi's clients have it


def as_kodosumi(values: Mapping[str, Any], found: Sent) -> dict[str, Any]:
    """Return values in which each batch is as kodosumi's forms send it: what a form's handler reads."""
    changed = dict(values)
    for name, each in found.fields.items():
        batch = each[0][0]
        items = {
            upload_id: {"filename": path, "totalChunks": 1}
            for (_, upload_id), path in zip(each, found.paths[name], strict=True)
        }
        changed[name] = {"batchId": batch, "items": items}
    return changed


def as_addresses(values: Mapping[str, Any], found: Sent) -> tuple[dict[str, Any], dict[str, str]]:
    """Return values that a schema for addresses takes: each upload has one; and the paths that those stand for.

    A schema says how many files there may be, and that they are addresses or files is not in it.
    """
    changed, names = dict(values), dict[str, str]()
    for name, paths in found.paths.items():
        addresses = [f"http://upload.invalid/{len(names) + number}" for number in range(len(paths))]
        names |= {address: f"in/{path}" for address, path in zip(addresses, paths, strict=True)}
        changed[name] = addresses[0] if len(addresses) == 1 else addresses
    return changed, names


def as_names(values: dict[str, Any], found: Sent, names: Mapping[str, str]) -> dict[str, Any]:
    """Return checked values with the paths of files, with their root, in place of the addresses that stood for them."""
    for name in found.paths:
        value: Any = values.get(name)
        values[name] = [names.get(each, each) for each in value] if isinstance(value, list) else names.get(value, value)
    return values
