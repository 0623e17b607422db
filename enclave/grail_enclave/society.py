"""An enclave among its peers: attested links, the roster that all keep in step, signs of life.

Everything that comes in was carried by hosts. The switchboard says who said it, the view takes only
what verifies, and the pulse measures by the own clock how long ago a quorum is known to have lived.
What follows is the operator's to want (will.py) and the quorum's to decide (deciding.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from grail.attestation import pcr
from grail.attestation.attested import MEASURED
from grail.attestation.chain import Root
from grail.attestation.verifier import Measurement, Policy
from grail.bitcoin.addresses import MAX_MEMBERS, Roster
from grail.crypto.schnorr import KeyPair
from grail.errors import GrailError, InvalidInput, LinkInvalid, Refused
from grail.links.identity import Attestor, Own
from grail.links.link import Terms
from grail.links.switchboard import Reach, Switchboard
from grail.operators.attesting import Attesting, Image
from grail.operators.configuration import Configuration
from grail.operators.link_frames import Sealed, Tick
from grail.operators.messages import BestHeader
from grail.roster.deciding import Say, next_said
from grail.roster.gossip import Gossip
from grail.roster.pulse import Pulse
from grail.roster.shown import RosterShown, Sight
from grail.roster.signed import Ground
from grail.roster.state import RosterState
from grail.roster.statement import WORD, Statement
from grail.roster.succession import SeatPolicy, changed, check_follows
from grail.roster.view import Thing, View
from grail.types import XOnlyKey
from grail_enclave.dates import Dates
from grail_enclave.will import Pace, Will

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
        self._own = Own(key, module, configuration.network.id, configuration.digest)
        self.dates = Dates(self._own, self._policy, clock)
        terms = Terms(self._policy, self._admit, clock, attesting.reattest_seconds, self.dates.take)
        self._board = Switchboard(self._own, terms)
        self._seats = SeatPolicy(
            attesting.churn, attesting.per_owner, attesting.per_account, attesting.per_zone
        )
        self._view: View | None = None
        self._pulse = Pulse(self._ground, key.public, clock)
        self._image: Image | None = None
        self._first: bytes | None = None
        self._will = Will()
        self._rosters: Sequence[Roster] = ()
        self._pace = Pace(clock)
        self._expected: frozenset[XOnlyKey] = frozenset()
        # Which peers to talk to is nobody's secret, but no host may foresee it either.
        self._draw = secrets.SystemRandom()

    # Who is believed.

    def _policy(self) -> Policy:
        agreed = None if self._view is None else self._view.agreed
        images = set(self._attesting.images if agreed is None else agreed.images)
        if self._behind(agreed):
            # It has to hear of the states between from members that may run any build of now: those
            # that its operator names, and the own one. What they tell is signed by quorums.
            images |= {self._own_image(), *(self._will.images or ())}
        return policy(self._attesting.root, sorted(images), self._register)

    def _behind(self, agreed: RosterState | None) -> bool:
        """Whether the chain has a newer roster than the state that is agreed on here."""
        newest = self._rosters[-1] if self._rosters else None
        return newest is not None and (agreed is None or newest.epoch > agreed.epoch)

    def _own_image(self) -> Image:
        self._image = self._image or self._own.image()
        return self._image

    def _admit(self, key: XOnlyKey) -> None:
        """Before a first roster anybody of the right kind; then members alone (threat R18).

        And whom the own operator expects to join, or the chain has in a newer roster than this
        view: who joins late has to hear of the states between. A link gives no word and no vote.
        Before a first roster they are no more than one may have: whoever runs the right image draws
        keys without end (R10).
        """
        view = self._view
        if view is None:
            peers = self._board.peers
            if key not in peers and len(peers) >= MAX_MEMBERS:
                raise LinkInvalid(
                    "TooManyPeers",
                    "before a first roster there are no links to more than one may have",
                    got=str(len(peers) + 1),
                    expected=f"at most {MAX_MEMBERS}",
                    hint="accept a first roster: who is not in it loses its link",
                )
            return
        coming = self._behind(view.agreed) and key in self._rosters[-1].keys
        if key in view.guilty or not (coming or key in self._expected):
            view.admit(key)

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
        self._speak()
        self._board.sweep()  # another state may have been agreed on by that
        self.dates.renew()
        if self._key.public in self._pulse.members:
            self._pulse.beat(self._key, instance, best)
        numbers = list(self._board.dialled())
        self._draw.shuffle(numbers)
        out = []
        if self._view is not None:
            for number in sorted(numbers[: min(talks, MAX_TALKS)]):
                begun = Gossip(self._view, self._pulse).begin()
                self._board.post(number, begun, asks=True)
                out.append(self._sealed(number))
        board = self._board
        members = len(self._pulse.members)
        busy = self._pace.busy
        return Tick(len(self.alive), members, len(board.peers), board.dialled(), tuple(out), busy)

    def _sealed(self, number: int) -> Sealed:
        return Sealed(number, tuple(self._board.fetch(number)))

    # The roster.

    def begin(self, roster: Roster) -> None:
        """The first roster is accepted: from now on there is a view of what follows."""
        if self._view is None:
            self._view = View(self._ground, roster)

    def settle(self, rosters: Sequence[Roster]) -> None:
        """The rosters of all epochs on record, as the chain tells them."""
        self._rosters = tuple(rosters)

    def say(self, state: RosterState) -> None:
        """Want a state to follow; the same again changes nothing. Raises `Refused`.

        The first one is the first roster's, with the configuration's images, and signed at once. A
        later one is what the chain settled, with the seats that the operator vouches for. It is
        wished for until it is agreed on, after whatever else the quorum decides before it.
        """
        view = self._begun()
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
            self._say_first(state, view)
        else:
            before = view.state(state.number - 1)
            if state.images != before.images:
                raise Refused(
                    "NotDecided",
                    "other images",
                    expected="the images of the state before",
                    hint="a change of images is asked for by itself: roster/images",
                )
            self._check_next(before, state)
            self._will = replace(self._will, following=state)
        self._speak()

    def accept(self, images: Sequence[Image] | None) -> None:
        """Want these images to be the accepted ones; None: want nothing else than there is.

        While this enclave catches up it also talks to members that run one of them. Raises
        `Refused` RosterInvalid for a list without the own image: who signs that away is cut off at
        once, and a quorum that does so leaves a network without operators.
        """
        if images is not None:
            try:
                replace(self._attesting, images=tuple(images))
            except InvalidInput as exc:
                raise Refused("RosterInvalid", str(exc)) from exc
            self._check_own(images)
            agreed = None if self._view is None else self._view.agreed
            if agreed is not None and not set(agreed.images) & set(images):
                raise Refused(
                    "RosterInvalid",
                    "none of the images of now stays",
                    expected="at least one",
                    hint="accept the new build first, and drop the old one when nobody runs it",
                )
        self._will = replace(self._will, images=None if images is None else tuple(images))
        self._speak()

    def leave(self, *, leaving: bool) -> None:
        """Tell all others that the own operator asks to leave, or that it does no more.

        It goes on to vote and to sign: its seat is its own until another roster rules.
        """
        self._pulse.leaving = leaving

    def _begun(self) -> View:
        if self._view is None:
            raise Refused("RosterInvalid", "no first roster was accepted yet")
        return self._view

    def _say_first(self, state: RosterState, view: View) -> None:
        self._check_first(state, view.genesis)
        digest = state.digest(self._ground.network)
        if self._first not in {None, digest}:
            raise Refused("RosterFixed", "this enclave gave its word for another state")
        self._first = digest
        self._sign(view, Say(0, WORD, digest), state)

    def _check_first(self, state: RosterState, roster: Roster) -> None:
        if state.roster != roster:
            raise Refused("RosterInvalid", "the first state is not of the first roster")
        if state.images != self._attesting.images:
            raise Refused("RosterInvalid", "the first state has other images than configured")
        self._seats.check_shares(state)

    def _check_next(self, before: RosterState, state: RosterState) -> None:
        """Raise `Refused` unless the rules let this enclave speak for `state` after `before`."""
        check_follows(before, state, self._ground.network, self._seats)
        if self._key.public not in before.keys:
            raise Refused("NotMember", "those whose roster ends give their word for the next")
        if state.images != before.images:
            self._check_images(before, state)
            return
        ruling = self._rosters[state.epoch] if state.epoch < len(self._rosters) else None
        if state.roster != ruling:
            raise Refused(
                "RosterInvalid",
                f"the roster of epoch {state.epoch} is not the one on chain",
                got=f"{state.quorum} of {len(state.seats)} keys",
                expected="no roster" if ruling is None else f"the one of epoch {ruling.epoch}",
            )
        newcomers = [key for key in state.keys if key not in before.keys]
        self._check_strangers(newcomers)
        self.require(newcomers)

    def _check_images(self, before: RosterState, state: RosterState) -> None:
        if replace(state, images=before.images) != changed(
            before, self._ground.network, before.images
        ):
            raise Refused("RosterInvalid", "images change by themselves: seats and quorum stay")
        self._check_own(state.images)

    def _check_own(self, images: Sequence[Image]) -> None:
        own = self._own_image()
        if own not in images:
            raise Refused(
                "RosterInvalid",
                "the list of images lacks the one that runs here",
                got=f"{len(images)} images",
                expected=f"PCR0 {own[0].hex()[:24]}.. among them",
                hint="replace this operator by one that runs an accepted build first",
            )

    def _check_strangers(self, keys: Iterable[XOnlyKey]) -> None:
        """Raise `Refused` for a key that had a seat before: it comes back with another (R7)."""
        view = self._begun()
        known = {key for number in range(view.open) for key in view.state(number).keys}
        for key in keys:
            if key in known or key in view.guilty:
                raise Refused(
                    "NotMember",
                    "a key that left or was expelled gets no seat again",
                    got=str(key),
                    expected="a new key",
                )

    def _speak(self) -> None:
        """Say what there is to say on the next number: wishes and words (deciding.py)."""
        view = self._view
        agreed = None if view is None else view.agreed
        if view is None or agreed is None:
            return
        number, network = view.open, self._ground.network
        self._pace.follow(number, view.mark(number), view.round(number))
        if self._key.public not in agreed.keys:
            return
        self._will = self._will.after(agreed)
        wanted = self._will.next(agreed, network)
        if wanted is not None and not self._may(agreed, wanted):
            wanted = None
        say = next_said(
            view.said(number),
            agreed.quorum,
            self._key.public,
            view.round(number),
            wanted=None if wanted is None else wanted.digest(network),
            may=lambda digest: self._may(agreed, view.body(number, digest)),
            patient=self._pace.patient,
        )
        if say is not None:
            self._sign(view, say, view.body(number, say.state) or wanted)
            self._speak()  # a quorum may be complete by it

    def _may(self, before: RosterState, state: RosterState | None) -> bool:
        if state is None:
            return False
        try:
            self._check_next(before, state)
        except GrailError:  # a module that does not say what runs here keeps it silent, too
            return False
        return True

    def _sign(self, view: View, say: Say, state: RosterState | None) -> None:
        made = Statement(
            self._key.public, view.open, say.state, round=say.round, step=say.step
        ).signed(self._key, self._ground)
        view.take(Thing(made))
        if state is not None:
            view.take(Thing(state))
        self._follow()

    def _follow(self) -> None:
        agreed = None if self._view is None else self._view.agreed
        if self._view is None or agreed is None:
            return
        if (agreed.number, agreed.keys) != (self._pulse.number, self._pulse.members):
            self._pulse.follow(agreed.number, self._view.digest_of(agreed.number), agreed.keys)
            self.dates.follow(agreed.keys, agreed.quorum)

    # What signing asks.

    @property
    def alive(self) -> frozenset[XOnlyKey]:
        """The members that are known to have lived just now, this one included."""
        return self._pulse.alive(self._attesting.fresh_seconds)

    @property
    def told(self) -> Roster | None:
        """The roster of the newest state that the members agreed on."""
        agreed = None if self._view is None else self._view.agreed
        return None if agreed is None else agreed.roster

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
        view, reaches = self._view, self._board.reaches()
        return RosterShown(
            len(self._board.peers),
            None if view is None else view.agreed,
            bytes(32) if view is None else view.digest(),
            () if view is None else tuple(sorted(view.guilty)),
            tuple(self._sight(key, reaches.get(key)) for key in self._pulse.members),
        )

    def _sight(self, key: XOnlyKey, reach: Reach | None) -> Sight:
        newest = self._pulse.newest(key)
        image = None if reach is None else reach.image
        if key == self._key.public:
            with suppress(GrailError):  # a module that does not answer is nothing to hide it for
                image = self._own_image()
        return Sight(
            key,
            _milliseconds(self._pulse.age(key)),
            _milliseconds(None if reach is None else reach.age),
            self._pulse.silence(key) > self._attesting.silent_seconds,
            None if newest is None else newest.best.height,
            newest is not None and newest.leaving,
            image[0] or None if image else None,
            reach is not None and reach.answers,
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
