"""How much a caller may send, counted by Envoy (`local_ratelimit`): no Python is asked.

Every caller has a bucket: a user one for all that they send, of the size that their token's `tier` gives it; a caller
without a token that holds, one for the address.  A dialect whose contract has limits of its own adds a bucket for each,
for its paths only, and each address has one for whatever takes a password; a request must find a token in all of its
buckets.  Where several Envoys stand side by side, which know nothing of each other, each has its part of every bucket:
all together let no more through than was said, and less of a caller whose requests do not reach all of them alike.

Answers carry `x-ratelimit-limit`, `-remaining` and `-reset` of the bucket that is closest to its end, and a
429 `retry-after` too: the seconds of that reset.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config import RATES, EdgeConfig
from gateway.edge import contract
from gateway.edge import prefixes as paths
from gateway.edge.front import NOBODY, Front, Rate, Rates

USER_HEADER, TIER_HEADER = "x-mesh-user", "x-mesh-tier"
_LIMITED = "x-mesh-limited"
"""Of what was too much; `edge.lua` makes `retry-after` of it, in seconds until the bucket is filled up again."""
_BUCKETS_MAX = 10_000
"""Of one kind; of more callers those that were quiet longest are forgotten, and begin with a full bucket."""
_UNLIMITED = 2**31

_Actions = list[dict[str, Any]]


def of_mesh(config: EdgeConfig) -> Rates:
    """Return what a caller may send to the whole mesh, by tier."""
    each = RATES | config.rate_limits
    return {tier: (Rate(min(requests, config.rate_limit_rps)),) for tier, requests in each.items()}


def policy(
    config: EdgeConfig,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the filter's configuration.

    `prefixes` are a dialect's paths by its name; without any, its are those that are nobody else's.
    """
    kinds = list(_kinds("mesh", [], _part(of_mesh(config), config.edges)))
    others = [prefix for dialect in dialects for prefix in prefixes[dialect.name]]
    for dialect in dialects:
        own = prefixes[dialect.name]
        kinds += _kinds(
            dialect.name,
            [_under(own) if own else _under(others, outside=True)],
            _part(dialect.rates_by(config), config.edges),
        )
    if config.sign_ins_per_minute:
        kinds.append(_sign_ins(services, max(1, config.sign_ins_per_minute // config.edges)))
    full = {"default_value": {"numerator": 100}}
    return {
        "stat_prefix": "rate",
        "filter_enabled": full,
        "filter_enforced": full,
        "token_bucket": _bucket(Rate(_UNLIMITED)),
        "max_dynamic_descriptors": _BUCKETS_MAX,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limited_as_resource_exhausted": True,  # of gRPC, whose clients would take UNAVAILABLE for a failure
        "rate_limits": [{"actions": actions} for actions, _ in kinds],
        "descriptors": [descriptor for _, descriptor in kinds],
        "response_headers_to_add": [{"header": {"key": _LIMITED, "value": "1"}}],
    }


def _part(rates: Rates, edges: int) -> Rates:
    """Return what one of several Envoys lets through: nobody can be let through by less than one."""
    return {
        tier: tuple(Rate(max(1, rate.requests // edges), rate.per_s) for rate in each) for tier, each in rates.items()
    }


def _kinds(owner: str, where: _Actions, rates: Rates) -> Iterator[tuple[_Actions, dict[str, Any]]]:
    """Yield, for each rate, what describes a request and the bucket of requests that are described so."""
    for tier, each in rates.items():
        for number, rate in enumerate(each):
            key = f"{owner}/{tier}/{number}"
            known = {"name": USER_HEADER, "present_match": True}
            if tier == NOBODY:
                who: _Actions = [_matched(key, known, expected=False), {"remote_address": {}}]
                entry = "remote_address"
            else:
                who = [
                    _matched(key, {"name": TIER_HEADER, "string_match": {"exact": tier}}, expected=True),
                    {"request_headers": {"header_name": USER_HEADER, "descriptor_key": "user"}},
                ]
                entry = "user"
            entries = [{"key": "paths", "value": "own"}] if where else []
            yield (
                [*where, *who],
                {
                    "entries": [*entries, {"key": "rate", "value": key}, {"key": entry}],
                    "token_bucket": _bucket(rate),
                },
            )


def _sign_ins(services: Sequence[contract.Service], per_minute: int) -> tuple[_Actions, dict[str, Any]]:
    """Return the kind of whatever takes a password, as REST and as gRPC: a bucket for each address, whoever asks."""
    methods = [method for service in services for method in service.methods if method.signs_in]
    paths = [re.escape(method.name) for method in methods]
    paths += [contract.pattern(template) for method in methods for _, template in method.bindings]
    either = f"({'|'.join(dict.fromkeys(paths))})/*([?].*)?"
    match = {
        "descriptor_key": "paths",
        "descriptor_value": "sign-in",
        "headers": [{"name": "x-mesh-path", "string_match": {"safe_regex": {"regex": either}}}],
    }
    entries = [{"key": "paths", "value": "sign-in"}, {"key": "remote_address"}]
    return (
        [{"header_value_match": match}, {"remote_address": {}}],
        {"entries": entries, "token_bucket": _bucket(Rate(per_minute, per_s=60))},
    )


def _matched(value: str, header: Mapping[str, Any], *, expected: bool) -> dict[str, Any]:
    match = {
        "descriptor_key": "rate",
        "descriptor_value": value,
        "expect_match": expected,
        "headers": [dict(header)],
    }
    return {"header_value_match": match}


def _under(prefixes: Sequence[str], *, outside: bool = False) -> dict[str, Any]:
    """Return what describes a request whose path is under one of the prefixes, or outside of all."""
    either = "|".join(paths.regex(prefix) for prefix in prefixes)
    match = {
        "descriptor_key": "paths",
        "descriptor_value": "own",
        "expect_match": not outside,
        "headers": [{"name": "x-mesh-path", "string_match": {"safe_regex": {"regex": either}}}],
    }
    return {"header_value_match": match}


def _bucket(rate: Rate) -> dict[str, Any]:
    return {"max_tokens": rate.requests, "tokens_per_fill": rate.requests, "fill_interval": f"{rate.per_s}s"}
