"""What an attack is: bytes for one rule to refuse, who gains by them, and the rule to take out.

An attack proves two things. With all rules the enclave refuses the bytes, signed and by the rule's
name. With that one rule out, the same bytes get a vote or signatures: nothing else stands in their
way, so the rule is needed and the attack is a real one. Where another defence stands behind the
rule on purpose, the attack names it and why, and passes with both out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from grail.charms.rule import Rule as SpellRule
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Frame
from grail_enclave.checks import RULES, Rule, SpellCorrectRule
from grail_enclave.enclave import Enclave
from socket_attacks.scene import Scene


def answering(value: object = None) -> Callable[..., Any]:
    """A stand-in that gives this whatever it is asked."""

    def answer(*_args: object, **_named: object) -> object:
        return value

    return answer


NOTHING = answering()


@dataclass(frozen=True)
class Removal:
    """One rule taken out: of the rules' list, or out of the code that it stands in."""

    rules: Callable[[tuple[Rule, ...]], tuple[Rule, ...]] = lambda rules: rules
    patch: Callable[[], AbstractContextManager[Any]] = nullcontext
    state: bool = True
    """Whether the enclave is brought into the attack's state at all."""
    index: int | None = None
    """Another operator, for whom the same bytes are right."""


def spell_rule(*out: SpellRule) -> Removal:
    """Take rules of a correct spell out."""

    def without(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(
            replace(each, rules=tuple(r for r in each.rules if r not in out))
            if isinstance(each, SpellCorrectRule)
            else each
            for each in rules
        )

    return Removal(without)


def rule_out(name: str) -> Removal:
    """Take a rule of the enclave's out that establishes nothing for a later one."""
    assert any(each.name == name for each in RULES)
    return Removal(lambda rules: tuple(each for each in rules if each.name != name))


def instead(name: str, other: Rule) -> Removal:
    """Put a rule in its place that establishes the same and refuses nothing."""
    assert any(each.name == name for each in RULES)
    return Removal(lambda rules: tuple(other if each.name == name else each for each in rules))


def patched(target: object, attribute: str, new: object) -> Removal:
    """Take a check out of the code: for those that are no rule of a list."""
    return Removal(patch=lambda: mock.patch.object(target, attribute, new))


STATELESS = Removal(state=False)
"""The bytes pass at an enclave in which nothing stands in their way: only its memory refuses."""


@dataclass(frozen=True)
class Target:
    """The bytes, and what brings an enclave into the state that they are sent to."""

    frame: Frame
    prepare: Callable[[Enclave], object] = NOTHING
    configuration: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0
    handed_over: bool = False
    """A new process with an operator's old key."""
    bare: bool = False
    """An enclave that knows headers only: no roster, no record."""
    scene: Scene | None = None
    """Another scene than the one that the attack was built from."""
    empty: bool = False
    """Whether null is what a good answer holds."""


@dataclass(frozen=True)
class Behind:
    """Another defence that would also refuse, and why it is there."""

    rule: str
    removal: Removal
    reason: str


@dataclass(frozen=True)
class Attack:
    """A refusal's name, what is done, who gains what, and the one rule in its way."""

    rule: str
    title: str
    gains: str
    threats: tuple[str, ...]
    build: Callable[[Scene], Target]
    removal: Removal
    behind: tuple[Behind, ...] = ()

    def __str__(self) -> str:
        return "-".join((*self.threats, self.rule, self.title))


ATTACKS: list[Attack] = []

Builder = Callable[[Scene], Target | SigningRequest]


def attack(
    rule: str, *threats: str, gains: str, out: Removal, behind: Sequence[Behind] = ()
) -> Callable[[Builder], Builder]:
    """Note the function below as an attack; a request that it returns is asked a vote for."""

    def note(build: Builder) -> Builder:
        def target(scene: Scene) -> Target:
            made = build(scene)
            return made if isinstance(made, Target) else voted(made)

        ATTACKS.append(Attack(rule, build.__name__, gains, threats, target, out, tuple(behind)))
        return build

    return note


def voted(request: SigningRequest, **more: Any) -> Target:
    """The request in a vote frame."""
    return Target(frames.vote_frame(request.serialize()), **more)


@contextmanager
def removed(enclave: Enclave, removals: Sequence[Removal]) -> Iterator[None]:
    """The enclave with these rules taken out."""
    kept = enclave._rules
    rules = tuple(kept)
    with ExitStack() as stack:
        for each in removals:
            rules = each.rules(rules)
            stack.enter_context(each.patch())
        enclave._rules = rules
        try:
            yield
        finally:
            enclave._rules = kept


EXCEPTED: dict[str, str] = {}
"""Names without an attack of their own here, each with the reason."""

__all__ = [
    "ATTACKS",
    "EXCEPTED",
    "STATELESS",
    "Attack",
    "Behind",
    "Removal",
    "Target",
    "answering",
    "attack",
    "field",
    "instead",
    "patched",
    "removed",
    "rule_out",
    "spell_rule",
    "voted",
]
