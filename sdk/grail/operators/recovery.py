"""Brings a new instance's Hello to the other operators and their grants back (ROUNDS.md, rule 6).

The carrier is an operator's own host, and trusted with nothing: what it drops or delays keeps its
own enclave from voting, and what it invents is refused there. Bodies come after the grants: the
instance may vote by then, and serves what it took over once it has them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio

from grail.errors import DecodeError, GrailError, Refused, SignatureInvalid, Unavailable
from grail.operators import frames
from grail.operators.asking import Operators
from grail.operators.certificates import consistent_subset
from grail.operators.frames import Frame, Instance, Reply, Status
from grail.operators.grants import MAX_EPOCH, Grant, Hello, Page, page_hash
from grail.operators.messages import Family, Standing
from grail.types import OutPoint

Own = Callable[[Frame], Awaitable[Reply]]
"""Asks the own enclave."""

Restored = Callable[[Standing], Awaitable[None]]
"""Hears of each transaction that the own enclave took back."""

ASKS = 8
"""Epochs that are asked for before a carrier gives up; the second one is known to be free."""

PAGES = 8
"""Pages brought to the own enclave in one frame."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """An instance that may vote again: its epoch, who granted it, and what could not be found.

    `left_out` granted too, but their V and others' contradict each other: an instance that was
    replaced, or a liar. `lacking` are families of which nobody gave the body or the decision.
    """

    epoch: int
    grantors: tuple[int, ...]
    left_out: tuple[int, ...] = ()
    lacking: tuple[Family, ...] = ()


async def recover(
    own: Own, operators: Operators, index: int, restored: Restored | None = None
) -> Recovered:
    """Make the own enclave, operator `index`, its operator's newest instance.

    Raises `QuorumNotReached` when too few others grant it an epoch, `Refused` when the own enclave
    needs none or refuses what the others sent.
    """
    carrier = _Carrier(own, operators, index)
    roster = operators.scope.roster
    epoch = (await _instance(own, roster)).floor + 1
    for _ in range(ASKS):
        hello = Hello.parse((await own(frames.hello_frame(epoch, roster))).blob())
        found = await carrier.gather(hello)
        while found is not None and not await carrier.bring(hello, found):
            found = carrier.chosen()
        if found is not None:
            await carrier.stop_older(hello)
            lacking = await restore(own, operators, index, restored)
            left_out = tuple(sorted(carrier.granted.keys() - found.keys()))
            return Recovered(epoch, tuple(sorted(found)), left_out, lacking)
        following = carrier.next_epoch(epoch)
        if following is None:
            break
        epoch = following
    good = len(carrier.granted)
    if good:
        # Whoever granted counts no older instance any more: that one has to ask again too.
        await carrier.stop_older(hello)
    raise operators.report.failure("granted", good, operators.scope.recovery)


async def restore(
    own: Own, operators: Operators, index: int, restored: Restored | None = None
) -> tuple[Family, ...]:
    """Bring the own enclave the bodies and decisions that it lacks; those not found come back.

    What it refuses is looked for elsewhere: a body is as good as who serves it.
    """
    tried: set[Family] = set()
    while True:
        lacking = (await _instance(own, operators.scope.roster)).lacking
        new = [family for family in lacking if family not in tried]
        if not new:
            return lacking
        for family in new:
            tried.add(family)
            told = await _restore_one(own, operators, index, family)
            if told is not None and restored is not None:
                await restored(told)


async def _restore_one(
    own: Own, operators: Operators, index: int, family: Family
) -> Standing | None:
    """What the own enclave took in of a family: with a decision, if anybody has one."""
    taken: Standing | None = None
    for operator in range(operators.scope.n):
        if operator == index:
            continue
        try:
            reply = await _ask(operators, operator, frames.body_frame(family))
            if reply.refusal is not None or reply.body is None:
                continue
            told = Standing.from_fields(reply.body)
            (await own(frames.restore_frame(told.decision, told.body))).unwrap()
        except GrailError:
            continue  # another one may serve it better
        taken = told
        if told.decision:
            break
    return taken


@dataclass
class _Carrier:
    """What one carrier was told so far."""

    own: Own
    operators: Operators
    index: int
    granted: dict[int, Grant] = field(default_factory=dict)
    least: dict[int, int] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)

    @property
    def _enough(self) -> int:
        return self.operators.scope.recovery

    def _others(self) -> list[int]:
        n = self.operators.scope.n
        return [o for o in range(n) if o != self.index and o not in self.failed]

    def chosen(self) -> dict[int, Grant] | None:
        """The most of the grants that are consistent, when they are enough."""
        kept = {o: grant for o, grant in self.granted.items() if o not in self.failed}
        return consistent_subset(kept, self._enough)

    async def gather(self, hello: Hello) -> dict[int, Grant] | None:
        """Ask all others; enough grants that agree, and those of late ones that still come."""
        self.granted, self.least = {}, {}

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                grant = Grant.parse(reply.blob())
                grant.verify(self.operators.scope)
                if grant.head.sender != operator or not grant.answers(hello):
                    raise SignatureInvalid("grant: another's, or of another question")
                self.granted[operator] = grant
            elif reply.refusal.rule == "EpochTaken" and reply.refusal.expected.isdecimal():
                self.least[operator] = int(reply.refusal.expected[:12])
            return False

        def waiting() -> bool:
            return self.chosen() is None

        frame = frames.grant_frame(hello)
        await self.operators.ask("granted", frame, heard, self._others(), patient=waiting)
        return self.chosen()

    def next_epoch(self, epoch: int) -> int | None:
        """The lowest epoch that enough of those who answered may grant; a liar's word is one."""
        least = [epoch + 1] * len(self.granted) + list(self.least.values())
        if len(least) < self._enough:
            return None
        following = max(sorted(least)[self._enough - 1], epoch + 1)
        return following if following <= MAX_EPOCH else None

    async def bring(self, hello: Hello, found: dict[int, Grant]) -> bool:
        """Hand the grants over with all that they name; False when one does not give its own."""
        grants = [found[operator] for operator in sorted(found)]
        missing = await self._recover(grants, ())
        if not missing:
            return True
        pages = await self._pages(hello, found, missing)
        if self.failed & found.keys():
            return False
        for at in range(0, len(pages), PAGES):
            missing = await self._recover(grants, pages[at : at + PAGES])
        if missing:
            raise Unavailable("the own enclave asks for pages that it was given")
        return True

    async def _recover(self, grants: list[Grant], pages: Iterable[bytes]) -> list[bytes]:
        body = (await self.own(frames.recover_frame(grants, list(pages)))).unwrap()
        if not isinstance(body, list) or not all(type(name) is bytes for name in body):
            raise DecodeError("recover: expected a list of hashes")
        return body

    async def _pages(
        self, hello: Hello, found: dict[int, Grant], missing: list[bytes]
    ) -> list[bytes]:
        """The missing pages, as far as those who named them give them; who does not, is out."""
        wanted, got = set(missing), dict[bytes, bytes]()

        async def fetch(operator: int, grant: Grant) -> None:
            for number, name in enumerate(grant.pages):
                if name not in wanted or name in got:
                    continue
                try:
                    reply = await _ask(self.operators, operator, frames.grant_frame(hello, number))
                    raw = reply.blob()
                    if page_hash(raw) != name:
                        raise SignatureInvalid("a page that was not granted")
                    Page.parse(raw)
                except GrailError:
                    self.failed.add(operator)
                    return
                got[name] = raw

        async with anyio.create_task_group() as group:
            for operator, grant in found.items():
                group.start_soon(fetch, operator, grant)
        return list(got.values())

    async def stop_older(self, hello: Hello) -> None:
        """Show the Hello to whoever answers for this operator now: an older instance stops."""
        try:
            await _ask(self.operators, self.index, frames.grant_frame(hello))
        except GrailError:
            return  # it is gone, or cut off: what it sends counts no more either way


async def _ask(operators: Operators, operator: int, frame: Frame) -> Reply:
    try:
        with anyio.fail_after(operators.limits.answer):
            return await operators.transport.ask(operator, frame)
    except TimeoutError as exc:
        raise Unavailable(f"no answer in {operators.limits.answer:g} s") from exc


async def _instance(own: Own, roster: OutPoint) -> Instance:
    """The own enclave's instance as a member of that roster."""
    seats = Status.from_fields((await own(Frame(frames.STATUS))).unwrap()).seats
    found = next((seat.instance for seat in seats if seat.roster == roster), None)
    if found is None:
        raise Refused("ViewStale", "the enclave has no such roster on record")
    return found
