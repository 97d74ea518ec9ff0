"""Retention: what is kept of jobs that have ended; the rest is forgotten."""

import dataclasses

from meshkit.errors import Invalid

_MAX = 2**53


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is kept."""

    policy_id: str
    owner: str
    """`users/{uuid}` whose jobs it is of; empty for everybody's."""
    target: str
    """Only jobs of this; empty for all, and conversations too."""
    age_s: int
    """What ended longer ago is forgotten; 0 is no limit."""
    job_count: int
    """Of each owner's jobs the newest so many are kept; 0 is no limit."""
    stored_bytes: int
    """Of each owner's jobs the newest are kept that have so many bytes together; 0 is no limit."""
    created_at: float
    forgotten_count: int = 0

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"retentionPolicies/{self.policy_id}"


def check(policy: Policy) -> None:
    """Raise `Invalid`, naming the fields, for a policy that says nothing or what cannot be."""
    limits = {"age_seconds": policy.age_s, "job_count": policy.job_count, "stored_bytes": policy.stored_bytes}
    wrong = {name: ["must be 0 (no limit) or more"] for name, value in limits.items() if not 0 <= value <= _MAX}
    if not any(limits.values()):
        wrong = {name: ["give at least one limit"] for name in limits}
    if len(policy.target) > 300:
        wrong["target"] = ["at most 300 characters"]
    if wrong:
        raise Invalid("the policy cannot be kept to", wrong)
