"""What the masumi dialect takes as text, number, time and amount, and how it complains."""

from typing import Any

import pytest
from google.api import httpbody_pb2

from gateway.dialects.masumi.errors import ObjectExists, render
from gateway.dialects.masumi.schema import Schema, iso_ms
from gateway.http.errors import HttpError
from meshkit.errors import Internal, Invalid, MeshError, Unavailable


class Asked:
    """A request, for the renderer."""

    method = "POST"
    target = path = "/api/v1/payment"
    query = ""
    headers: dict[str, str] = {}  # noqa: RUF012 # never changed


def complaint(schema: Schema) -> str:
    """Return what a schema complains of, or an empty text."""
    try:
        schema.check()
    except Invalid as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2025-12-11", 1_765_411_200_000),
        ("2025-12-11T09:28:25Z", 1_765_445_305_000),
        ("2025-12-11T09:28:25.000Z", 1_765_445_305_000),
        ("2025-12-11T09:28:25.123", 1_765_445_305_123),
        ("2025-12-11T09:28:25+00:00", None),
        ("1765445305000", None),
        ("2025-13-11", None),
        ("2025-12-11T09:28", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_a_time_is_iso_8601_without_offset(text: str, ms: int | None) -> None:
    """Row 16: a day, UTC, or no zone; never numbers."""
    assert ms == iso_ms(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("101", "limit: Too big: expected number to be <=100"),
        ("0", "limit: Too small: expected number to be >=1"),
        ("inf", "limit: Too big: expected number to be <=100"),
        ("nan", "limit: Invalid input: expected number, received NaN"),
        ("ten", "limit: Invalid input: expected number, received NaN"),
        (True, "limit: Invalid input: expected number, received NaN"),
        ([], "limit: Invalid input: expected number, received NaN"),
        ("7", ""),
        (None, ""),
    ],
)
def test_a_limit_is_bounded(value: Any, message: str) -> None:
    """And what is refused does no harm on the way."""
    schema = Schema({"limit": value})

    assert 1 <= schema.number("limit", 1, 100, 10) <= 100
    assert message == complaint(schema)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "Amounts: Invalid input: expected array, received string"),
        ([{"amount": "1", "unit": ""}] * 8, "Amounts: Too big: expected array to have <=7 items"),
        ([1], "Amounts.0: Invalid input: expected object, received number"),
        ([{"amount": 1, "unit": ""}], "Amounts.0.amount: Invalid input: expected string, received number"),
        ([{"amount": "-1", "unit": ""}], "Amounts.0.amount: Invalid input: expected digits"),
        ([{"amount": "1"}], "Amounts.0.unit: Invalid input: expected string, received undefined"),
        (
            [{"amount": "1" * 26, "unit": ""}],
            "Amounts.0.amount: Too big: expected string to have <=25 characters",
        ),
        ([{"amount": "5", "unit": "lovelace"}], ""),
        (None, ""),
    ],
)
def test_amounts_are_digits_with_a_unit(value: Any, message: str) -> None:
    """Each is named by its place."""
    schema = Schema({"Amounts": value})
    schema.funds("Amounts")

    assert message == complaint(schema)


@pytest.mark.parametrize("value", [1765445305000, "soon", "1e3", "-1", "", "١٢٣", None, "9" * 16])
def test_a_purchases_times_are_digits(value: Any) -> None:
    """What the original gave to BigInt, and answered with 500."""
    schema = Schema({"payByTime": value})
    schema.ms("payByTime")

    assert complaint(schema).startswith("payByTime: Invalid input: expected")


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "array"), (b"null", "null"), (b"1", "number"), (b"true", "boolean")]
)
def test_a_body_is_an_object(data: bytes, kind: str) -> None:
    """It says what it is instead."""
    with pytest.raises(Invalid, match=f"expected object, received {kind}"):
        Schema.of_body(httpbody_pb2.HttpBody(content_type="application/json", data=data))


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (Invalid("network: Invalid", {"network": ["Invalid"]}), 400, "network: Invalid"),
        (Invalid("body is not JSON", {"body": ["send a JSON document"]}), 400, "body: send a JSON document"),
        (Internal("secret", http="502"), 502, "Bad Gateway"),
        (Unavailable("payments at 127.0.0.1 is down"), 503, "Service Unavailable"),
        (Internal("secret", http="599"), 599, "Internal Server Error"),
        (HttpError(413, "body is larger than 4 MiB: send less"), 413, "body is larger than 4 MiB: send less"),
    ],
)
def test_an_error_keeps_its_status_and_hides_what_is_ours(error: MeshError, status: int, message: str) -> None:
    """5xx have the reason phrase only, as in the original's production."""
    rendered = render(error, Asked())

    assert status == rendered.status
    assert {"status": "error", "error": {"message": message}} == rendered.body


def test_a_conflict_shows_the_record() -> None:
    """At the top level, beside the error."""
    rendered = render(ObjectExists("Purchase exists", "c1", {"id": "c1"}), Asked())

    assert 409 == rendered.status
    assert ("c1", {"id": "c1"}) == (rendered.body["id"], rendered.body["object"])
