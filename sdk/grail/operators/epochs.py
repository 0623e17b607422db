"""Which instance of each operator is the newest (ROUNDS.md, rules 6 and 7).

A restart, a rollback, a clone, a replica that takes over: all are a new instance that remembers
nothing, so all are treated alike. It asks the other operators for an epoch. Each that grants it
will know of no older instance from then on, and its messages say so in V. An old instance's
messages so fall out of every certificate, whether it is dead, paused or unaware.

An epoch of another operator is believed only on that operator's own signed word, its Hello. What
one says about itself harms itself alone; what it says about others counts for nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from grail.crypto.schnorr import KeyPair
from grail.errors import DecodeError, Refused, SignatureInvalid
from grail.operators.certificates import consistent
from grail.operators.grants import MAX_EPOCH, Grant, Hello, Page, page_hash
from grail.operators.messages import FIRST_EPOCH, BestHeader, Head, Scope
from grail.types import XOnlyKey

NO_EPOCH = 0
"""The epoch of an instance that was granted none yet."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The last grant to an operator, and the pages that it names."""

    hello: Hello
    grant: Grant
    pages: tuple[bytes, ...] = field(repr=False)


@dataclass
class Epochs:
    """The epochs as one instance knows them.

    `epoch` is its own, `replaced` the highest one that a newer instance of its operator was seen to
    have or ask for. `hellos` is the own word of each operator whose epoch is not the first one.
    """

    scope: Scope
    index: int
    epoch: int = FIRST_EPOCH
    instance: XOnlyKey = field(default_factory=lambda: KeyPair.generate().public)
    draw: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)
    replaced: int = NO_EPOCH
    hello: Hello | None = None
    hellos: dict[int, Hello] = field(default_factory=dict, repr=False)
    granted: dict[int, Granted] = field(default_factory=dict, repr=False)
    pages: dict[bytes, Page] = field(default_factory=dict, repr=False)

    @property
    def recovered(self) -> bool:
        """Whether it may vote, promise, open and grant: it has an epoch and knows no newer one."""
        return self.replaced <= self.epoch != NO_EPOCH

    @property
    def v(self) -> tuple[int, ...]:
        """The highest epoch seen of each operator, its own at its own place."""
        seen = [FIRST_EPOCH] * self.scope.n
        for operator, hello in self.hellos.items():
            seen[operator] = hello.epoch
        seen[self.index] = max(self.epoch, FIRST_EPOCH)
        return tuple(seen)

    def head(self, best: BestHeader) -> Head:
        """The head of a message that this instance signs now."""
        scope = self.scope
        return Head(scope.network, scope.roster, scope.configuration, self.index, self.v, best)

    def check_recovered(self) -> None:
        """Raise `Refused` NotRecovered unless this instance may vote."""
        if self.recovered:
            return
        newer = self.epoch != NO_EPOCH
        raise Refused(
            "NotRecovered",
            "a newer instance of this operator was seen"
            if newer
            else "this instance has not asked the other operators yet what it had promised",
            got=f"epoch {self.epoch}" if newer else "no epoch",
            expected=f"{self.scope.recovery} grants of an epoch above {self.floor}",
        )

    @property
    def floor(self) -> int:
        """The highest epoch that an instance of this operator is known to have had."""
        return max(self.epoch, self.replaced, FIRST_EPOCH)

    def check_hello(self, hello: Hello) -> Granted | None:
        """What this very Hello was granted before, if it was; else it must ask for a new epoch.

        Raises `Refused` HelloInvalid, or EpochTaken, which expects the least epoch that is new
        here: a number, to be asked for next.
        """
        try:
            hello.verify(self.scope)
        except SignatureInvalid as exc:
            raise Refused("HelloInvalid", str(exc)) from exc
        granted = self.granted.get(hello.head.sender)
        if granted is not None and granted.hello.same(hello):
            return granted
        known = self.v[hello.head.sender]
        if hello.epoch <= known:
            raise Refused(
                "EpochTaken",
                f"an instance of operator {hello.head.sender} has asked for that epoch or a higher",
                got=str(hello.epoch),
                expected=str(known + 1),
            )
        return None

    def ask(self, epoch: int, best: BestHeader, key: KeyPair) -> Hello:
        """The Hello for this epoch; the same one when it is asked for again."""
        if self.recovered:
            raise Refused("NotReplaced", "this instance is its operator's newest", got=str(epoch))
        if not self.floor < epoch <= MAX_EPOCH:
            raise Refused(
                "EpochTaken",
                "an instance of this operator had that epoch",
                got=str(epoch),
                expected=f"{self.floor + 1} to {MAX_EPOCH}",
            )
        if self.hello is None or self.hello.epoch != epoch:
            v = tuple(epoch if i == self.index else e for i, e in enumerate(self.v))
            head = replace(self.head(best), v=v)
            hello = Hello(head, epoch, self.instance, self.draw(32))
            self.hello = hello.signed(key)
            self.pages = {}
        return self.hello

    def granting(
        self, hello: Hello, pages: tuple[bytes, ...], best: BestHeader, key: KeyPair
    ) -> Granted:
        """Sign the grant, which shows this Hello and every other one that V rests on."""
        seen = tuple(known for _, known in sorted(self.hellos.items()))
        grant = Grant(
            self.head(best),
            hello.head.sender,
            hello.epoch,
            hello.instance,
            hello.nonce,
            tuple(page_hash(page) for page in pages),
            seen,
        ).signed(key)
        granted = Granted(hello, grant, pages)
        self.granted[hello.head.sender] = granted
        return granted

    def superseded(self, hello: Hello) -> None:
        """Take note of another instance of this operator. Raises `Refused` HelloInvalid."""
        try:
            hello.verify(self.scope)
        except SignatureInvalid as exc:
            raise Refused("HelloInvalid", str(exc)) from exc
        if hello.head.sender != self.index:
            raise Refused("HelloInvalid", "another operator's instance replaces nothing here")
        if hello.instance != self.instance:
            self.seen_self(hello.epoch)

    def note(self, hello: Hello) -> None:
        """Raise V by an operator's own word, which was verified."""
        known = self.hellos.get(hello.head.sender)
        if known is None or known.epoch < hello.epoch:
            self.hellos[hello.head.sender] = hello

    def seen_self(self, epoch: int) -> None:
        """An instance of this operator has that epoch, or asks for it: by its own signed word."""
        self.replaced = max(self.replaced, epoch)

    def check_grants(self, grants: Sequence[Grant]) -> Hello:
        """The own question, when these grants answer it. Raises `Refused` NotGranted."""
        hello, scope = self.hello, self.scope
        if hello is None:
            raise Refused("NotGranted", "this instance has asked for no epoch")
        if hello.epoch <= self.replaced:
            raise Refused(
                "NotGranted",
                "a newer instance of this operator was seen since",
                got=f"epoch {hello.epoch}",
                expected=f"an epoch above {self.replaced}",
            )
        senders = [grant.head.sender for grant in grants]
        if len(set(senders)) != len(senders) or self.index in senders:
            raise Refused(
                "NotGranted",
                "an operator's grant is there twice, or its own",
                got=f"operators {sorted(senders)}",
                expected=f"{scope.recovery} different others",
            )
        if len(senders) < scope.recovery:
            raise Refused(
                "NotGranted",
                "too few grants",
                got=f"{len(senders)} grants",
                expected=f"{scope.recovery} grants",
            )
        for grant in grants:
            if not grant.answers(hello):
                raise Refused(
                    "NotGranted",
                    f"the grant of operator {grant.head.sender} is for another question",
                    got=f"epoch {grant.epoch} for {grant.instance}",
                    expected=f"epoch {hello.epoch} for {hello.instance}",
                )
            try:
                grant.verify(scope)
            except SignatureInvalid as exc:
                raise Refused(
                    "NotGranted", f"operator {grant.head.sender}'s does not verify: {exc}"
                ) from exc
        if not consistent(grants):
            raise Refused(
                "NotGranted",
                "the grants are inconsistent: one who granted knows a newer instance of another",
                got="an instance that was replaced",
                expected="newest instances",
            )
        return hello

    def bring(self, grants: Sequence[Grant], raws: Sequence[bytes]) -> tuple[bytes, ...]:
        """Take in pages of these grants; the hashes of those still missing come back.

        Raises `Refused` NotGranted for a page that no grant names, or that cannot be read.
        """
        needed = dict.fromkeys(name for grant in grants for name in grant.pages)
        brought: dict[bytes, Page] = {}
        for raw in raws:
            name = page_hash(raw)
            if name not in needed:
                raise Refused("NotGranted", "a page that no grant names", got=name.hex())
            try:
                brought[name] = Page.parse(raw)
            except DecodeError as exc:
                raise Refused("NotGranted", f"page {name.hex()}: {exc}") from exc
        self.pages.update(brought)
        return tuple(name for name in needed if name not in self.pages)

    def begin(self, hello: Hello, grants: Sequence[Grant]) -> None:
        """Be the newest instance of the operator from now on; what it knew of others stays."""
        self.epoch = hello.epoch
        self.granted = {}
        self.pages = {}
        for known in (hello, *(seen for grant in grants for seen in grant.seen)):
            self.note(known)

    def state(self) -> list[object]:
        """All that matters for rules 6 and 7, ready for CBOR."""
        return [
            self.epoch,
            self.replaced,
            bytes(self.instance),
            None if self.hello is None else [self.hello.epoch, self.hello.nonce],
            [[operator, hello.epoch] for operator, hello in sorted(self.hellos.items())],
            [[operator, each.hello.nonce] for operator, each in sorted(self.granted.items())],
            sorted(self.pages),
        ]
