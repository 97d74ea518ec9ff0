"""Tokens are verified once, and revocations are asked each time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from meshkit.errors import Unauthenticated, Unavailable
from meshkit.principal import Principal
from meshkit.verifier import MESH, Credentials, Revocations, TokenVerifier

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def jwks(**keys: ec.EllipticCurvePrivateKey) -> str:
    """Return a key set."""
    members: list[dict[str, Any]] = [
        jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "alg": "ES256"}
        for kid, key in keys.items()
    ]
    return json.dumps({"keys": members})


def token(key: ec.EllipticCurvePrivateKey = KEY, kid: str = "k1", **claims: object) -> str:
    """Return a token that holds, but for what `claims` change; `None` leaves a claim out."""
    now = time.time()
    good = {"iss": "agentmesh", "sub": "u1", "iat": now, "exp": now + 60, "jti": "j1", "operator": True, "tier": "pro"}
    merged = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(merged, key, algorithm="ES256", headers={"kid": kid})


class Keys:
    """Answers with a key set, and counts how often."""

    def __init__(self, answer: Callable[[], Awaitable[str]] | None = None) -> None:
        self.asked = 0
        self._answer = answer

    async def __call__(self) -> str:
        """Return the keys."""
        self.asked += 1
        await asyncio.sleep(0)
        return await self._answer() if self._answer is not None else jwks(k1=KEY)


async def test_a_good_token_says_who_calls() -> None:
    """All that rules and owners need is in it."""
    got = await TokenVerifier(Keys(), Revocations()).verify(token())

    assert (got.user, got.operator, got.tier, got.jti) == ("users/u1", True, "pro", "j1")
    assert got.token not in repr(got)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a.b.c",
        token(OTHER_KEY),
        token(kid="unknown"),
        token(exp=time.time() - 1),
        token(iss="somebody"),
        token(jti=None),
        token(iat=None),
        token(exp=None),
        token(sub=None),
        jwt.encode({"sub": "u1", "exp": time.time() + 60}, "", algorithm="none", headers={"kid": "k1"}),
        jwt.encode({"sub": "u1", "exp": time.time() + 60}, "k" * 32, algorithm="HS256", headers={"kid": "k1"}),
    ],
    ids=[
        "empty",
        "garbage",
        "other key",
        "unknown key",
        "expired",
        "other issuer",
        "no id",
        "no issue time",
        "endless",
        "nobody",
        "unsigned",
        "other algorithm",
    ],
)
async def test_a_bad_token_is_refused(bad: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(Unauthenticated):
        await TokenVerifier(Keys(), Revocations()).verify(bad)


async def test_a_token_from_a_clock_ahead_holds() -> None:
    """The clocks of two machines differ a little."""
    await TokenVerifier(Keys(), Revocations()).verify(token(iat=time.time() + 20))


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    """Of many first calls none is refused because another has already asked."""
    keys = Keys()
    verifier = TokenVerifier(keys, Revocations())
    got = await asyncio.gather(*(verifier.verify(token(jti=f"j{number}")) for number in range(50)))

    assert {principal.user for principal in got} == {"users/u1"}
    assert keys.asked == 1


async def test_unknown_keys_do_not_make_us_ask_each_time() -> None:
    """Forged tokens cost the auth service one call a second at most."""
    keys = Keys()
    verifier = TokenVerifier(keys, Revocations(), ticks=lambda: 0.0)
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(kid=f"forged{number}"))

    assert keys.asked == 1


async def test_keys_that_cannot_be_fetched_are_not_the_callers_fault() -> None:
    """The answer is "try again", not "sign in again", also for those who come right after."""

    async def down() -> str:
        raise Unavailable("connection refused")

    keys = Keys(down)
    verifier = TokenVerifier(keys, Revocations(), ticks=lambda: 0.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await verifier.verify(token())

    assert keys.asked == 1


async def test_a_caller_who_hangs_up_does_not_leave_the_others_without_keys() -> None:
    """The next one in line asks for itself."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        asked.set()
        await answer.wait()
        return jwks(k1=KEY)

    verifier = TokenVerifier(Keys(slow), Revocations())
    first = asyncio.create_task(verifier.verify(token()))
    await asked.wait()
    second = asyncio.create_task(verifier.verify(token()))
    await asyncio.sleep(0)
    first.cancel()
    answer.set()

    assert (await second).user == "users/u1"


async def test_a_revoked_token_fails_though_it_was_verified() -> None:
    """What is remembered of a token does not outlive its revocation."""
    verifier = TokenVerifier(Keys(), Revocations())
    kept = token(jti="kept")
    await verifier.verify(token())
    await verifier.verify(kept)
    verifier.revocations.add_token("j1", time.time() + 60)

    await verifier.verify(kept)
    with pytest.raises(Unauthenticated):
        await verifier.verify(token())


async def test_a_remembered_token_expires() -> None:
    """The cache asks the clock."""
    ahead_s = 0.0
    verifier = TokenVerifier(Keys(), Revocations(), lambda: time.time() + ahead_s)
    kept = token()
    principal = await verifier.verify(kept)
    assert await verifier.verify(kept) is principal
    ahead_s = 61.0

    with pytest.raises(Unauthenticated):
        await verifier.verify(kept)


async def test_a_user_is_revoked_up_to_a_moment() -> None:
    """Tokens issued at or before it fail, later ones hold; an older revocation does not undo a newer one."""
    revocations = Revocations()
    verifier = TokenVerifier(Keys(), revocations)
    now = time.time()
    revocations.add_user("users/u1", now, now + 60)
    revocations.add_user("users/u1", now - 10, now + 30)

    for issued_at in (now, now - 0.001, now - 100):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(iat=issued_at))
    await verifier.verify(token(iat=now + 0.001))
    await verifier.verify(token(iat=now - 1, sub="u2"))


async def test_nobody_is_let_in_before_revocations_are_known() -> None:
    """A service that has just started waits for the snapshot."""
    revocations = Revocations(complete=False)
    verifier = TokenVerifier(Keys(), revocations)
    call = asyncio.create_task(verifier.verify(token()))
    await asyncio.sleep(0)
    assert not call.done()
    revocations.add_token("j1", time.time() + 60)
    revocations.completed()

    with pytest.raises(Unauthenticated):
        await call


def test_expired_revocations_are_forgotten() -> None:
    """Memory is bounded by what is alive."""
    revocations = Revocations()
    for number in range(30_000):
        revocations.add_token(f"old{number}", time.time() - 1)
        revocations.add_user(f"users/old{number}", 0, time.time() - 1)
    revocations.add_token("new", time.time() + 60)

    assert len(revocations) < 20_000
    assert revocations.hit(Principal(jti="new"))


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ""),
        ({"kodosumi_api_key": "a", "authorization": "Bearer b", "cookie": "kodosumi_jwt=c"}, "a"),
        ({"authorization": "Bearer b", "cookie": "kodosumi_jwt=c"}, "b"),
        ({"authorization": "bearer  b "}, "b"),
        ({"authorization": "Basic b"}, ""),
        ({"authorization": "b"}, ""),
        ({"cookie": "kodosumi_jwt=c"}, "c"),
        ({"cookie": 'theme={"dark":true}; x; other=a=b; kodosumi_jwt=c; z=1'}, "c"),
        ({"cookie": 'kodosumi_jwt="c"'}, "c"),
        ({"cookie": "not_kodosumi_jwt=c"}, ""),
    ],
)
def test_a_credential_is_found_where_the_seed_says(metadata: dict[str, str], expected: str) -> None:
    """Header, then bearer, then cookie, whatever other cookies came along."""
    assert expected == MESH.find(metadata)


async def test_who_waits_for_a_revocation_hears_of_it() -> None:
    """Of their own token or of all of their user's, and not of somebody else's."""
    verifier = TokenVerifier(Keys(), Revocations())
    revocations = verifier.revocations
    by_token = asyncio.ensure_future(verifier.until_barred(await verifier.verify(token(sub="u1", jti="j1"))))
    by_user = asyncio.ensure_future(verifier.until_barred(await verifier.verify(token(sub="u2", jti="j2", iat=1.0))))
    await asyncio.sleep(0)
    revocations.add_token("other", time.time() + 60)
    revocations.add_token("j1", time.time() + 60)
    with pytest.raises(Unauthenticated, match="revoked"):
        await by_token
    assert not by_user.done()
    revocations.add_user("users/u2", 1.0, time.time() + 60)
    with pytest.raises(Unauthenticated, match="revoked"):
        await by_user


def test_a_dialect_may_have_places_of_its_own() -> None:
    """In the order it gives; what it does not name is not looked at."""
    places = Credentials(headers=("x-token", "x-api-key"), bearer=False, cookies=("session",))

    assert "b" == places.find({"x-api-key": "b", "authorization": "Bearer c", "cookie": "session=d"})
    assert "" == places.in_headers({"authorization": "Bearer c", "kodosumi_api_key": "e"})
    assert "d" == places.find({"authorization": "Bearer c", "cookie": "kodosumi_jwt=c; session=d"})


@pytest.mark.parametrize("steps", range(4))
async def test_who_is_cancelled_as_the_wait_ends_is_cancelled(steps: int) -> None:
    """Or a service that stops at that moment would go on."""
    revocations = Revocations()
    waiting = asyncio.create_task(revocations.wait())
    await asyncio.sleep(0)
    revocations.completed()
    for _ in range(steps):
        await asyncio.sleep(0)
    cancelled = waiting.cancel()
    await asyncio.wait([waiting])

    assert cancelled == waiting.cancelled()
