"""What a run of nonsense has seen."""

from collections import Counter

EACH_MAX = 20
"""Examples that are kept of one kind of fault."""


class Seen:
    """Counts answers, and keeps what was wrong."""

    def __init__(self, deadline_s: float = 30.0) -> None:
        self.deadline_s = deadline_s
        """After which something hangs."""
        self.answers: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {}

    def answered(self, how: str) -> None:
        """Count an answer: its status or code."""
        self.answers[how] += 1

    def wrong(self, kind: str, what: str) -> None:
        """Keep a fault."""
        kept = self.faults.setdefault(kind, [])
        if len(kept) < EACH_MAX:
            kept.append(what)

    def __str__(self) -> str:
        answers = ", ".join(f"{how} {count}" for how, count in self.answers.most_common())
        faults = [
            f"{kind}: {len(kept)}\n" + "\n".join(f"    {what}" for what in kept) for kind, kept in self.faults.items()
        ]
        return "\n".join((f"{self.answers.total()} answers: {answers}", *faults))
