"""Each state that one acceptor can get into, and what each request makes of it, run just once.

A search meets the same acceptor in the same state many times over. Here such a state is a number;
the first time that a request meets it the real `Acceptor` answers, and the outcome is kept. What
two operators of one group do must be the same but for who they are: each request is run on the
acceptor of every one of them, and a difference fails the search. So a search may sort them.

Messages are numbers too, equal when they differ in the sender within a group alone. Each was made
and signed by each sender's acceptor, and a certificate is put together from those.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator import TIP, keys

from grail.crypto.schnorr import KeyPair
from grail.errors import Refused
from grail.operators.certificates import Decision, Proposal
from grail.operators.epochs import Epochs
from grail.operators.grants import page_hash
from grail.operators.messages import Family, Head, Message, Open, Scope, Standing, Vote
from grail.operators.rounds import Acceptor
from grail.operators.spent import SpentLog
from grail.types import OutPoint

Request = tuple[Any, ...]
"""What is asked of an acceptor: a name and its arguments, which are numbers and names."""

Certificate = tuple[int, ...]
"""Messages by number, rising; the members of one group are taken in their order."""


@dataclass(frozen=True, slots=True)
class Stood:
    """A `Standing`, as far as a coordinator uses it."""

    rule: str
    promised: int
    family: str = ""
    decision: Certificate = ()


WHO = frozenset({"scope", "key", "index", "instance", "nonce", "draw", "signature", "replaced"})
"""Fields in which operators of one group may differ: keys and nonces, and what comes of them. Of
`replaced` only what is above the own epoch matters: `Epochs.floor` stands for both."""

Answer = int | str | Stood
"""The number of a message that was sent, the name of what was done or refused, or a standing."""


@contextmanager
def signed_once() -> Iterator[None]:
    """Sign and verify each message once: a search meets the same ones thousands of times."""
    sign, verify = KeyPair.sign, Message.verify
    signatures: dict[tuple[bytes, bytes], bytes] = {}
    good: set[tuple[Scope, Message]] = set()

    def sign_once(self: KeyPair, digest: bytes) -> bytes:
        if (self.public, digest) not in signatures:
            signatures[self.public, digest] = sign(self, digest)
        return signatures[self.public, digest]

    def verify_once(self: Message, scope: Scope) -> None:
        if (scope, self) not in good:
            verify(self, scope)
            good.add((scope, self))

    KeyPair.sign, Message.verify = sign_once, verify_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        KeyPair.sign, Message.verify = sign, verify  # type: ignore[method-assign]


@dataclass
class Chain:
    """The chain as one instance knows it: how deep each block is, 0 when it is not on it."""

    depths: dict[Any, int] = field(default_factory=dict)

    def __call__(self, block: Any) -> int:
        return self.depths.get(block, 0)


@functools.cache
def parts(kind: type) -> tuple[str, ...] | None:
    """The fields of a dataclass; None for any other type."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(each.name for each in dataclasses.fields(kind))


@functools.cache
def changes(kind: type) -> bool:
    """Whether a value of this type may be changed in place."""
    if dataclasses.is_dataclass(kind):
        return not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return issubclass(kind, (dict, list, set))


def fork(value: Any) -> Any:
    """The same memory, to go on from apart. What is never changed in place is shared."""
    kind = type(value)
    if not changes(kind):
        return value
    if isinstance(value, dict):
        return kind((key, fork(item)) for key, item in value.items())
    names = parts(kind)
    if names is None:
        return kind(fork(item) for item in value)
    made = object.__new__(kind)
    for name in names:
        setattr(made, name, fork(getattr(value, name)))
    return made


@dataclass
class Instances:
    """The states of the acceptors of all groups, and the messages that they sent.

    A group is the ranks of its operators. One operator is in two groups when it has two instances;
    those of the groups in `later` have to ask the others for an epoch.
    """

    scope: Scope
    rivals: Mapping[str, Proposal]
    groups: Sequence[Sequence[int]]
    later: frozenset[int] = frozenset()
    _ids: dict[Any, int] = field(default_factory=dict, repr=False)
    _states: list[tuple[int, dict[int, Acceptor]]] = field(default_factory=list, repr=False)
    _steps: dict[tuple[int, Request], tuple[int, Answer]] = field(default_factory=dict, repr=False)
    _pages: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    _message_ids: dict[Any, int] = field(default_factory=dict, repr=False)
    _forms: dict[Message, Any] = field(default_factory=dict, repr=False)
    _messages: list[tuple[int, dict[int, Message]]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._names: dict[Any, str] = {of.family: name for name, of in self.rivals.items()}
        for of in self.rivals.values():
            self._names.update({outpoint: outpoint.txid.hex()[:6] for outpoint in of.outpoints})

    def fresh(self, group: int) -> int:
        """The state of the acceptors of a group that have just been started."""
        members = self.groups[group]
        return self._intern(group, {i: self.started(i, group in self.later) for i in members})

    def started(self, index: int, later: bool) -> Acceptor:
        """The acceptor of an operator's first instance, or of a later one."""
        pair, log = keys(self.scope.n)[index], SpentLog(Chain(), 1, 6)
        if later:
            return Acceptor.handed_over(self.scope, pair, log, instance=pair.public, draw=bytes)
        return Acceptor(self.scope, pair, log)

    def acceptor(self, state: int, index: int | None = None) -> Acceptor:
        """An acceptor in this state: to look at, or to fork."""
        members = self._states[state][1]
        return members[next(iter(members)) if index is None else index]

    def group(self, state: int) -> int:
        """Which group's acceptor this is."""
        return self._states[state][0]

    def step(self, state: int, request: Request) -> tuple[int, Answer]:
        """What a request makes of an acceptor: its new state, and the answer."""
        known = self._steps.get((state, request))
        if known is None:
            known = self._steps[state, request] = self._run(state, request)
        return known

    def name(self, family: Family) -> str:
        """Which rival has this family."""
        return self._names[family]

    @property
    def size(self) -> int:
        """How many states of single acceptors there are."""
        return len(self._states)

    def message(self, number: int) -> Message:
        """A message, by the first sender of its group."""
        return next(iter(self._messages[number][1].values()))

    def sender(self, number: int) -> int:
        """The group of a message's sender."""
        return self._messages[number][0]

    def real(self, certificate: Certificate) -> list[Any]:
        """The messages of a certificate, each by another operator."""
        left = [iter(members) for members in self.groups]
        found = []
        for number in certificate:
            group, sent = self._messages[number]
            found.append(sent[next(left[group])])
        return found

    def number(self, message: Message, group: int | None = None) -> int:
        """The number of a message that was sent before, by an instance of this group."""
        form = self._form(message, message.head.sender)
        groups = range(len(self.groups)) if group is None else (group,)
        return next(
            self._message_ids[each, form]
            for each in groups
            if message.head.sender in self.groups[each] and (each, form) in self._message_ids
        )

    @functools.cache  # noqa: B019 - an Instances lives as long as one search
    def _opened(self, number: int, name: str) -> Open:
        """A round that its operator opened. Hostile hosts open whatever they like."""
        pair = keys(self.scope.n)[number % self.scope.n]
        scope = self.scope
        head = Epochs(scope, number % scope.n).head(TIP)
        return Open(head, number, self.rivals[name].family).signed(pair)

    def __hash__(self) -> int:
        return id(self)

    def _run(self, state: int, request: Request) -> tuple[int, Answer]:
        group, members = self._states[state]
        after: dict[int, Acceptor] = {}
        answers: dict[int, Any] = {}
        for index, acceptor in members.items():
            after[index] = fork(acceptor)
            try:
                answers[index] = self.ask(after[index], request, self.real)
            except Refused as exc:
                answers[index] = exc.rule
        following = self._intern(group, after)
        said = {self._answer(answer) for answer in self._sent(group, answers)}
        assert len(said) == 1, f"operators answer {request} differently: {said}"
        return following, said.pop()

    def ask(
        self,
        acceptor: Acceptor,
        request: Request,
        real: Callable[[Certificate], Sequence[Any]],
    ) -> Any:
        """Put a request to an acceptor; `real` gives the messages of a certificate."""
        match request:
            case ("vote", name):
                return acceptor.vote(self.rivals[name], TIP)
            case ("promise", number, name, *shown):
                opened = self._opened(number, name)
                evidence = [m for each in shown for m in real(each)]
                return acceptor.promise(opened, self.rivals[name], TIP, evidence)
            case ("ballot", name, certificate):
                return acceptor.ballot(real(certificate), self.rivals[name], TIP)
            case ("decide", name, certificate):
                return acceptor.decide(real(certificate), self.rivals[name])
            case ("hello", epoch):
                return acceptor.hello(epoch, TIP)
            case ("grant", hello):
                granted = acceptor.grant(real((hello,))[0], TIP)
                self._pages.update({page_hash(page): page for page in granted.pages})
                return granted.grant
            case ("recover", certificate):
                grants = real(certificate)
                pages = {name: self._pages[name] for grant in grants for name in grant.pages}
                return f"recovered, {len(acceptor.recover(grants, list(pages.values())))} lack"
        raise AssertionError(f"no such request: {request}")

    def _intern(self, group: int, members: dict[int, Acceptor]) -> int:
        forms = {(group, self._form(acceptor, index)) for index, acceptor in members.items()}
        assert len(forms) == 1, "operators of one group are in different states"
        form = forms.pop()
        if form not in self._ids:
            self._ids[form] = len(self._states)
            self._states.append((group, members))
        return self._ids[form]

    def _sent(self, group: int, answers: dict[int, Any]) -> Iterator[Any]:
        """The answers; messages among them are numbered."""
        if not any(isinstance(answer, Message) for answer in answers.values()):
            yield from answers.values()
            return
        forms = {(group, self._form(message, index)) for index, message in answers.items()}
        assert len(forms) == 1, "operators of one group send different messages"
        form = forms.pop()
        if form not in self._message_ids:
            self._message_ids[form] = len(self._messages)
            self._messages.append((group, answers))
        yield self._message_ids[form]

    def _answer(self, answer: Any) -> Answer:
        match answer:
            case Standing():
                decision = tuple(sorted(self.number(vote) for vote in answer.decision))
                name = self._names.get(answer.family, "")
                return Stood(answer.rule, answer.promised, name, decision)
            case Decision():
                return "decided"
        assert isinstance(answer, (int, str)), answer
        return answer

    def _form(self, value: Any, me: int) -> Any:
        """A value without who I am: equal for operators that differ in nothing else."""
        if value is None or type(value) in (int, bool, str):
            return value
        match value:
            case Head():
                return self._epochs(value.v, value.sender)
            case Message():
                if value not in self._forms:
                    names = [name for name in parts(type(value)) or () if name not in WHO]
                    body = [self._form(getattr(value, name), value.head.sender) for name in names]
                    self._forms[value] = (value.KIND, *body)
                return self._forms[value]
            case OutPoint() | bytes():
                return self._names.get(value, value)
            case Proposal():
                return self._names[value.family]
            case tuple() if value and isinstance(value[0], Vote):
                # Which votes it keeps of a decision changes nothing: no rule looks into them.
                return ("decision", value[0].round, self._names[value[0].family])
            case tuple() | list():
                return tuple([self._form(item, me) for item in value])
            case dict():
                return frozenset(
                    (self._form(key, me), self._form(item, me)) for key, item in value.items()
                )
            case _ if (names := parts(type(value))) is not None:
                form = [self._form(getattr(value, name), me) for name in names if name not in WHO]
                return (*form, value.floor) if isinstance(value, Epochs) else tuple(form)
        return value

    def _epochs(self, v: Sequence[int], me: int) -> tuple[int, ...]:
        """V as it looks to its sender: the own epoch, then what is known of each group."""
        seen = [sorted({v[i] for i in members if i != me}) for members in self.groups]
        assert all(len(each) <= 1 for each in seen), "two of one group have different epochs"
        return (v[me], *(each[0] if each else 0 for each in seen))
