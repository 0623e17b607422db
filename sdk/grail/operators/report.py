"""Who answered what, and how long it took: what a user reads when operators are down or lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from grail.errors import QuorumNotReached

SILENT, LATE, REFUSED, RIVAL, LIED = "silent", "late", "refused", "rival", "lied"
"""Verdicts on an answer that is none of the good ones (voted, promised, signed, ...)."""

VOID = "void"
"""A good answer that does not count beside the others: they disagree on the newest instances."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of one operator: at which stage, what, and after how many seconds.

    `verdict` is a word (voted, rival, signed, silent, refused, lied, ...), `text` says more.
    """

    stage: str
    operator: int
    verdict: str
    text: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text}" if self.text else self.verdict


def name(operator: int) -> str:
    """How an operator is called in reports: by its rank in the roster."""
    return f"operator {operator}"


@dataclass
class Report:
    """All answers to one request, in the order in which they came."""

    answers: list[Answer] = field(default_factory=list)

    def add(self, stage: str, operator: int, verdict: str, text: str, seconds: float) -> None:
        """Record one answer."""
        self.answers.append(Answer(stage, operator, verdict, text, seconds))

    @property
    def latest(self) -> dict[int, Answer]:
        """Each operator's last answer."""
        return {answer.operator: answer for answer in self.answers}

    def _with(self, verdict: str) -> tuple[str, ...]:
        found = {a.operator for a in self.latest.values() if a.verdict == verdict}
        return tuple(name(operator) for operator in sorted(found))

    @property
    def dead(self) -> tuple[str, ...]:
        """The operators that gave no answer when last asked."""
        return self._with(SILENT)

    @property
    def lying(self) -> tuple[str, ...]:
        """The operators that ever sent something false: a bad signature, another's message."""
        found = {a.operator for a in self.answers if a.verdict == LIED}
        return tuple(name(operator) for operator in sorted(found))

    def refusing(self, rule: str) -> int:
        """How many operators' last answer refuses by this rule."""
        last = self.latest.values()
        refused = (a for a in last if a.verdict in {REFUSED, RIVAL})
        return sum(a.text.partition(":")[0] == rule for a in refused)

    @property
    def replies(self) -> dict[str, str]:
        """Each operator's last answer, as text."""
        return {name(operator): str(answer) for operator, answer in sorted(self.latest.items())}

    def failure(self, stage: str, good: int, quorum: int) -> QuorumNotReached:
        """The error that says how many of the quorum were there, who was not, and why.

        When the refusals alone made it impossible, its rule is the one that most of them name.
        """
        rules = Counter(
            answer.text.partition(":")[0]
            for answer in self.latest.values()
            if answer.stage == stage and answer.verdict == REFUSED
        )
        asked = sum(answer.stage == stage for answer in self.latest.values())
        text = f"{good} of {quorum} operators {stage}"
        for words, names in (("no answer from", self.dead), ("false answers from", self.lying)):
            if names:
                text += f"; {words} {', '.join(names)}"
        rule = "QuorumNotReached"
        if rules and sum(rules.values()) > asked - quorum:
            rule = rules.most_common(1)[0][0]
            example = next(a for a in self.latest.values() if a.text.startswith(rule))
            text += f"; {sum(rules.values())} refused, {name(example.operator)}: {example.text}"
        return QuorumNotReached(rule, text, replies=self.replies)
