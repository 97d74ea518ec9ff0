"""The `deployments` of a bootstrap say how many hosts an app gets, and what they need."""

import json

import pytest

from meshkit.errors import Invalid
from services.runner.domain import deployments


@pytest.mark.parametrize(
    ("listed", "replicas"),
    [
        ([], 1),
        ([{"name": "a"}], 1),
        ([{"name": "a", "num_replicas": 3}], 3),
        ([{"num_replicas": 2}, {"num_replicas": 4}], 4),
        ([{"num_replicas": "auto"}], 1),
        ([{"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2, "max_replicas": 9}}], 2),
        ([{"autoscaling_config": {"min_replicas": 0}}], 1),
    ],
)
def test_the_largest_number_counts(listed: list[object], replicas: int) -> None:
    """An app of ours is one thing to run, however many deployments it was written as."""
    assert replicas == deployments.parse(json.dumps(listed)).replicas


def test_what_hosts_need_goes_to_their_placement() -> None:
    """The options of the first deployment that has any."""
    parsed = deployments.parse('[{"name": "a"}, {"ray_actor_options": {"num_cpus": 2}}]')

    assert {"num_cpus": 2} == json.loads(parsed.resources_json)
    assert "" == deployments.parse("").resources_json


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "nope",
        '["a"]',
        '[{"num_replicas": 0}]',
        '[{"num_replicas": 65}]',
        '[{"num_replicas": true}]',
        '[{"num_replicas": 1.5}]',
        '[{"num_replicas": "two"}]',
        '[{"ray_actor_options": 3}]',
    ],
)
def test_what_cannot_be_used_is_refused(text: str) -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as caught:
        deployments.parse(text)

    assert ["deployments_json"] == list(caught.value.fields)
