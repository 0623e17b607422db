"""Steps 17 and 18, and the rounds of section 10: one of two rivals, by a quorum, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from enclave_world import KEYS, MALLORY, QUORUM, N, acting, open_round, promise, sign, vote

from grail.bitcoin.tx import Tx
from grail.operators import certificates, frames
from grail.operators.certificates import Decision, check_decision
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Frame, Reply
from grail.operators.memory import MAX_FAMILIES, Known, Memory, Place
from grail.operators.messages import Family, Open, Promise, Vote
from grail.operators.rounds import Acceptor
from grail.types import OutPoint, Txid
from grail_enclave.case import Case
from grail_enclave.enclave import Enclave
from grail_enclave.policy import DecidedRule
from socket_attacks.registry import (
    STATELESS,
    Removal,
    Target,
    answering,
    attack,
    instead,
    patched,
    voted,
)
from socket_attacks.scene import Heist, Scene


@dataclass
class Rivals:
    """Two uses of one port: Alice's, and Mallory's that came second."""

    first: SigningRequest
    second: SigningRequest
    first_tx: Tx

    @classmethod
    def of(cls, scene: Scene) -> Rivals:
        one, two = (scene.house_use(outs=[scene.port_after(count=n)]) for n in (7, 8))
        built = one.assembled()
        return cls(one.requested(built), two.request(), built.signed_by(*one.signers))


def votes_for(scene: Scene, request: SigningRequest) -> list[Reply]:
    """A quorum's votes; operator 0, whom attacks are sent to, has no part in them."""
    return [vote(enclave, request) for enclave in scene.enclaves(QUORUM + 1)[1:]]


def signing(votes: Sequence[Reply], request: SigningRequest) -> Frame:
    """The frame that asks for signatures."""
    return frames.sign_frame([Vote.parse(v.unwrap()) for v in votes], request.serialize())


@attack(
    "RivalVoted",
    "S16",
    "S18",
    gains="Mallory: two votes of one operator at the fast ballot, so both rivals find a quorum",
    out=STATELESS,
)
def a_vote_for_the_rival(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    return voted(rivals.second, prepare=lambda e: vote(e, rivals.first).unwrap())


@attack(
    "OutpointTaken",
    "S16",
    "S18",
    gains="Mallory: a vote against a decision that others have acted on",
    out=STATELESS,
)
def a_vote_against_a_decision(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    votes = votes_for(scene, rivals.first)
    return voted(rivals.second, prepare=lambda e: sign(e, rivals.first, votes).unwrap())


@attack(
    "AlreadyDecided",
    "S16",
    gains="Mallory: rounds without end over what is decided, instead of signatures",
    out=STATELESS,
)
def a_round_for_what_is_decided(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    votes = votes_for(scene, rivals.first)
    frame = frames.open_frame(N, rivals.first.serialize())
    return Target(frame, prepare=lambda e: sign(e, rivals.first, votes).unwrap())


def opened_by(scene: Scene, index: int, request: SigningRequest) -> Reply:
    """Operator `index` opens its first round."""
    return open_round(scene.enclave_of(index), index, request)


@attack(
    "BallotPromised",
    "S16",
    gains="Mallory: a vote below a promise, of which the promise told nobody",
    out=STATELESS,
)
def a_vote_below_a_promise(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    opened = opened_by(scene, 1, rivals.first)
    return voted(rivals.second, prepare=lambda e: promise(e, opened, rivals.first).unwrap())


@attack(
    "NotOpener",
    "S16",
    gains="Mallory, an operator: opens other operators' rounds and so outbids everybody",
    out=Removal(index=2),
)
def a_round_that_is_another_operators(scene: Scene) -> Target:
    return Target(frames.open_frame(2, Rivals.of(scene).first.serialize()))


@attack(
    "RoundOpened",
    "S16",
    gains="Mallory: one round for two families, of which each finds promises",
    out=STATELESS,
)
def one_round_for_two_families(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    frame = frames.open_frame(1, rivals.second.serialize())
    return Target(frame, prepare=lambda e: open_round(e, 1, rivals.first).unwrap(), index=1)


def forged_open(opened: Reply, index: int, **changes: object) -> Open:
    """An operator's Open with other fields, signed by that operator."""
    found = Open.parse(opened.unwrap())
    head = replace(found.head, sender=index)
    return replace(found, head=head, **changes).signed(KEYS[index])  # type: ignore[arg-type]


@attack(
    "NotOpened",
    "S16",
    gains="Mallory, an operator: promises for a round that its operator never opened",
    out=patched(Acceptor, "_check_open", answering()),
)
def a_round_opened_by_the_wrong_operator(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    wrong = forged_open(opened_by(scene, 1, request), 2)
    return Target(frames.promise_frame(wrong, request.serialize()))


@attack(
    "RoundTooFar",
    "S16",
    gains="Mallory, an operator: a round so high that nobody can ever open another above it",
    out=patched(Acceptor, "_evidence", answering(1 << 30)),
)
def a_round_that_is_out_of_reach(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    number = (1 << 20) * N + 1
    far = forged_open(opened_by(scene, 1, request), 1, round=number)
    return Target(frames.promise_frame(far, request.serialize()))


def promised(scene: Scene, request: SigningRequest, before: SigningRequest | None) -> list[Promise]:
    """Promises of all operators but 0 for a ballot, each perhaps after a vote for a rival."""
    others = scene.enclaves()[1:]
    if before is not None:
        for enclave in others:
            vote(enclave, before).unwrap()
    opened = open_round(others[0], 1, request)
    return [Promise.parse(promise(enclave, opened, request).unwrap()) for enclave in others]


@attack(
    "NotPromised",
    "S16",
    gains="Mallory: a vote in a ballot that eleven promised, while the others decide her rival",
    out=patched(certificates, "_members", answering()),
)
def a_ballot_of_eleven_promises(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    few = promised(scene, request, None)[: QUORUM - 1]
    return Target(frames.ballot_frame(few, request.serialize()))


@attack(
    "BallotBlocked",
    "S16",
    gains="Mallory: her rival is voted for though a quorum may have decided the first",
    out=patched(certificates, "blocker", answering()),
)
def a_ballot_against_a_quorums_votes(scene: Scene) -> Target:
    rivals = Rivals.of(scene)
    promises = promised(scene, rivals.second, rivals.first)
    return Target(frames.ballot_frame(promises, rivals.second.serialize()))


def conflict(scene: Scene, heist: Heist) -> Frame:
    """A block holds another spend of the user's coin."""
    spend = Heist(scene, [heist.inputs[1]], [(1_000, MALLORY.script, {})]).published()
    return frames.spent_frame(spend.serialize(), scene.chain.prove(spend.txid))


@attack(
    "InputSpent",
    "S12",
    gains="Mallory: a port kept busy by a transaction that blocks keep from confirming",
    out=patched(Acceptor, "check_alive", answering()),
)
def a_coin_that_a_block_has_spent(scene: Scene) -> Target:
    heist = scene.house_use()
    request = heist.request()
    first = scene.house_use(inputs=[scene.ports[1], heist.inputs[1]]).request()
    frame = conflict(scene, heist)

    def shown(enclave: Enclave) -> None:
        """It voted for another use of the coin, so the spend concerns it."""
        vote(enclave, first).unwrap()
        reply = Reply.parse(enclave.answer(frame.serialize()))
        assert reply.refusal is None

    return voted(request, prepare=shown)


@attack(
    "Busy",
    "S33",
    gains="Mallory: fills an enclave's memory until it forgets what it voted for",
    out=patched(Memory, "check_room", answering()),
)
def a_memory_that_is_full(scene: Scene) -> Target:
    request = scene.house_use().request()

    def filled(enclave: Enclave) -> None:
        """As many transactions under way as there is room for, put there directly."""
        acceptor = acting(enclave)
        assert acceptor is not None
        for n in range(MAX_FAMILIES):
            name = Family(n.to_bytes(32, "big"))
            outpoint = OutPoint(Txid(bytes(name)), 0)
            held = certificates.Proposal(name, (outpoint,), outpoint.txid, b"body")
            acceptor.memory.known[name] = Known(held)
            acceptor.memory.outpoints[outpoint] = Place(vote=(0, name))

    return voted(request, prepare=filled)


# Step 18


@attack(
    "NotDecided",
    "S16",
    gains="Mallory: signatures on her rival, while twelve others decide for the first",
    out=patched(certificates, "_members", answering()),
)
def signatures_by_eleven_votes(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    return Target(signing(votes_for(scene, request)[: QUORUM - 1], request))


class AnyView(DecidedRule):
    """A decision, whatever its voters know of the chain."""

    def check(self, case: Case) -> Decision:
        assert case.scope is not None
        assert case.proposal is not None
        return check_decision(case.scope, case.votes, case.proposal)


@attack(
    "ViewBehind",
    "S11",
    gains="Mallory, a host: signatures of an enclave to which she withholds the newest blocks",
    out=instead("NotDecided", AnyView()),
)
def an_enclave_that_is_behind_its_voters(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    others, ahead = scene.enclaves(QUORUM + 1)[1:], scene.configuration.header_lag + 1
    scene.chain.mine_many(ahead)
    scene.feed(*others)
    votes = [vote(enclave, request) for enclave in others]
    del scene.chain.blocks[-ahead:]
    return Target(signing(votes, request))
