"""One roster follows another on a running network: operators come, others may leave.

New operators start like the first ones and learn the record from the chain. Every member of the
next roster vouches for it, every operator of the old one tells his enclave that he agrees, the old
quorum signs the spell, and k blocks later the next roster rules. Then what is guarded moves along.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio

from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import Node
from grail.bridge.roster import MOVES, batches
from grail.connection.display import Shown
from grail.connection.receipt import Receipt
from grail.connection.rosters import Books, books, left_behind, move_all, publish_roster
from grail.connection.session import Session
from grail.crypto.schnorr import NUMS
from grail.errors import DecodeError, InvalidInput, Unavailable
from grail.folders import write_private
from grail.network_file import NetworkFile, Operator
from grail.operators.attesting import Image
from grail.operators.configuration import Configuration
from grail.operators.frames import (
    NEXT_ROSTER_AGREE,
    NEXT_ROSTER_SIGN,
    ROSTER_EXPECT,
    ROSTER_SAY,
    ROSTER_VIEW,
    STATUS,
    Frame,
    Status,
)
from grail.operators.link_frames import images_frame
from grail.operators.roster import NextRoster, next_roster_fields
from grail.operators.transport import NOBODY, Host, HttpTransport
from grail.roster.shown import RosterShown
from grail.roster.state import RosterState, Seat
from grail.roster.succession import following
from grail.types import XOnlyKey
from grail.wallet.account import Account
from grail_devnet import genesis, regtest
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.faucet import Faucet
from grail_devnet.launcher import NAME as NSM
from grail_devnet.launcher import Launcher
from grail_devnet.processes import ProcessBackend
from grail_devnet.startup import READY_SECONDS, Plan, Progress, Started
from grail_devnet.state import StateFolder

FOLLOW_SECONDS = 90.0
"""For every operator's host to find a spend of the Grail NFT and show it; some seconds each."""

JOIN_SECONDS = 150.0
"""For operators to start, to take the record from the chain, and to link with all others."""

PAYER = "roster-change.json"
"""The account in the state folder that pays for changes."""

PAUSE = 0.2

COIN = 250_000
"""Sats for one transaction of a change: a move of 40 outputs takes some 36,000."""


@dataclass(frozen=True, repr=False)
class RosterChanged(Shown):
    """What a roster change did: the spell, the moves, and the books before and after.

    `left` are the operators that are in the new roster no more; they serve deposits to their old
    addresses until they are retired.
    """

    epoch: int
    spell: Receipt
    moves: tuple[Receipt, ...]
    joined: tuple[str, ...]
    left: tuple[str, ...]
    before: Books
    after: Books

    @property
    def difference(self) -> int:
        """Sats that the operators guard, and units outside: what differs from before."""
        return sum(abs(after - before) for _, before, after in self.lines[:3])

    @property
    def lines(self) -> tuple[tuple[str, int, int], ...]:
        """What is counted, before and after."""
        before, after = self.before, self.after
        return (
            ("zkBTC outside", before.supply, after.supply),
            ("sats in the vault", before.vault, after.vault),
            ("sats under apps", _port_sats(before), _port_sats(after)),
            ("of them at older addresses", before.old, after.old),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "epoch": self.epoch,
            "joined": list(self.joined),
            "left": list(self.left),
            "spell": self.spell.as_dict(),
            "moves": [move.as_dict() for move in self.moves],
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "difference": self.difference,
        }

    @property
    def title(self) -> str:
        """Who came, who went, and in how many transactions what was guarded moved."""
        went = [
            f"{' '.join(names)} {what}"
            for what, names in (("joined", self.joined), ("left", self.left))
            if names
        ]
        changes = ", ".join(went) or "the same operators"
        moves = "1 move" if len(self.moves) == 1 else f"{len(self.moves)} moves"
        return f"roster of epoch {self.epoch}: {changes}, {moves}"

    def _title(self) -> str:
        return self.title

    def _head(self) -> Sequence[str]:
        return ("", "before", "after")

    def _rows(self) -> Sequence[tuple[str, int, int]]:
        return self.lines


def _port_sats(books: Books) -> int:
    return sum(shelf.port_sats for shelf in books.shelves)


@dataclass
class RosterChange:
    """A change of roster under way on the network of this process."""

    file: NetworkFile
    folder: StateFolder
    backend: ProcessBackend
    node: Node
    configuration: Configuration
    progress: Progress

    async def check(self, remove: Collection[str], add: int, quorum: int | None) -> None:
        """Refuse what can be no next roster before anybody is started for it.

        Raises `InvalidInput`.
        """
        state = await self._agreed()
        keys = {operator.name: operator.key for operator in self.file.operators}
        if not remove and not add and quorum is None:
            raise InvalidInput("nothing would change", hint="remove, add, or another quorum")
        if strangers := sorted(set(remove) - set(keys)):
            raise InvalidInput(
                f"no operator is called {strangers[0][:60]!r}", hint=", ".join(sorted(keys))
            )
        if gone := sorted(name for name in remove if keys[name] not in state.keys):
            raise InvalidInput(f"{gone[0]} is in the roster no more", hint="retire ends it")
        attesting = self.configuration.attesting
        churn = 0 if attesting is None else attesting.churn
        for what, count in (("come", add), ("go", len(set(remove)))):
            if count < 0 or (churn and count > churn):
                raise InvalidInput(f"{count} {what} in one step", hint=f"0 to {churn or 'any'}")
        size, signs = len(state.keys) + add - len(set(remove)), quorum or state.quorum
        if not 2 * size < 3 * signs <= 3 * size:
            raise InvalidInput(
                f"quorum {signs} of {size} operators",
                hint=f"more than two thirds must sign: {2 * size // 3 + 1} to {size}",
            )

    async def check_left(self, names: Collection[str]) -> None:
        """Refuse to end who is in the newest roster. Raises `InvalidInput`."""
        state = await self._agreed()
        seated = sorted(o.name for o in self.file.operators if o.key in state.keys)
        if both := [name for name in seated if name in names]:
            raise InvalidInput(f"{both[0]} is in the roster", hint="a change removes it first")

    async def join(self, count: int, bundle: Path) -> NetworkFile:
        """Start fresh operators; on return each has the record as the chain tells it."""
        taken = sorted(self.file.operators, key=lambda operator: operator.name)
        numbers = [int(operator.name.rpartition("-")[2]) for operator in taken]
        first = max(numbers)
        ports = regtest.free_ports(count)
        urls = {number: o.url for number, o in zip(numbers, taken, strict=True)}
        urls |= {first + 1 + at: f"http://127.0.0.1:{port}" for at, port in enumerate(ports)}
        # A retired operator's number stays empty: nobody listens there.
        hosts = [
            Host(urls.get(number, NOBODY.url), self.file.token)
            for number in range(1, first + count + 1)
        ]
        started = Started(Plan(first + count), self.folder, self.backend, self.progress)
        started.token = self.file.token
        which = range(first, first + count)
        launcher = Launcher.resume(self.folder)
        names = [genesis.operator_name(index) for index in which]
        self.backend.start(f"{NSM}-{first + 1}", {NSM: launcher.modules(names)})
        await started.start_operators(self.node, hosts, which, launcher, (bundle,))
        found = []
        async with HttpTransport(hosts, timeout=READY_SECONDS) as transport:
            deadline = time.monotonic() + READY_SECONDS
            for index in which:
                status = await started.wait_for(transport, index, deadline)
                name = genesis.operator_name(index)
                url = hosts[index].url
                found.append(Operator(name, status.key, url, self.folder.socket(name)))
                self.progress(f"{name} has begun")
        self.file = self._with((*self.file.operators, *found))
        await self._believe(found)
        await self._expect(found)
        await self.until(found, lambda status: status.epoch is not None, "the record")
        return self.file

    async def _believe(self, newcomers: Sequence[Operator]) -> None:
        """Tell newcomers which builds the members may run: the chain does not say."""
        sockets = SocketTransport([operator.socket for operator in newcomers])
        frame = images_frame((await self._agreed()).images)
        await genesis.ask_all(sockets, len(newcomers), frame)

    async def accept(self, image: Image) -> RosterState:
        """Have the quorum accept one more build beside those of now: the state that says so.

        Raises `Unavailable` where no quorum of the operators does so.
        """
        last, guilty = await self._known()
        images = tuple(sorted({*last.images, image}))
        if images == last.images:
            return last
        members = self._up(set(last.keys) - guilty)
        sockets = SocketTransport([operator.socket for operator in members])
        await genesis.ask_all(sockets, len(members), images_frame(images))
        self.progress("a quorum for the build")
        await genesis.until_shown(
            sockets,
            len(members),
            lambda shown: shown.state is not None and shown.state.images == images,
            "shown a state with the build",
        )
        return await self._agreed()

    async def _expect(self, newcomers: Sequence[Operator]) -> None:
        """Have every member's enclave link with the newcomers, once it has seen their documents.

        Whoever left with an earlier roster and still serves its addresses is a stranger to links.
        """
        state, guilty = await self._known()
        alive = self._up({*state.keys, *(each.key for each in newcomers)} - guilty)
        sockets = SocketTransport([operator.socket for operator in alive])
        keys = [bytes(operator.key) for operator in newcomers]
        await genesis.ask_all(sockets, len(alive), Frame(ROSTER_EXPECT, keys))
        self.progress("links with the newcomers")
        least = len(alive) - 1
        await genesis.until_shown(
            sockets, len(alive), lambda shown: shown.links >= least, "linked with all others"
        )

    async def _agreed(self) -> RosterState:
        """The newest state of the roster that an enclave shows. Raises `Unavailable`."""
        return (await self._known())[0]

    async def _known(self) -> tuple[RosterState, frozenset[XOnlyKey]]:
        """The newest state of the roster that an enclave shows, and who was expelled.

        Nobody is linked with those, so they help with nothing. Raises `Unavailable`.
        """
        alive = [operator for operator in self.file.operators if self._alive(operator)]
        sockets = SocketTransport([operator.socket for operator in alive])
        answers = await genesis.ask_all(sockets, len(alive), Frame(ROSTER_VIEW))
        shown = [RosterShown.from_fields(answer) for answer in answers]
        states = [each.state for each in shown if each.state]
        if not states:
            raise Unavailable("no operator shows a state of the roster")
        guilty = frozenset(key for each in shown for key in each.guilty)
        return max(states, key=lambda state: state.number), guilty

    async def say(self, before: Roster, roster: Roster, joined: Sequence[Operator]) -> None:
        """The members of the old roster agree on the state that the chain settled."""
        last, guilty = await self._known()
        seats = {seat.key: seat for seat in last.seats}
        for at, operator in enumerate(joined):
            zone = f"zone-{'abcd'[at % 4]}"
            seats[operator.key] = Seat(
                operator.key, operator.name, f"account-{operator.name}", zone
            )
        state = following(
            last,
            self.configuration.network.id,
            epoch=roster.epoch,
            seats=tuple(seats[key] for key in roster.keys),
            quorum=roster.quorum,
            internal_key=roster.internal_key,
        )
        old = self._up(set(before.keys) - guilty)
        await genesis.ask_all(
            SocketTransport([operator.socket for operator in old]),
            len(old),
            Frame(ROSTER_SAY, state.serialize()),
        )
        members = self._up(set(roster.keys) - guilty)
        await genesis.until_shown(
            SocketTransport([operator.socket for operator in members]),
            len(members),
            lambda shown: (
                shown.state is not None
                and shown.state.roster == roster
                and genesis.all_alive(shown, len(members))
            ),
            f"in step with state {state.number}",
        )

    def without(self, names: Collection[str]) -> NetworkFile:
        """The network's file, and the hosts' peers, without these operators."""
        self.file = self._with([o for o in self.file.operators if o.name not in names])
        return self.file

    def _with(self, operators: Sequence[Operator]) -> NetworkFile:
        """The file with these operators, saved, and all hosts told of each other."""
        file = replace(self.file, operators=tuple(sorted(operators, key=lambda o: o.key)))
        file.save()
        peers = [{"url": o.url, "token": file.token} for o in file.operators]
        for operator in file.operators:
            path = self.folder.host(operator.name)
            body = json.loads(path.read_text()) | {"peers": peers}
            write_private(path, json.dumps(body, indent=1).encode())
        return file

    async def agree(self, session: Session, members: Sequence[Operator], quorum: int) -> Roster:
        """The next roster: its members vouched for it, and the operators of the old one agreed."""
        before = session.context().roster
        keys = tuple(sorted(member.key for member in members))
        roster = Roster(before.epoch + 1, keys, quorum, NUMS)
        sockets = SocketTransport([member.socket for member in members])
        frame = Frame(NEXT_ROSTER_SIGN, next_roster_fields(roster))
        signed: dict[XOnlyKey, bytes] = {}
        answers = await genesis.ask_all(sockets, len(members), frame)
        for member, answer in zip(members, answers, strict=True):
            if not isinstance(answer, bytes):
                raise DecodeError(f"{member.name}: the answer is no signature")
            signed[member.key] = answer
        following = NextRoster.gathered(roster, signed)
        _, guilty = await self._known()
        old = self._up(set(before.keys) - guilty)
        await genesis.ask_all(
            SocketTransport([o.socket for o in old]),
            len(old),
            Frame(NEXT_ROSTER_AGREE, following.fields()),
        )
        return roster

    def _payer(self, session: Session) -> Account:
        """Who pays for the change: a key of its own, since the faucet's coins are too old.

        An enclave knows of no block before its first header, and of none that mined those.
        """
        path, chain = self.folder.path / PAYER, session.network.chain
        return Account.load(path, chain) if path.exists() else Account.create(path, chain)

    async def _fund(self, payer: Account, coins: int) -> None:
        """A confirmed coin for each transaction that is to come."""
        reserved = self.configuration.network.grail_outpoint
        faucet = Faucet.open(self.node, self.folder.path, reserved)
        await faucet.pay([(payer.address, COIN)] * coins)

    def _up(self, keys: Collection[XOnlyKey]) -> list[Operator]:
        """The operators with these keys whose enclaves run."""
        return [o for o in self.file.operators if o.key in keys and self._alive(o)]

    def _alive(self, operator: Operator) -> bool:
        name = f"{operator.name}/enclave"
        return any(each.name == name and each.alive for each in self.backend.processes())

    async def until(
        self, operators: Sequence[Operator], done: Callable[[Status], bool], what: str
    ) -> None:
        """Wait until each of these enclaves says so. Raises `Unavailable`."""
        sockets = SocketTransport([operator.socket for operator in operators])
        deadline = time.monotonic() + FOLLOW_SECONDS
        for index, operator in enumerate(operators):
            while True:
                reply = await sockets.ask(index, Frame(STATUS))
                if done(Status.from_fields(reply.unwrap())):
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(f"{operator.name} has not got {what} in {FOLLOW_SECONDS} s")
                await anyio.sleep(PAUSE)

    async def run(
        self,
        remove: Collection[str],
        quorum: int | None,
        before: Collection[str],
        most: int = MOVES,
    ) -> RosterChanged:
        """What is to be done once all are there: who is not in `before` has joined for it."""
        session = await Session.open(self.file)
        try:
            return await self._change(session, remove, quorum, before, most)
        finally:
            await session.close()

    async def _change(
        self,
        session: Session,
        remove: Collection[str],
        quorum: int | None,
        names: Collection[str],
        most: int,
    ) -> RosterChanged:
        ruling, payer = session.context().roster, self._payer(session)
        joined = [o for o in self.file.operators if o.name not in names]
        stay = [
            o for o in self.file.operators if o.key in ruling.keys and o.name not in set(remove)
        ]
        members = [*stay, *joined]
        before = await books(session)
        roster = await self.agree(session, members, quorum or ruling.quorum)
        self.progress(f"roster of epoch {roster.epoch}")
        await self._fund(payer, 1)
        spell = await publish_roster(session, payer, roster)
        await session.mine(session.network.k)
        self.progress(f"the spell is {session.network.k} blocks deep")
        alive = [o for o in self.file.operators if self._alive(o)]
        await self.until(
            alive, lambda status: (status.epoch or 0) >= roster.epoch, f"epoch {roster.epoch}"
        )
        self.progress("the operators' words for it")
        await self.say(ruling, roster, joined)
        moves: list[Receipt] = []
        while left := left_behind(session):
            await self._fund(payer, len(batches(left, most)))
            moves += await move_all(session, payer, most)
            await session.mine()
            self.progress(f"{len(left_behind(session))} outputs to move")
        after = await books(session)
        return RosterChanged(
            roster.epoch,
            spell,
            tuple(moves),
            tuple(o.name for o in joined),
            tuple(sorted(o.name for o in self.file.operators if o not in members)),
            before,
            after,
        )
