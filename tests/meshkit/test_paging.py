"""Every item is on one page, and page tokens are opaque, bound to their filter, and cannot hurt."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from meshkit import paging
from meshkit.errors import Invalid, Unavailable


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1000, 1000), (5000, 1000), (2**31 - 1, 1000)])
def test_a_size_is_coerced(asked: int, given: int) -> None:
    """Zero takes the default, too much is cut down."""
    assert given == paging.size(asked)


def test_a_negative_size_is_refused() -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as caught:
        paging.size(-1)

    assert "page_size" in caught.value.fields


# what a column of text may hold
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=500)


@given(KEYS, st.lists(st.text(max_size=5), max_size=3))
def test_a_token_leads_back_to_its_key(key: str, filters: list[str]) -> None:
    """Whatever the key and the filters are."""
    assert key == paging.decode(paging.encode(key, *filters), *filters)


def test_no_token_means_from_the_start() -> None:
    """The empty token is the first page."""
    assert paging.decode("", "filter") == ""


def test_a_token_is_bound_to_its_filter() -> None:
    """Another filter's token is refused, with the remedy."""
    with pytest.raises(Invalid) as caught:
        paging.decode(paging.encode("k", "mine"), "yours")

    assert caught.value.fields == {"page_token": ["start again without it"]}


@given(st.text(max_size=200))
def test_any_text_is_refused_politely(text: str) -> None:
    """No token of somebody's making is more than `Invalid`."""
    if text:
        with pytest.raises(Invalid):
            paging.decode(text)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '["\\ud800", "e3b0c442"]', '[{"a": 1}, "e3b0c442"]', '[1, "e3b0c442"]', "[1, 2, 3]", "7", "null"],
)
def test_a_forged_token_is_refused(content: str) -> None:
    """Well-encoded nonsense, deep nesting and broken text included."""
    with pytest.raises(Invalid):
        paging.decode(base64.urlsafe_b64encode(content.encode()).decode())


def test_a_token_has_no_text_that_a_database_refuses() -> None:
    """PostgreSQL has no NUL in its texts."""
    with pytest.raises(Invalid):
        paging.decode(paging.encode("a\0b"))


def test_a_moment_comes_back() -> None:
    """As the key of a list in order of time."""
    assert (1.5, "a b") == paging.of_moment(paging.moment(1.5, "a b"))
    assert paging.of_moment("") is None


@pytest.mark.parametrize(
    "key", ["x", "1.5 a", "[]", "{}", "7", "[1]", "[null, 1]", '["NaN", ""]', "[1e999, 1]", "[" * 9999]
)
def test_a_forged_moment_is_refused(key: str) -> None:
    """Whoever makes a token up is told so."""
    with pytest.raises(Invalid):
        paging.of_moment(key)


def test_tokens_are_url_safe() -> None:
    """They travel in query strings as they are."""
    token = paging.encode("ÿþý" * 20 + json.dumps({"a": "?&="}))

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Logins:
    """A List RPC over these logins, and how much it had to fetch for each page."""

    def __init__(self, count: int) -> None:
        self.logins = [f"user{number:03}" for number in range(count)]
        self.fetched: list[int] = []

    async def __call__(self, request: pb.ListUsersRequest) -> pb.ListUsersResponse:
        """Answer as a servicer does."""
        found = await paging.page(request, self._fetch, lambda login: login, "users")
        return pb.ListUsersResponse(users=[pb.User(login=login) for login in found.items], next_page_token=found[1])

    async def _fetch(self, after: str, limit: int) -> Sequence[str]:
        found = [login for login in self.logins if login > after][:limit]
        self.fetched.append(len(found))
        return found


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25, 30])
async def test_a_walk_meets_every_item_once(count: int) -> None:
    """In order, whether the last page is full or not; no page is fetched for nothing."""
    listed = Logins(count)
    request = pb.ListUsersRequest(page_size=10)
    found = [user.login async for user in paging.walk(listed, request)]

    assert listed.logins == found
    assert max(1, -(-count // 10)) == len(listed.fetched)
    assert not request.page_token


async def test_a_walk_says_what_went_wrong() -> None:
    """An RPC that fails on the way raises its `MeshError`, as everywhere."""

    async def broken(request: Any) -> Any:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="not now")

    with pytest.raises(Unavailable):
        _ = [user async for user in paging.walk(broken, pb.ListUsersRequest())]


async def test_a_page_refuses_what_is_not_its_own() -> None:
    """A token of another list, a negative size."""
    listed = Logins(5)
    for request in (
        pb.ListUsersRequest(page_token=paging.encode("user001", "apiKeys")),
        pb.ListUsersRequest(page_size=-1),
    ):
        with pytest.raises(Invalid):
            await listed(request)


@pytest.mark.parametrize(("key", "number"), [("", 0), ("17", 17), ("-3", -3)])
def test_a_key_may_be_a_number(key: str, number: int) -> None:
    """And none is 0."""
    assert number == paging.number(key)


@pytest.mark.parametrize("key", ["x", "1.5", "9" * 30, "9" * 3000])
def test_a_key_that_is_no_number_is_refused(key: str) -> None:
    """Services of the mesh can make tokens of their own; nobody gets an internal error by it."""
    with pytest.raises(Invalid):
        paging.number(key)


@pytest.mark.parametrize("sizes", [[9, 1, 1, 1], [1, 9, 1], [3, 3, 3, 3], [1] * 12, [9, 9, 9], []])
async def test_a_page_is_shorter_rather_than_refused(sizes: list[int]) -> None:
    """No page has more bytes than it may, unless its one item has; every item is on one, in order."""
    items = [(number, "é" * (size * paging.PAGE_BYTES_MAX // 18)) for number, size in enumerate(sizes, start=1)]

    async def fetch(after: str, limit: int) -> list[tuple[int, str]]:
        return list(paging.until_full([item for item in items if item[0] > paging.number(after)][:limit]))

    found: list[list[tuple[int, str]]] = []
    token = ""
    while not found or token:
        request = pb.ListUsersRequest(page_size=10, page_token=token)
        shown, token = await paging.page(request, fetch, lambda item: str(item[0]))
        found.append(shown)

    assert items == [item for page in found for item in page]
    for page in found:
        assert len(page) == 1 or sum(map(paging.weight, page)) <= paging.PAGE_BYTES_MAX or not items
    assert len(found) <= max(1, sum(sizes) // 3 + 2)


def test_a_weight_is_that_of_the_texts() -> None:
    """Of records, messages and what they hold, counted as UTF-8."""
    user = pb.User(login="é" * 1000)

    assert 2000 <= paging.weight({"a": ["é" * 500, b"x" * 500], "b": (None, 1, 0.5, "x" * 500)}) <= 2100
    assert user.ByteSize() == paging.weight(user)
    assert paging.weight("\ud800") == 5
