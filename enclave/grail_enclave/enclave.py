"""The enclave without its socket: bytes of a frame in, bytes of a reply out, and no exception.

It holds the key, the headers, the roster record, the caches and the voting state, and changes them
only after every check of a request has passed (threat S34). Whatever goes wrong becomes a signed
refusal that names a rule.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grail.bitcoin.spv import Header, HeaderChain
from grail.charms.envelope import MAGIC
from grail.codec import encode
from grail.crypto.schnorr import KeyPair
from grail.errors import (
    AttestationInvalid,
    DecodeError,
    GrailError,
    InvalidInput,
    LinkInvalid,
    Refused,
    SpellIncorrect,
)
from grail.links.identity import Attestor
from grail.operators import frames, link_frames
from grail.operators.certificates import Decision, Proposal, family
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, HistoryPart, SigningRequest
from grail.operators.frames import Frame, Reply, Seat, Status
from grail.operators.messages import (
    FIRST_EPOCH,
    BestHeader,
    Message,
    Promise,
    Refusal,
    Scope,
    Standing,
    Vote,
)
from grail.operators.roster import (
    FirstRoster,
    NextRoster,
    next_roster_fields,
    read_next_roster,
    read_roster,
)
from grail.operators.rounds import Acceptor
from grail.operators.spent import Spend, SpentLog
from grail.roster.state import RosterState
from grail.types import OutPoint, XOnlyKey
from grail_enclave.anchors import Anchors
from grail_enclave.audit import Audit
from grail_enclave.caches import Bounded, BundleCache, VerdictCache
from grail_enclave.case import Case
from grail_enclave.checks import (
    IN_TIME,
    RULES,
    Rule,
    Stage,
    Trace,
    admit,
    conclude,
    rule_names,
)
from grail_enclave.dates import seconds
from grail_enclave.established import Fee
from grail_enclave.instances import answer_hello, instance_of
from grail_enclave.membership import Deployed, Membership
from grail_enclave.quorums import deciding_epoch, own_outpoints
from grail_enclave.signer import Signer
from grail_enclave.society import Society
from grail_enclave.spends import evident_spends, shown_spend

MAX_CASES = 32_000_000
"""Bytes of requests kept with what was established of them, so that signing repeats no check."""


TIMELY = IN_TIME | {"HeightStale", "RecoveryNear"}
"""Refusals of a request that was in time once."""


class _InTheWay(Exception):
    """A refusal that comes with what stands in the way."""

    def __init__(self, refusal: Refused, standing: Standing) -> None:
        super().__init__(refusal.rule)
        self.refusal = refusal
        self.standing = standing


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was admitted, as the rounds see it, and the spends that its evidence shows."""

    case: Case
    stage: Stage
    proposal: Proposal
    acceptor: Acceptor
    shown: tuple[Spend, ...]
    epoch: int


class Enclave:
    """One operator's enclave. Not safe for threads: one frame at a time."""

    def __init__(
        self,
        configuration: Configuration,
        key: KeyPair,
        *,
        rules: Sequence[Rule] = RULES,
        trace: Trace | None = None,
        handed_over: bool = False,
        module: Attestor | None = None,
        clock: Callable[[], float] = seconds,
    ) -> None:
        """`module` attests it, where its configuration asks for that; `clock` never falls.

        `handed_over` for a key that was not drawn in this very process.

        An instance before this one may then have promised anything, so this one asks the other
        operators before it votes (ROUNDS.md, rule 6). `module` is the security module that says
        what runs here, where there is one.
        """
        self._configuration = configuration
        self._handed_over = handed_over
        self._key = key
        self._rules = rules
        self._trace = trace
        self._headers = HeaderChain(configuration.network.chain, configuration.pinned)
        self._members = Membership(configuration, self._headers, key)
        self._signer = Signer(key)
        # One for each roster id that was ever on record: a reorganisation that brings a deploy back
        # must not make an instance forget what it voted for.
        self._acceptors: dict[Scope, Acceptor] = {}
        self._told: Deployed | None = None
        self._bundles = BundleCache()
        self._verdicts = VerdictCache(MAGIC)
        self._audit = Audit()
        self._cases: Bounded[tuple[bytes, bytes, bytes], Case] = Bounded(MAX_CASES)
        self._heard: dict[XOnlyKey, BestHeader] = {}
        self._society = _society(configuration, key, module, clock)
        self._handlers: dict[str, Callable[[Any], Any]] = {
            frames.STATUS: self._status,
            frames.HEADERS: self._take_headers,
            frames.FIRST_ROSTER_SIGN: self._sign_roster,
            frames.FIRST_ROSTER_ACCEPT: self._accept_roster,
            frames.NEXT_ROSTER_SIGN: self._sign_next_roster,
            frames.NEXT_ROSTER_AGREE: self._agree_next_roster,
            frames.RECORD: self._record,
            frames.VOTE: self._vote,
            frames.OPEN: self._open,
            frames.PROMISE: self._promise,
            frames.BALLOT: self._ballot,
            frames.SIGN: self._sign,
            frames.BODY: self._body,
            frames.SPENT: self._spent,
            frames.HISTORY: self._history,
            frames.HELLO: self._hello,
            frames.GRANT: self._grant,
            frames.NEWEST: self._newest,
            frames.RECOVER: self._recover,
            frames.RESTORE: self._restore,
            frames.LINK_DIAL: self._dial,
            frames.LINK_ANSWER: self._answer_link,
            frames.LINK_CARRY: self._carry,
            frames.TICK: self._tick,
            frames.ROSTER_SAY: self._say,
            frames.ROSTER_EXPECT: self._expect,
            frames.ROSTER_IMAGES: self._accept_images,
            frames.ROSTER_LEAVE: self._leave,
            frames.ROSTER_VIEW: self._show_roster,
        }

    @property
    def network_id(self) -> bytes:
        """NET of the network that it serves."""
        return self._configuration.network.id

    def answer(self, raw: bytes) -> bytes:
        """The reply to a frame: its result, or a signed refusal. Never raises."""
        return self.reply(raw).serialize()

    def reply(self, raw: bytes) -> Reply:
        """As `answer`, before it is written down."""
        try:
            frame = Frame.parse(raw)
            return Reply(self._handlers[frame.kind](frame.body))
        except _InTheWay as exc:
            return self._refused(raw, exc.refusal, exc.standing)
        except Refused as exc:
            return self._refused(raw, exc)
        except SpellIncorrect as exc:
            return self._refused(raw, Refused(exc.rule, exc.detail, got=exc.got))
        except (AttestationInvalid, LinkInvalid) as exc:
            return self._refused(raw, Refused(exc.rule, exc.detail, got=exc.got))
        except DecodeError as exc:
            return self._refused(raw, Refused("FrameInvalid", str(exc)))
        except GrailError as exc:
            return self._refused(raw, Refused(type(exc).__name__, str(exc)))
        except Exception as exc:  # noqa: BLE001
            # A fault of ours is a refusal too: no signature, and no word of what was in memory.
            return self._refused(raw, Refused("InternalError", type(exc).__name__))

    def state_hash(self) -> bytes:
        """A digest of what votes and signatures rest on: equal before and after every refusal."""
        tip, deployed = self._headers.tip, self._members.deployed
        agreed = self._members.agreed
        parts = [
            bytes(tip.hash),
            *(each.state_hash() for each in self._acceptors.values()),
            b"" if deployed is None else deployed.nft.serialize() + deployed.port.serialize(),
            b"" if agreed is None else encode(next_roster_fields(agreed)),
            b"" if self._audit.alarm is None else bytes(self._audit.alarm),
        ]
        return hashlib.sha256(b"".join(parts)).digest()

    def _refused(self, raw: bytes, why: Refused, standing: Standing | None = None) -> Reply:
        refusal = Refusal(
            self._configuration.network.id,
            self._configuration.digest,
            self._key.public,
            hashlib.sha256(raw).digest(),
            why.rule,
            why.detail,
            why.got,
            why.expected,
        )
        return Reply(None, refusal.signed(self._key), standing)

    # Frames that tell and teach.

    def _status(self, body: object) -> list[Any]:
        _nothing(body, frames.STATUS)
        deployed, key = self._members.deployed, self._key.public
        roster = self._members.accepted if deployed is None else deployed.record.rosters[-1]
        seats = tuple(map(self._seat, range(len(self._members.record.reigns))))
        return Status(
            key=key,
            network=self._configuration.network.id,
            configuration=self._configuration.digest,
            best=self._best(),
            index=roster.keys.index(key) if roster and key in roster.keys else None,
            epoch=None if deployed is None else deployed.record.reigns[-1].epoch,
            roster=None if deployed is None else deployed.nft,
            keys=() if roster is None else roster.keys,
            quorum=0 if roster is None else roster.quorum,
            alarm=self._audit.alarm,
            instance=seats[-1].instance if seats else None,
            seats=seats,
            port=None if deployed is None else deployed.port,
        ).fields()

    def _seat(self, epoch: int) -> Seat:
        """An epoch on record and the own place in it."""
        reign, key = self._members.record.reigns[epoch], self._key.public
        roster, acceptor = reign.roster, None
        with contextlib.suppress(Refused):
            acceptor = self._acceptors.get(self._members.scope(epoch))
        return Seat(
            epoch,
            self._members.began[epoch],
            roster.keys,
            roster.quorum,
            roster.internal_key,
            reign.start,
            roster.keys.index(key) if key in roster.keys else None,
            None if acceptor is None else instance_of(acceptor),
        )

    def _best(self) -> BestHeader:
        tip = self._headers.tip
        return BestHeader(tip.hash, tip.height, tip.work)

    def _take_headers(self, body: object) -> list[Any]:
        if not isinstance(body, list) or not all(isinstance(raw, bytes) for raw in body):
            raise DecodeError("headers: expected a list of headers")
        try:
            self._headers.extend([Header.parse(raw) for raw in body], self._latest())
        except DecodeError:
            raise
        except GrailError as exc:
            raise Refused("HeadersInvalid", str(exc)) from exc
        if self._society is not None:
            self._society.dates.follow_chain(self._headers)
        self._note_record()
        for acceptor in self._acceptors.values():
            acceptor.follow()
        return self._best().fields()

    def _latest(self) -> float:
        return math.inf if self._society is None else self._society.dates.latest

    def _sign_roster(self, body: object) -> bytes:
        if self._handed_over:
            # An instance before this one may have vouched for another.
            raise Refused("RosterFixed", "this key was handed over: it vouches for no first roster")
        roster = read_roster(body)
        if self._society is not None:
            self._society.require(roster.keys)
        return self._members.sign(roster)

    def _accept_roster(self, body: object) -> None:
        first = FirstRoster.from_fields(body)
        if self._society is not None:
            self._society.require(first.roster.keys)
        roster = self._members.accept(first)
        if self._society is not None:
            self._society.begin(roster)

    def _sign_next_roster(self, body: object) -> bytes:
        return self._members.sign_next(read_next_roster(body))

    def _agree_next_roster(self, body: object) -> None:
        following = NextRoster.from_fields(body)
        if self._society is not None:
            self._society.require(following.roster.keys)
        self._members.agree(following)
        self._cases.clear()  # what was admitted for another roster is looked at again

    def _record(self, body: object) -> list[Any]:
        deployed = self._members.deploy(DeployRecord.from_value(body), self.anchors())
        self._note_record()
        if self._society is not None:
            # One that joins later takes the first roster from the chain, as all others.
            self._society.begin(deployed.record.rosters[0])
        return [deployed.record.reigns[-1].epoch, deployed.nft.serialize()]

    def _note_record(self) -> None:
        """Act on another record: blocks or a frame may have brought it, or taken it back.

        A verdict rests on the record under which it was made. There is a voting state for each
        epoch that the own key is a member of.
        """
        deployed = self._members.deployed
        if deployed is self._told:
            return
        self._told = deployed
        if self._society is not None:
            self._society.settle(self._members.record.rosters)
        self._verdicts.clear()
        self._cases.clear()
        for epoch in self._members.epochs():
            try:
                scope = self._members.scope(epoch)
            except Refused:
                continue  # rounds of that size are not safe: it has no votes from here
            if scope not in self._acceptors:
                make = Acceptor.handed_over if self._handed_over else Acceptor
                self._acceptors[scope] = make(scope, self._key, self._spent_log())

    def _require_record(self) -> None:
        """Raise `Refused` ViewStale without a record: no history can be judged then."""
        self._members.scope(0)

    def anchors(self) -> Anchors:
        """What it knows by itself at this moment."""
        return Anchors(
            self._configuration,
            self._headers,
            self._members.record,
            self._bundles,
            self._verdicts,
            self._reported(),
            self._members.agreed,
            None if self._society is None else self._society.alive,
            None if self._society is None else self._society.told,
        )

    def _reported(self) -> dict[XOnlyKey, BestHeader]:
        """The best header that each operator is known to have."""
        found = dict(self._heard)
        if self._society is not None:
            for key, best in self._society.heard().items():
                if key not in found or found[key].work < best.work:
                    found[key] = best
        return found

    # Frames that ask for a vote, a promise or signatures.

    def _vote(self, body: object) -> bytes:
        asked = self._admitted(frames.read_vote(body), Stage.ADMIT)
        return self._voiced(asked, asked.acceptor.vote(asked.proposal, self._best()))

    def _open(self, body: object) -> bytes:
        number, raw = frames.read_open(body)
        asked = self._admitted_or_begun(raw)
        return self._voiced(asked, asked.acceptor.open(number, asked.proposal, self._best()))

    def _promise(self, body: object) -> bytes:
        opened, raw, shown = frames.read_promise(body)
        asked = self._admitted_or_begun(raw, shown)
        answer = asked.acceptor.promise(opened, asked.proposal, self._best(), shown)
        return self._voiced(asked, answer)

    def _ballot(self, body: object) -> bytes:
        promises, raw = frames.read_ballot(body)
        asked = self._admitted(raw, Stage.FORCED)
        answer = asked.acceptor.ballot(promises, asked.proposal, self._best())
        self._hear(asked.acceptor.scope, promises)
        return self._voiced(asked, answer)

    def _sign(self, body: object) -> list[Any]:
        votes, raw = frames.read_sign(body)
        asked = self._admitted(raw, Stage.SIGN)
        case, proposal, acceptor = asked.case, asked.proposal, asked.acceptor
        case.scope, case.proposal, case.votes = acceptor.scope, proposal, votes
        conclude(case, Stage.SIGN, self._rules, self._trace)
        checked, fee = admit(case, Stage.SIGN, self._rules), case.got(Fee).sats
        # Before the decision is noted (threat S34).
        self._signer.check_fee(proposal, fee, asked.epoch)
        decided = acceptor.decide(votes, proposal)
        if isinstance(decided, Standing):
            raise _InTheWay(Refused(decided.rule, "another transaction was decided"), decided)
        self._hear(acceptor.scope, votes)
        decision = case.got(Decision)
        answer = self._signer.sign(checked, proposal, decision, fee, asked.epoch).fields()
        acceptor.confirmed(asked.shown)
        return answer

    def _body(self, body: object) -> list[Any] | None:
        wanted = frames.read_body(body)
        found = (acceptor.body(wanted) for acceptor in self._acceptors.values())
        return next((standing.fields() for standing in found if standing is not None), None)

    def _spent(self, body: object) -> None:
        """Rule 8: a block holds a spend; what it makes impossible is let go."""
        self._require_record()
        raw, inclusion, path = frames.read_spent(body)
        spend = shown_spend(self.network_id, self._headers, raw, inclusion, path)
        for acceptor in self._acceptors.values():
            acceptor.confirmed([spend])

    # Frames of a new instance (ROUNDS.md, rules 6 and 7).

    def _hello(self, body: object) -> bytes:
        epoch, roster = frames.read_hello(body)
        return self._member_of(roster).hello(epoch, self._best()).serialize()

    def _grant(self, body: object) -> bytes | None:
        hello, page = frames.read_grant(body)
        return answer_hello(self._member_of(hello.head.roster), hello, page, self._best())

    def _newest(self, body: object) -> bytes | None:
        operator, roster = frames.read_newest(body)
        hello = self._member_of(roster).newest(operator)
        return None if hello is None else hello.serialize()

    def _recover(self, body: object) -> list[bytes]:
        grants, pages = frames.read_recover(body)
        if not grants:
            raise Refused("NotGranted", "no grant is there", got="0 grants")
        return list(self._member_of(grants[0].head.roster).recover(grants, pages))

    def _restore(self, body: object) -> None:
        """A body that a new instance lacks is checked as one that is voted for by force."""
        votes, raw = frames.read_sign(body)
        asked = self._admitted(raw, Stage.FORCED)
        asked.acceptor.restore(asked.proposal, votes)

    def _acting(self, epoch: int) -> Acceptor:
        """The voting state of an epoch. Raises `Refused` ViewStale, RosterInvalid or NotMember."""
        found = self._acceptors.get(self._members.scope(epoch))
        if found is None:
            raise Refused(
                "NotMember",
                f"the request is the roster of epoch {epoch}'s to decide",
                got=str(self._key.public),
                expected="a key of that roster",
            )
        return found

    def _member_of(self, roster: OutPoint) -> Acceptor:
        """The voting state under the roster of this id. Raises `Refused` ViewStale."""
        self._require_record()
        for epoch in self._members.epochs():
            scope = self._members.scope(epoch)
            if scope.roster == roster:
                return self._acting(epoch)
        raise Refused("ViewStale", "no such roster of its own is on record", got=str(roster))

    # Frames by which hosts carry links (link_frames.py).

    def _peers(self) -> Society:
        if self._society is None:
            raise Refused("FrameInvalid", "this network's enclaves do not attest to each other")
        return self._society

    def _dial(self, body: object) -> list[Any]:
        _nothing(body, frames.LINK_DIAL)
        return self._peers().dial().fields()

    def _answer_link(self, body: object) -> list[Any]:
        return self._peers().answer(link_frames.read_answer(body)).fields()

    def _carry(self, body: object) -> list[bytes]:
        return self._peers().carry(*link_frames.read_carry(body))

    def _tick(self, body: object) -> list[Any]:
        talks = link_frames.read_tick(body)
        epochs = [instance_of(each).epoch for each in self._acceptors.values()]
        instance = max(epochs, default=FIRST_EPOCH)
        return self._peers().tick(talks, instance, self._best()).fields()

    def _say(self, body: object) -> None:
        if not isinstance(body, bytes):
            raise DecodeError(f"{frames.ROSTER_SAY}: expected bytes")
        self._peers().say(RosterState.parse(body))

    def _expect(self, body: object) -> None:
        self._peers().expect(link_frames.read_expect(body))

    def _accept_images(self, body: object) -> None:
        self._peers().accept(link_frames.read_images(body))

    def _leave(self, body: object) -> None:
        self._peers().leave(leaving=link_frames.read_leave(body))

    def _show_roster(self, body: object) -> list[Any]:
        _nothing(body, frames.ROSTER_VIEW)
        return self._peers().shown().fields()

    def _history(self, body: object) -> list[Any]:
        """Transactions checked in full, whoever signed them (section 11)."""
        self._require_record()
        made = self._audit.check(HistoryPart.from_value(body), self.anchors())
        alarm = self._audit.alarm
        return [made, None if alarm is None else bytes(alarm)]

    def _spent_log(self) -> SpentLog:
        policy = self._configuration
        return SpentLog(self._headers.depth, policy.void_depth, policy.network.k)

    def _admitted(self, raw: bytes, stage: Stage) -> _Asked:
        """The request, checked as far as the stage asks, as the rounds see it."""
        self._audit.require_none()
        if stage is not Stage.ADMIT:
            # Step 5 is not repeated here, but without a record no history can be judged.
            self._require_record()
        case = self._case(raw)
        checked = admit(case, stage, self._rules, self._trace)
        epoch = deciding_epoch(checked)
        acceptor = self._acting(epoch)
        proposal = Proposal(
            family(self.network_id, checked.tx, checked.n_outs),
            own_outpoints(checked, epoch),
            checked.tx.txid,
            raw,
            tuple(txin.outpoint for txin in checked.tx.inputs),
        )
        concerned = acceptor.concerned() | proposal.spends
        shown = evident_spends(self.network_id, case, concerned)
        acceptor.check_alive(proposal, shown)
        return _Asked(case, stage, proposal, acceptor, shown, epoch)

    def _admitted_or_begun(self, raw: bytes, shown: Sequence[Promise] = ()) -> _Asked:
        """The request, admitted now, or by those whose votes and promises it was begun with.

        What depends on time was asked at the first vote: where that stands in the way of others, it
        has to be brought to an end.
        """
        try:
            return self._admitted(raw, Stage.ADMIT)
        except Refused as exc:
            if exc.rule not in TIMELY:
                raise
            asked = self._admitted(raw, Stage.FORCED)
            if not asked.acceptor.began(asked.proposal, shown):
                raise
            return asked

    def _case(self, raw: bytes) -> Case:
        """The request under examination; what was established under the same tip still stands."""
        deployed = self._members.deployed
        port = b"" if deployed is None else deployed.port.serialize()
        name = (hashlib.sha256(raw).digest(), bytes(self._headers.tip.hash), port)
        case = self._cases.get(name)
        if case is None:
            case = Case(SigningRequest.parse(raw), self.anchors())
            self._cases.put(name, case, 4_096 + 4 * len(raw))
        case.renew(self.anchors())
        return case

    def _voiced(self, asked: _Asked, answer: Message | Standing) -> bytes:
        """The signed message, once nothing stands in the way (step 17)."""
        standing = answer if isinstance(answer, Standing) else None
        asked.case.standing = standing
        try:
            conclude(asked.case, asked.stage, self._rules, self._trace)
        except Refused as exc:
            if standing is not None:
                raise _InTheWay(exc, standing) from exc
            raise
        if not isinstance(answer, Message):
            raise Refused("OutpointTaken", "another transaction stands in the way")
        # Only now: a refused request teaches nothing (threat S34).
        asked.acceptor.confirmed(asked.shown)
        return answer.serialize()

    def _hear(self, scope: Scope, messages: Sequence[Vote] | Sequence[Promise]) -> None:
        """Remember the best headers that members reported; the messages were verified."""
        for message in messages:
            best, sender = message.head.best, scope.keys[message.head.sender]
            if sender not in self._heard or self._heard[sender].work < best.work:
                self._heard[sender] = best


def _nothing(body: object, kind: str) -> None:
    if body is not None:
        raise DecodeError(f"{kind}: got a body, expected null")


def _society(
    configuration: Configuration,
    key: KeyPair,
    module: Attestor | None,
    clock: Callable[[], float],
) -> Society | None:
    attesting = configuration.attesting
    if attesting is None:
        return None
    if module is None:
        raise InvalidInput(
            "configuration: it asks for attestation, and there is no security module",
            hint="start the enclave with --module",
        )
    return Society(configuration, attesting, key, module, clock)


def started(
    configuration: Configuration,
    key: KeyPair,
    rules: Sequence[Rule] = RULES,
    *,
    handed_over: bool = False,
    module: Attestor | None = None,
) -> Enclave:
    """An enclave of exactly the rules that the configuration's digest stands for (threat A13).

    Raises `InvalidInput` when the file names other rules than this code has.
    """
    names = rule_names(rules)
    if configuration.rules != names:
        raise InvalidInput(
            f"configuration: {len(configuration.rules)} rules, this enclave has {len(names)}",
            hint="write the configuration with the same version of the package",
        )
    return Enclave(configuration, key, rules=rules, handed_over=handed_over, module=module)
