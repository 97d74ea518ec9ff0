"""How many hosts an app gets follows its open jobs, and for how long there have been so many."""

import json

import pytest

from meshkit.errors import Invalid
from services.runner.domain import deployments
from services.runner.domain.scaling import Pressure, Scaling

SCALING = Scaling(least=1, most=4, jobs_per_host=2, up_delay_s=10, down_delay_s=60)


@pytest.mark.parametrize(("jobs", "hosts"), [(0, 1), (1, 1), (2, 1), (3, 2), (8, 4), (100, 4)])
def test_there_are_as_many_as_jobs_need_within_bounds(jobs: int, hosts: int) -> None:
    """Two jobs to a host, from one to four of them."""
    assert hosts == SCALING.wanted(jobs)


def test_a_moment_is_not_enough() -> None:
    """More after the delay for more, fewer after that for fewer; what is interrupted begins anew."""
    pressure = Pressure()
    told = [
        pressure.decide(SCALING, hosts, jobs, now)
        for now, hosts, jobs in [
            (0, 1, 8),
            (9, 1, 8),
            (9.5, 1, 1),
            (10, 1, 8),
            (19, 1, 8),
            (20, 1, 8),
            (21, 4, 0),
            (80, 4, 0),
            (81, 4, 0),
        ]
    ]

    assert [1, 1, 1, 1, 1, 4, 4, 4, 1] == told


def test_an_app_without_hosts_gets_one_at_once() -> None:
    """It has a job that nobody runs."""
    idle = Scaling(least=0, most=2, jobs_per_host=2, up_delay_s=10, down_delay_s=60)

    assert 1 == Pressure().decide(idle, 0, 1, 0)
    assert 0 == Pressure().decide(idle, 0, 0, 0)


def test_it_is_read_as_serve_has_it() -> None:
    """With Serve's defaults, from the first deployment that says something."""
    listed = [{"name": "a"}, {"autoscaling_config": {"min_replicas": 0, "max_replicas": 3}}, {"autoscaling_config": {}}]
    parsed = deployments.parse(json.dumps(listed))

    assert Scaling(least=0, most=3, jobs_per_host=2, up_delay_s=30, down_delay_s=600) == parsed.scaling
    assert 1 == parsed.replicas
    assert 2 == deployments.parse('[{"autoscaling_config": {"initial_replicas": 2, "max_replicas": 3}}]').replicas
    assert None is deployments.parse('[{"num_replicas": 2, "autoscaling_config": {"max_replicas": 3}}]').scaling


@pytest.mark.parametrize(
    "told",
    [
        3,
        {"max_replicas": 0},
        {"max_replicas": 65},
        {"min_replicas": 3, "max_replicas": 2},
        {"min_replicas": 0.5},
        {"target_ongoing_requests": 0},
        {"upscale_delay_s": -1},
        {"downscale_delay_s": True},
    ],
)
def test_what_cannot_be_used_is_refused(told: object) -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as caught:
        deployments.parse(json.dumps([{"autoscaling_config": told}]))

    assert ["deployments_json"] == list(caught.value.fields)
