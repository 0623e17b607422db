"""An enclave among its peers: attested links, the roster that all keep in step, signs of life.

Everything that comes in was carried by hosts. The switchboard says who said it, the view takes only
what verifies, and the pulse measures by the own clock how long ago a quorum is known to have lived.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from grail.attestation import pcr
from grail.attestation.attested import MEASURED
from grail.attestation.chain import Root
from grail.attestation.verifier import Measurement, Policy
from grail.bitcoin.addresses import Roster
from grail.crypto.schnorr import KeyPair
from grail.errors import GrailError, Refused
from grail.links.identity import Attestor, Own
from grail.links.link import Terms
from grail.links.switchboard import Switchboard
from grail.operators.attesting import Attesting, Image
from grail.operators.configuration import Configuration
from grail.operators.link_frames import Sealed, Tick
from grail.operators.messages import BestHeader
from grail.roster.gossip import Gossip
from grail.roster.pulse import Pulse
from grail.roster.shown import RosterShown, Sight
from grail.roster.state import RosterState
from grail.roster.statement import Ground, Statement
from grail.roster.succession import SeatPolicy, check_follows
from grail.roster.view import Thing, View
from grail.types import XOnlyKey
from grail_enclave.dates import Dates

MAX_TALKS: Final = 16
"""Exchanges that one tick may begin."""


class Society:
    """What one enclave has to do with the others. `clock` gives seconds that never fall."""

    def __init__(
        self,
        configuration: Configuration,
        attesting: Attesting,
        key: KeyPair,
        module: Attestor,
        clock: Callable[[], float],
    ) -> None:
        self._attesting = attesting
        self._register = pcr.measured(configuration.to_json().encode())
        self._key = key
        self._ground = Ground(configuration.network.id, configuration.digest)
        own = Own(key, module, configuration.network.id, configuration.digest)
        self.dates = Dates(own, self._policy, clock)
        self._board = Switchboard(
            own, Terms(self._policy, self._admit, clock, date=self.dates.take)
        )
        self._seats = SeatPolicy(
            attesting.churn, attesting.per_owner, attesting.per_account, attesting.per_zone
        )
        self._view: View | None = None
        self._pulse = Pulse(self._ground, key.public, clock)
        self._said: dict[int, bytes] = {}
        self._expected: frozenset[XOnlyKey] = frozenset()
        # Which peers to talk to is nobody's secret, but no host may foresee it either.
        self._draw = secrets.SystemRandom()

    # Who is believed.

    def _policy(self) -> Policy:
        agreed = None if self._view is None else self._view.agreed
        images = self._attesting.images if agreed is None else agreed.images
        return policy(self._attesting.root, images, self._register)

    def _admit(self, key: XOnlyKey) -> None:
        """Before a first roster anybody of the right kind; then members alone (threat R18).

        And whom the own operator expects to join: a link gives no word and no vote.
        """
        if self._view is None or (key in self._expected and key not in self._view.guilty):
            return
        self._view.admit(key)

    def expect(self, keys: Iterable[XOnlyKey]) -> None:
        """Let these keys link with this enclave, once they show a document; in place of others."""
        self._expected = frozenset(keys)

    def require(self, keys: Iterable[XOnlyKey]) -> None:
        """Raise `Refused` RosterInvalid unless each of these keys has an attested link here."""
        peers = self._board.peers
        missing = [key for key in keys if key != self._key.public and key not in peers]
        if missing:
            raise Refused(
                "RosterInvalid",
                f"no attested link to {len(missing)} members, among them {missing[0]}",
                got=f"{len(peers)} links",
                expected="one to each other member",
                hint="their hosts dial each other first; a member of another image never gets one",
            )

    # Links, by number; their hosts bring what comes out to the other end.

    def dial(self) -> Sealed:
        """Begin a link."""
        return self._sealed(self._board.dial())

    def answer(self, first: bytes) -> Sealed:
        """The other end of a link that a peer began."""
        return self._sealed(self._board.answer(first))

    def carry(self, number: int, message: bytes) -> list[bytes]:
        """Take a message of a link, and what is to go back on it."""
        said = self._board.carry(number, message)
        if said is not None and self._view is not None:
            try:
                answer = Gossip(self._view, self._pulse).take(said)
                if answer is not None:
                    self._board.post(number, answer)
            except GrailError:
                self._board.hang_up(number)
                raise
            finally:
                self._follow()
        return self._board.fetch(number) if self._board.has(number) else []

    def tick(self, talks: int, instance: int, best: BestHeader) -> Tick:
        """A heartbeat, and the beginning of some exchanges."""
        self._board.sweep()
        self._follow()
        self.dates.renew()
        if self._key.public in self._pulse.members:
            self._pulse.beat(self._key, instance, best)
        numbers = list(self._board.dialled())
        self._draw.shuffle(numbers)
        out = []
        if self._view is not None:
            for number in sorted(numbers[: min(talks, MAX_TALKS)]):
                self._board.post(number, Gossip(self._view, self._pulse).begin())
                out.append(self._sealed(number))
        board = self._board
        members = len(self._pulse.members)
        return Tick(self.fresh, members, len(board.peers), board.dialled(), tuple(out))

    def _sealed(self, number: int) -> Sealed:
        return Sealed(number, tuple(self._board.fetch(number)))

    # The roster.

    def begin(self, roster: Roster) -> None:
        """The first roster is accepted: from now on there is a view of what follows."""
        if self._view is None:
            self._view = View(self._ground, roster)

    def say(self, state: RosterState, ruling: Roster | None) -> None:
        """Sign the next state; the same again changes nothing. Raises `Refused`.

        The first one is the first roster's, with the configuration's images. A later one is what
        the chain settled: `ruling` is the newest roster of the own record.
        """
        view = self._view
        if view is None:
            raise Refused("RosterInvalid", "no first roster was accepted yet")
        if state.number < view.open and state == view.state(state.number):
            return
        if state.number != view.open:
            raise Refused(
                "ViewStale",
                "the number of the state",
                got=str(state.number),
                expected=str(view.open),
                hint="it is agreed on already, or what comes before it is not known here",
            )
        if state.number == 0:
            self._check_first(state, view.genesis)
        else:
            self._check_next(view.state(state.number - 1), state, ruling)
        digest = state.digest(self._ground.network)
        if self._said.setdefault(state.number, digest) != digest:
            raise Refused("RosterFixed", "this enclave gave its word for another state")
        word = Statement(self._key.public, state.number, digest).signed(self._key, self._ground)
        view.take(Thing(word))
        view.take(Thing(state))
        self._follow()

    def _check_first(self, state: RosterState, roster: Roster) -> None:
        if state.roster != roster:
            raise Refused("RosterInvalid", "the first state is not of the first roster")
        if state.images != self._attesting.images:
            raise Refused("RosterInvalid", "the first state has other images than configured")
        self._seats.check_shares(state)

    def _check_next(self, before: RosterState, state: RosterState, ruling: Roster | None) -> None:
        check_follows(before, state, self._ground.network, self._seats)
        if state.images != before.images:
            raise Refused(
                "NotDecided",
                "other images",
                expected="a decision of the quorum, which is not there",
            )
        if state.roster != ruling:
            raise Refused(
                "RosterInvalid",
                f"the roster of epoch {state.epoch} is not the one on chain",
                got=f"{state.quorum} of {len(state.seats)} keys",
                expected="no roster" if ruling is None else f"the one of epoch {ruling.epoch}",
            )
        if self._key.public not in before.keys:
            raise Refused("NotMember", "those whose roster ends give their word for the next")
        self.require(key for key in state.keys if key not in before.keys)

    def _follow(self) -> None:
        agreed = None if self._view is None else self._view.agreed
        if self._view is None or agreed is None:
            return
        if (agreed.number, agreed.keys) != (self._pulse.number, self._pulse.members):
            self._pulse.follow(agreed.number, self._view.digest_of(agreed.number), agreed.keys)
            self.dates.follow(agreed.keys, agreed.quorum)

    # What signing asks.

    @property
    def fresh(self) -> int:
        """How many members are known to have lived just now, this one included."""
        return self._pulse.fresh(self._attesting.fresh_seconds)

    def heard(self) -> Mapping[XOnlyKey, BestHeader]:
        """The best header of each member that is alive."""
        found: dict[XOnlyKey, BestHeader] = {}
        for key in self._pulse.members:
            age, newest = self._pulse.age(key), self._pulse.newest(key)
            if newest is not None and age is not None and age <= self._attesting.fresh_seconds:
                found[key] = newest.best
        return found

    def shown(self) -> RosterShown:
        """What people see."""
        view, ages = self._view, self._board.ages()
        return RosterShown(
            len(self._board.peers),
            None if view is None else view.agreed,
            bytes(32) if view is None else view.digest(),
            () if view is None else tuple(sorted(view.guilty)),
            tuple(
                Sight(key, _milliseconds(self._pulse.age(key)), _milliseconds(ages.get(key)))
                for key in self._pulse.members
            ),
        )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1_000 * seconds)


def policy(root: bytes, images: Iterable[Image], measured: bytes) -> Policy:
    """Whom to believe: these builds under this root, started with the configuration so measured."""
    register = {pcr.CONFIGURATION: measured}
    return Policy(
        Root(root),
        tuple(Measurement(dict(zip(MEASURED, image, strict=True)) | register) for image in images),
    )
