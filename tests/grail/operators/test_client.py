"""The client against real enclaves in memory: slow, dead and lying operators, rivals, finalising."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import anyio
import pytest
from enclave_world import (
    ALICE,
    KEYS,
    QUORUM,
    ROSTER,
    World,
    ballot,
    double_spend,
    open_round,
    promise,
    show_spend,
    sign,
    two_coins,
    vote,
)
from kernel import verify_spend
from simulator import simulated

from grail.bitcoin.addresses import Roster, quorum_leaf
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Assembled
from grail.errors import DecodeError, Incorrect, InvalidInput, QuorumNotReached, Refused
from grail.operators import frames
from grail.operators.asking import Limits
from grail.operators.client import Collected, collect
from grail.operators.evidence import TxEvidence
from grail.operators.frames import Frame, Reply
from grail.operators.messages import Family, Promise, Refusal, Scope, Vote
from grail.operators.roster import scope
from grail.operators.signing_job import SigningJob, read_quorum_leaf
from grail.operators.transport import Fault, MemoryTransport
from grail.wallet.account import Account
from grail_enclave.enclave import Enclave

QUICK = Limits(answer=2, opener=1, straggler=0.2, base=0.01, cap=0.1)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


class Operators:
    """Sixteen fresh enclaves that know the world's chain, behind an in-memory transport."""

    def __init__(self, world: World) -> None:
        self.enclaves = world.enclaves()
        self.scope: Scope = scope(
            world.network.id, ROSTER, world.deploy.outpoint(0), world.configuration.digest
        )
        self.transport = MemoryTransport([peer(enclave) for enclave in self.enclaves])
        self.network = world.network

    @property
    def faults(self) -> dict[int, Fault]:
        return self.transport.faults

    def collect(self, job: SigningJob, **more: object) -> Collected:
        """In virtual time: a slow operator costs nothing."""
        return simulated(
            lambda: collect(job, self.network, self.scope, self.transport, limits=QUICK, **more)
        )


def peer(enclave: Enclave) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(raw: bytes) -> bytes:
        return enclave.reply(raw).serialize()

    return answer


def job(world: World, built: Assembled, *accounts: Account) -> SigningJob:
    return SigningJob.read(world.network, world.request(built, *accounts).serialize())


@pytest.fixture
def deposit(world: World):
    return world.paid()


@pytest.fixture
def built(world: World, deposit) -> Assembled:
    return world.peg_in(*deposit)


@pytest.fixture
def operators(world: World, built: Assembled) -> Operators:  # noqa: ARG001 -- its block first
    return Operators(world)


def test_a_quorum_signs_and_the_kernel_agrees(world, built, operators):
    done = operators.collect(job(world, built))
    verify_spend(done.tx.serialize(), built.spent_outputs)
    assert done.tx.txid == built.tx.txid
    assert len(done.signatures) == 12
    assert done.decision.round == 0
    assert (done.report.dead, done.report.lying) == ((), ())


def test_the_witness_has_the_signatures_in_reverse_and_empty_items(world, built, operators):
    operators.faults.update({i: Fault(dead=True) for i in (0, 5, 15)})
    tx = operators.collect(job(world, built)).tx
    stack = tx.inputs[0].witness[:-2]
    assert len(stack) == 16
    assert [len(item) for item in reversed(stack)].count(64) == 12
    for key, item in zip(ROSTER.keys, reversed(stack), strict=True):
        if key in {KEYS[i].public for i in (0, 5, 15)}:
            assert item == b""


def test_four_dead_operators_are_named_and_it_completes(world, built, operators):
    operators.faults.update({i: Fault(dead=True) for i in (2, 3, 9, 14)})
    done = operators.collect(job(world, built))
    assert done.report.dead == ("operator 2", "operator 3", "operator 9", "operator 14")
    verify_spend(done.tx.serialize(), built.spent_outputs)


def test_eleven_operators_are_not_enough_and_the_error_says_who_is_missing(world, built, operators):
    operators.faults.update({i: Fault(dead=True) for i in range(4)})
    operators.faults[4] = Fault(delay=60)  # stopped, not dead: it never answers
    with pytest.raises(QuorumNotReached, match="11 of 12 operators voted") as caught:
        operators.collect(job(world, built))
    error = caught.value
    assert error.rule == "QuorumNotReached"
    assert error.replies["operator 4"] == "silent: no answer in 2 s"
    assert "connection refused" in error.replies["operator 0"]
    assert sum(reply == "voted" for reply in error.replies.values()) == 11
    # Continued, it completes, and nothing that was voted before hinders.
    operators.faults[4] = Fault()
    assert len(operators.collect(job(world, built)).signatures) == 12


def test_slow_operators_are_not_waited_for(world, built, operators):
    operators.faults.update({i: Fault(delay=1.9) for i in (1, 6, 7, 8)})
    done = operators.collect(job(world, built))
    assert done.seconds < 1.9


def flip(at: int) -> Callable[[Frame, bytes], bytes]:
    """A bit of the reply, counted from its end, is changed on the way."""
    return lambda _frame, raw: flipped(raw, at)


def flipped(raw: bytes, at: int) -> bytes:
    """With a bit changed in the byte that is so far from the end."""
    return raw[:-at] + bytes([raw[-at] ^ 1]) + raw[len(raw) - at + 1 :]


def only(kind: str, tamper: Callable[[Frame, bytes], bytes]) -> Fault:
    return Fault(tamper=lambda frame, raw: tamper(frame, raw) if frame.kind == kind else raw)


@pytest.mark.parametrize("kind", [frames.VOTE, frames.SIGN])
def test_a_bad_signature_is_noticed_and_its_sender_named_and_left_out(
    world, built, operators, kind
):
    operators.faults.update({i: only(kind, flip(5)) for i in (0, 4, 8, 11)})
    done = operators.collect(job(world, built))
    assert done.report.lying == ("operator 0", "operator 4", "operator 8", "operator 11")
    assert all(KEYS[i].public not in done.signatures for i in (0, 4, 8, 11)) or kind == frames.VOTE
    verify_spend(done.tx.serialize(), built.spent_outputs)


def test_five_liars_stop_it_and_are_named(world, built, operators):
    operators.faults.update({i: only(frames.SIGN, flip(5)) for i in range(5)})
    with pytest.raises(
        QuorumNotReached, match="11 of 12 operators signed; false answers"
    ) as caught:
        operators.collect(job(world, built))
    assert caught.value.replies["operator 3"].startswith("lied")


def test_R4_another_members_vote_passed_on_does_not_count_twice(world, built, operators):
    """A lying host answers with the vote of its neighbour."""
    kept: dict[bytes, bytes] = {}

    def steal(frame: Frame, raw: bytes) -> bytes:
        kept.setdefault(frame.kind.encode(), raw)
        return kept[frame.kind.encode()]

    operators.faults.update({i: only(frames.VOTE, steal) for i in range(6)})
    with pytest.raises(QuorumNotReached, match="11 of 12") as caught:
        operators.collect(job(world, built))
    assert "of operator" in caught.value.replies["operator 5"]


def test_an_unsigned_or_foreign_refusal_does_not_count(world, built, operators):
    """A host cannot refuse in its enclave's name, nor with a refusal of something else."""

    def refuse(_frame: Frame, raw: bytes) -> bytes:
        vote = Vote.parse(Reply.parse(raw).body)
        foreign = operators.enclaves[3].reply(Frame(frames.VOTE, b"junk").raw)
        assert vote.head.sender == 3
        return foreign.serialize()

    operators.faults[3] = only(frames.VOTE, refuse)
    done = operators.collect(job(world, built))
    assert done.report.lying == ("operator 3",)


def test_a_refusal_by_all_carries_its_rule_and_who_said_it(world, built, operators):
    """A wrong proof: the rule is PROTOCOL's, and every operator's signed answer is there."""
    spoiled = replace(built, tx=replace(built.tx, outputs=spoil(built.tx)))
    with pytest.raises(QuorumNotReached) as caught:
        operators.collect(job(world, spoiled))
    assert caught.value.rule == "ProofInvalid"
    assert all(reply.startswith("refused: ProofInvalid") for reply in caught.value.replies.values())


def spoil(tx: Tx):
    """The outputs with one bit of the proof in the OP_RETURN changed."""
    outputs = list(tx.outputs)
    at = next(i for i, out in enumerate(outputs) if out.script[:1] == b"\x6a")
    script = outputs[at].script
    where = script.index(b"GRL1") + 40
    flipped = script[:where] + bytes([script[where] ^ 1]) + script[where + 1 :]
    outputs[at] = replace(outputs[at], script=flipped)
    return tuple(outputs)


def test_S16_two_rivals_at_once_one_completes_and_the_other_is_told(world, deposit, operators):
    """Both coordinators run together; the loser learns the winner's txid."""
    rivals = [world.peg_in(*deposit, rate=rate) for rate in (2, 3)]
    jobs = [job(world, rival) for rival in rivals]
    ends: dict[int, Collected | Refused] = {}
    operators.faults.update({i: Fault(delay=0.01 * (i % 5)) for i in range(16)})

    async def both() -> None:
        async def run(number: int) -> None:
            try:
                ends[number] = await collect(
                    jobs[number],
                    operators.network,
                    operators.scope,
                    operators.transport,
                    limits=QUICK,
                )
            except Refused as exc:
                ends[number] = exc

        async with anyio.create_task_group() as group:
            for number in (0, 1):
                group.start_soon(run, number)

    simulated(both)
    won = [number for number, end in ends.items() if isinstance(end, Collected)]
    assert len(won) == 1
    lost = ends[1 - won[0]]
    assert isinstance(lost, Refused)
    assert (lost.rule, lost.got) == ("OutpointTaken", str(rivals[won[0]].tx.txid))
    winner = ends[won[0]]
    assert isinstance(winner, Collected)
    verify_spend(winner.tx.serialize(), rivals[won[0]].spent_outputs)


def split(world, operators, deposit) -> tuple[Assembled, Assembled]:
    """Seven enclaves have voted for one spend, nine for another; both users are gone."""
    one, two = (world.peg_in(*deposit, rate=rate) for rate in (2, 3))
    bodies = [world.request(each).serialize() for each in (one, two)]
    for index, enclave in enumerate(operators.enclaves):
        enclave.reply(frames.vote_frame(bodies[index >= 7]).raw)
    return one, two


def test_S16_a_split_that_both_left_is_finished_by_the_next(world, deposit, operators):
    one, _two = split(world, operators, deposit)
    done = operators.collect(job(world, one))
    assert done.decision.round >= 1
    verify_spend(done.tx.serialize(), one.spent_outputs)


@pytest.mark.parametrize("liars", [(3,), (0, 5, 9, 14)])
def test_S16_votes_that_nobody_can_show_stop_nobody(world, deposit, operators, liars):
    """Enclaves whose keys are out say in promises that they voted for what does not exist."""
    one, _two = split(world, operators, deposit)

    def lie(_frame: Frame, raw: bytes) -> bytes:
        reply = Reply.parse(raw)
        if reply.refusal is not None or reply.standing is not None:
            return raw
        told = Promise.parse(reply.blob())
        reports = tuple(
            replace(r, round=told.round, family=Family(bytes(32))) for r in told.reports
        )
        by = KEYS[told.head.sender]
        return replace(
            reply, body=replace(told, reports=reports).signed(by).serialize()
        ).serialize()

    operators.faults.update({i: only(frames.PROMISE, lie) for i in liars})
    done = operators.collect(job(world, one))
    assert done.decision.round >= 1
    verify_spend(done.tx.serialize(), one.spent_outputs)


def test_what_most_saw_spent_is_over_though_some_would_go_on(world, deposit, operators):
    """Two have not seen the block yet, and hold votes for a rival: no reason to ask for ever."""
    rival, mine = (world.peg_in(*deposit, rate=rate) for rate in (2, 3))
    for enclave in (operators.enclaves[0], operators.enclaves[2]):
        enclave.reply(frames.vote_frame(world.request(rival).serialize()).raw)

    def saw_the_block(operator: int) -> Callable[[Frame, bytes], bytes]:
        def answer(frame: Frame, _raw: bytes) -> bytes:
            key, scope = KEYS[operator], operators.scope
            about = (scope.network, world.configuration.digest, key.public, frame.subject)
            said = Refusal(*about, "InputSpent", "an input is spent in a block")
            return Reply(refusal=said.signed(key)).serialize()

        return answer

    operators.faults.update(
        {i: Fault(tamper=saw_the_block(i)) for i in range(16) if i not in (0, 2)}
    )
    with pytest.raises(Refused) as caught:
        operators.collect(job(world, mine))
    assert caught.value.rule == "InputSpent"
    # Four may lie: by their word alone nothing is over, and one of the rivals completes.
    operators.faults.clear()
    operators.faults.update({i: Fault(tamper=saw_the_block(i)) for i in range(4, 8)})
    published: list[Tx] = []

    async def publish(tx: Tx) -> None:
        published.append(tx)

    with suppress(Refused):
        published.append(operators.collect(job(world, mine), publish=publish).tx)
    assert len(published) == 1


@pytest.mark.parametrize("held", ["decided", "voted in a round"])
@pytest.mark.parametrize("hiding", [(3,), (0, 5, 9, 14)])
def test_S16_hosts_that_hide_a_block_keep_no_outpoint(world, hiding, held):
    """Their enclaves hold on to what died in it, as they must: the others are enough."""
    built, vault, units, own = two_coins(world)
    operators = Operators(world)
    request = world.request(built, ALICE)
    if held == "decided":
        votes = [vote(enclave, request) for enclave in operators.enclaves]
        for enclave in operators.enclaves:
            sign(enclave, request, votes[:QUORUM]).unwrap()
    else:
        opened = open_round(operators.enclaves[1], 1, request)
        promises = [promise(enclave, opened, request) for enclave in operators.enclaves]
        for operator in hiding:
            ballot(operators.enclaves[operator], promises[:QUORUM], request).unwrap()
    conflict = double_spend(own)
    world.confirm(conflict)
    world.feed(*operators.enclaves)
    proof = world.chain.prove(conflict.txid)
    for operator in set(range(16)) - set(hiding):
        show_spend(operators.enclaves[operator], conflict, proof, built.tx).unwrap()
    rival = world.peg_out(vault, units, 60_000)
    done = operators.collect(job(world, rival, ALICE))
    verify_spend(done.tx.serialize(), rival.spent_outputs)


def test_S17_what_twelve_voted_for_is_finished_by_a_rival_and_published(world, deposit, operators):
    """Twelve fast votes and a user who vanished: the rival finishes that one first."""
    one, two = (world.peg_in(*deposit, rate=rate) for rate in (2, 3))
    left = world.request(one).serialize()
    for enclave in operators.enclaves[:12]:
        enclave.reply(frames.vote_frame(left).raw)
    published: list[Tx] = []

    async def publish(tx: Tx) -> None:
        published.append(tx)

    with pytest.raises(Refused) as caught:
        operators.collect(job(world, two), publish=publish)
    assert (caught.value.rule, caught.value.got) == ("OutpointTaken", str(one.tx.txid))
    assert [tx.txid for tx in published] == [one.tx.txid]
    verify_spend(published[0].serialize(), one.spent_outputs)


def test_S18_every_reply_lost_once(world, built, operators):
    """Each operator's first reply to each kind of frame never arrives: one transaction all the same."""
    lost: set[tuple[int, str]] = set()

    def losing(operator: int) -> Callable[[bytes], Awaitable[bytes]]:
        inner = peer(operators.enclaves[operator])

        async def answer(raw: bytes) -> bytes:
            reply = await inner(raw)
            place = (operator, Frame.parse(raw).kind)
            if place not in lost:
                lost.add(place)
                await anyio.sleep_forever()
            return reply

        return answer

    operators.transport.peers = [losing(i) for i in range(16)]
    limits = replace(QUICK, tries=2)
    done = simulated(
        lambda: collect(
            job(world, built),
            operators.network,
            operators.scope,
            operators.transport,
            limits=limits,
        )
    )
    assert len(lost) >= 32
    verify_spend(done.tx.serialize(), built.spent_outputs)


def test_a_frame_that_comes_twice_changes_nothing(world, built, operators):
    operators.faults.update({i: Fault(duplicate=True) for i in range(16)})
    done = operators.collect(job(world, built))
    verify_spend(done.tx.serialize(), built.spent_outputs)


def test_a_request_is_read_from_its_bytes(world, built):
    """The leaves come from the PSBT, and agree with the spell's."""
    found = job(world, built)
    assert {i: quorum.leaf for i, quorum in found.leaves.items()} == {
        spend.index: replace(spend.leaf, name="") for spend in built.check().quorum_inputs
    }
    assert (found.leaves[0].keys, found.leaves[0].quorum) == (ROSTER.keys, 12)


@pytest.mark.parametrize("quorum", [1, 12, 16, 17, 127, 128, 300])
def test_the_quorum_leaf_is_read_as_it_is_written(quorum):
    count = max(quorum, 16)
    keys = [KeyPair((i + 1).to_bytes(32, "big")).public for i in range(count)]
    roster = Roster.of(0, keys, quorum)
    assert read_quorum_leaf(quorum_leaf(roster)) == (roster.keys, quorum)


@pytest.mark.parametrize(
    "script", [b"", b"\x51\x9c", quorum_leaf(ROSTER)[:-1], b"\x20" + bytes(40)]
)
def test_another_leaf_is_no_quorum_leaf(script):
    with pytest.raises(DecodeError, match="quorum leaf"):
        read_quorum_leaf(script)


def test_S16_a_request_with_a_spoiled_witness_is_none(world):
    """A family says nothing of witnesses: who shows a rival's request may have changed one."""
    request = world.request(two_coins(world)[0], ALICE)
    psbt = Psbt.parse(request.psbt)
    index = next(n for n, known in enumerate(psbt.inputs) if known.final_script_witness)
    first, *others = psbt.inputs[index].final_script_witness
    spoiled = psbt.with_input(index, final_script_witness=(flipped(first, 1), *others))
    other = replace(request, psbt=spoiled.serialize())
    SigningJob.read(world.network, request.serialize())
    with pytest.raises(Incorrect):
        SigningJob.read(world.network, other.serialize())


@pytest.mark.parametrize("part", ["script", "control_block"])
def test_S16_a_request_with_a_spoiled_leaf_is_none(world, built, part):
    """Nor of leaves: under another script no operator's signature is valid, or no witness is."""
    request = world.request(built)
    psbt = Psbt.parse(request.psbt)
    index = next(n for n, known in enumerate(psbt.inputs) if known.tap_leaf_scripts)
    (leaf,) = psbt.inputs[index].tap_leaf_scripts
    wrong = replace(leaf, **{part: flipped(getattr(leaf, part), 20)})
    spoiled = psbt.with_input(index, tap_leaf_scripts=(wrong,))
    other = replace(request, psbt=spoiled.serialize())
    with pytest.raises(Incorrect, match="the leaf is none of the output's"):
        SigningJob.read(world.network, other.serialize())
    none = replace(request, psbt=psbt.with_input(index, tap_leaf_scripts=()).serialize())
    with pytest.raises(InvalidInput, match="neither a witness nor the quorum's leaf"):
        SigningJob.read(world.network, none.serialize())


def test_S16_a_request_with_a_spoiled_amount_is_none(world, built):
    """Nor of amounts: what an input spends is read in the transaction that made it, and there only."""
    request = world.request(built)
    psbt = Psbt.parse(request.psbt)
    known = psbt.inputs[0]
    more = replace(known.witness_utxo, sats=known.witness_utxo.sats + 1)
    other = replace(known.non_witness_utxo, locktime=7)

    def refused(message, **changes):
        spoiled = replace(request, psbt=psbt.with_input(0, **changes).serialize(), evidence=())
        with pytest.raises(InvalidInput, match=message):
            SigningJob.read(world.network, spoiled.serialize())

    refused("is not that output", witness_utxo=more)
    refused("that made .* is missing", witness_utxo=more, non_witness_utxo=None)
    refused("that made .* is missing", non_witness_utxo=other)
    bare = psbt.with_input(0, non_witness_utxo=None, witness_utxo=None)
    evidence = (TxEvidence(known.non_witness_utxo.serialize()),)
    whole = replace(request, psbt=bare.serialize(), evidence=evidence)
    read = SigningJob.read(world.network, whole.serialize())
    assert read.prevouts == SigningJob.read(world.network, request.serialize()).prevouts
