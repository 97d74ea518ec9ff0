"""The reference of each dialect."""

import dataclasses
import importlib.resources
import json
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

from gateway import openapi
from gateway.dialects import DIALECTS, kodosumi
from gateway.edge import contract
from gateway.http.dialect import Dialect
from gateway.http.openapi import Unshaped, paths, render
from gateway.http.shapes import Shape
from gateway.http.shapes import json as json_body

DOCUMENTS = openapi.documents()
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def operations(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, HTTP method and operation."""
    for path, item in DOCUMENTS[name]["paths"].items():
        for verb, operation in item.items():
            yield path, verb, operation


@each_dialect
def test_every_path_of_the_contract_is_there(dialect: Dialect) -> None:
    """With its methods, and nothing else."""
    known = {
        (paths.parse(template).text, verb.lower())
        for service in contract.services(contract.descriptors())
        if service.dialect == dialect.name
        for method in service.methods
        for verb, template in method.bindings
    }

    assert known == {(path, verb) for path, verb, _ in operations(dialect.name)}


@each_dialect
def test_every_operation_is_said_in_words(dialect: Dialect) -> None:
    """Those of the contract; ids are unique."""
    found = [operation for _, _, operation in operations(dialect.name)]

    assert all(operation["summary"] and operation["description"] for operation in found)
    assert len(found) == len({operation["operationId"] for operation in found})


@each_dialect
def test_every_shape_is_of_a_method(dialect: Dialect) -> None:
    """A method that is renamed takes its shape along."""
    methods = {
        f"{service.name.rpartition('.')[2]}.{method.name.rpartition('/')[2]}"
        for service in contract.services(contract.descriptors())
        if service.dialect == dialect.name
        for method in service.methods
    }

    assert set(dialect.reference.shapes) <= methods


@each_dialect
def test_what_is_served_is_what_is_made(dialect: Dialect) -> None:
    """`make openapi` writes it."""
    file = importlib.resources.files("gateway.web").joinpath("openapi", f"{dialect.name}.json")

    assert DOCUMENTS[dialect.name] == json.loads(file.read_text("utf-8"))


def test_a_body_that_nobody_describes_makes_no_document() -> None:
    """The dialect must register its shape."""
    shapes = {key: shape for key, shape in kodosumi.DIALECT.reference.shapes.items() if key != "RoleService.CreateRole"}
    bare = dataclasses.replace(
        kodosumi.DIALECT, reference=dataclasses.replace(kodosumi.DIALECT.reference, shapes=shapes)
    )

    with pytest.raises(Unshaped, match=r"RoleService\.CreateRole takes"):
        render(bare, contract.descriptors(), "1")


def test_two_models_of_one_name_make_no_document() -> None:
    """One would hide the other."""

    class Error(pydantic.BaseModel):
        """Not the panel's."""

        other: int

    shapes = {**kodosumi.DIALECT.reference.shapes, "BootService.WatchBoot": Shape(answers=(json_body(Error),))}
    torn = dataclasses.replace(
        kodosumi.DIALECT, reference=dataclasses.replace(kodosumi.DIALECT.reference, shapes=shapes)
    )

    with pytest.raises(ValueError, match="Error would be two schemas"):
        render(torn, contract.descriptors(), "1")


def test_who_may_is_said() -> None:
    """Nobody needs a token for what is public; the payment service has keys of its own."""
    security = {operation["operationId"]: operation["security"] for _, _, operation in operations("mesh")}
    masumi = {operation["operationId"]: operation["security"] for _, _, operation in operations("masumi")}

    assert [] == security["Auth_Login"]
    assert [{"bearer": []}, {"header": []}, {"cookie": []}] == security["Job_GetJob"]
    assert [{"token": []}] == masumi["Masumi_ListPayments"]
    assert [{"bearer": []}, {"header": []}, {"cookie": []}] == masumi["MasumiDev_GetClock"]


def test_a_path_takes_fields_out_of_the_body() -> None:
    """And out of the query."""
    answer = DOCUMENTS["mesh"]["components"]["schemas"]["AnswerLockRequest"]
    events = DOCUMENTS["mesh"]["paths"]["/mesh/v1/jobs/{job}/events"]["get"]

    assert {"inputs", "requestId"} == set(answer["properties"])
    assert ["job", "afterSeq", "pageSize"] == [parameter["name"] for parameter in events["parameters"]]


def test_a_stream_says_what_each_line_is() -> None:
    """The typed API's are documents on lines, the panel's are text or events."""
    watch = DOCUMENTS["mesh"]["paths"]["/mesh/v1/jobs/{job}:watch"]["get"]["responses"]["200"]["content"]
    boot = DOCUMENTS["kodosumi"]["paths"]["/boot"]["post"]["responses"]["201"]["content"]
    events = DOCUMENTS["kodosumi"]["paths"]["/outputs/stream/{fid}"]["get"]["responses"]["200"]["content"]

    assert "#/components/schemas/WatchJobResponse" == watch["application/x-ndjson"]["x-item-schema"]["$ref"]
    assert ["text/plain"] == list(boot)
    assert ["text/event-stream"] == list(events)
