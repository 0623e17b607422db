"""What the chain must say before an operator signs: depth, margins, parents, fresh views."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, QUORUM, ROSTER, World, ask, prove, rule, sign, vote, zkbtc_app
from made_chain import MadeChain

from grail.bitcoin.addresses import Roster
from grail.bitcoin.spv import Inclusion
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.record import Reign
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Act
from grail.draft.draft import CARRIER, Draft
from grail.errors import Refused
from grail.operators import frames
from grail.operators.evidence import SigningRequest, TxEvidence
from grail.operators.messages import BestHeader, Vote
from grail.types import TxOut
from grail_enclave.case import Case
from grail_enclave.checks import Stage, admit
from grail_enclave.enclave import Enclave


@pytest.fixture
def world() -> World:
    return World.begun()


def edited_evidence(request: SigningRequest, **changes: object) -> SigningRequest:
    """The first item of evidence changed."""
    first, *rest = request.evidence
    return replace(request, evidence=(replace(first, **changes), *rest))


@pytest.mark.parametrize(("blocks", "passes"), [(0, False), (4, False), (5, True), (6, True)])
def test_S21_deposit_needs_k_confirmations(world: World, blocks: int, passes: bool) -> None:
    """k = 6: the block that holds the deposit and five above it."""
    deposit, coin = world.paid(deep=False)
    world.chain.mine_many(blocks)
    reply = vote(world.enclave(), world.request(world.peg_in(deposit, coin)))
    assert (reply.refusal is None) == passes
    if not passes:
        assert rule(reply) == "NotConfirmed"


def test_S21_unconfirmed_deposit(world: World) -> None:
    """A deposit in the mempool, replaceable as it is, mints nothing."""
    deposit = world.deposit()
    coin = world.give(deposit.script, 500_000, mined=False)
    # The transaction that funds it is a coin out of nowhere; it only has to be known.
    built = world.peg_in(deposit, coin)
    psbt = world.psbt(built)
    request = SigningRequest(
        psbt.serialize(),
        (zkbtc_app().bundle.serialize(),),
        (TxEvidence(world.transactions[coin.outpoint.txid].serialize()),),
    )
    assert rule(vote(world.enclave(), request)) == "ParentUnsafe"


@pytest.mark.parametrize(("margin", "passes"), [(37, True), (36, False), (1, False), (0, False)])
def test_S19_margin_before_the_owner_may_recover(world: World, margin: int, passes: bool) -> None:
    """Served while more than 36 blocks remain before the recovery leaf opens, never after."""
    delay = 144
    deposit, coin = world.paid(delay=delay)
    assert coin.height is not None
    world.chain.mine_many(coin.height + delay - margin - world.chain.height)
    built = world.peg_in(deposit, coin)
    reply = vote(world.enclave(), world.request(built))
    assert (reply.refusal is None) == passes
    if not passes:
        assert rule(reply) == "RecoveryNear"


def test_S19_decided_before_the_margin_is_signed_within_it(world: World) -> None:
    """The margin is checked before voting and not again: a decided transaction must finish."""
    deposit, coin = world.paid(delay=144)
    assert coin.height is not None
    world.chain.mine_many(coin.height + 144 - 37 - world.chain.height)
    request = world.request(world.peg_in(deposit, coin))
    votes = world.voted(request)
    enclave = world.enclave()
    world.chain.mine_many(2)
    world.feed(enclave)
    assert rule(vote(enclave, request)) == "RecoveryNear"
    assert sign(enclave, request, votes).refusal is None


def test_S10_headers_at_the_enclave(world: World) -> None:
    """Headers whose work was not done change nothing; the tip stays."""
    enclave = world.enclave()
    state = enclave.state_hash()
    header = world.chain.fork(world.chain.height).mine().header
    while int.from_bytes(header.hash, "little") < 1 << 255:
        header = replace(header, nonce=header.nonce + 1)
    assert rule(ask(enclave, frames.HEADERS, [header.serialize()])) == "HeadersInvalid"
    for bad in (None, [1], [b"short"], {"headers": []}, [bytes(80)] * 2_001):
        assert rule(ask(enclave, frames.HEADERS, bad)) in {"FrameInvalid", "HeadersInvalid"}
    assert enclave.state_hash() == state


def test_S12_reorg_takes_a_deposit_away(world: World) -> None:
    """A deposit on a chain that lost is not confirmed; the mint that spends it dies with it."""
    deposit, coin = world.paid()
    request = world.request(world.peg_in(deposit, coin))
    enclave = world.enclave()
    votes = world.voted(request)
    assert coin.height is not None
    rival = world.chain.fork(coin.height - 1)
    rival.mine_many(world.chain.height - rival.height + 1)
    ask(enclave, frames.HEADERS, [h.serialize() for h in rival.headers]).unwrap()
    assert rule(vote(enclave, request)) == "NotConfirmed"
    assert rule(sign(enclave, request, votes)) == "NotConfirmed"


def test_S12_reorg_takes_the_deploy_away(world: World) -> None:
    """Without its deploy a roster rules nothing; once the deploy is in a block again, it does."""
    enclave = world.enclave()
    deposit, coin = world.paid()
    request = world.request(world.peg_in(deposit, coin))
    rival = world.chain.fork(world.deployed_at - 1)
    rival.mine_many(world.chain.height - rival.height + 1)
    ask(enclave, frames.HEADERS, [h.serialize() for h in rival.headers]).unwrap()
    assert rule(vote(enclave, request)) in {"ViewStale", "NotConfirmed"}
    status = frames.Status.from_fields(ask(enclave, frames.STATUS).unwrap())
    assert (status.epoch, status.roster) == (None, None)
    world.chain = rival
    world.chain.mine(world.deploy)
    world.deployed_at = world.chain.height
    world.feed(enclave)
    ask(enclave, frames.RECORD, world.deploy_record().to_value()).unwrap()
    world.chain.mine_many(world.network.k)
    again = world.paid()
    world.feed(enclave)
    assert vote(enclave, world.request(world.peg_in(*again))).refusal is None


def inclusion(request: SigningRequest) -> Inclusion:
    found = request.evidence[0].inclusion
    assert found is not None
    return found


def test_S13_S14_S15_proofs_of_inclusion(world: World) -> None:
    """At the enclave: a proof of another transaction, another place, another depth: refused."""
    deposit, coin = world.paid()
    other = world.give(ALICE, 1_000)
    request = world.request(world.peg_in(deposit, coin))
    enclave = world.enclave()
    proof = inclusion(request)
    for bad in (
        world.chain.prove(other.outpoint.txid),
        replace(proof, index=proof.index ^ 1),
        replace(proof, branch=(*proof.branch, bytes(32))),
        replace(proof, branch=proof.branch[:-1]),
        replace(proof, coinbase=b"\x00"),
        replace(proof, block=type(proof.block)(bytes(32))),
    ):
        state = enclave.state_hash()
        assert rule(vote(enclave, edited_evidence(request, inclusion=bad))) == "NotConfirmed"
        assert enclave.state_hash() == state
    without = edited_evidence(request, inclusion=None)
    assert rule(vote(enclave, without)) == "ParentUnsafe"


def test_immature_coinbase(world: World) -> None:
    """An input of a fresh coinbase would make a transaction that no node takes for 100 blocks."""
    tx, minted = world.served()
    world.confirm(tx)
    held = world.coin(tx, 1, {world.zkbtc.token: minted})
    block = world.chain.mine()
    coinbase = replace(block.txs[0], outputs=(TxOut(50_000, ALICE.script),))
    mined = world.chain.fork(world.chain.height - 1)
    header = replace(block.header, merkle_root=bytes(coinbase.txid))
    from made_chain import Block, mine

    mined.blocks.append(Block(mine(header), (coinbase,)))
    world.chain = mined
    world.transactions[coinbase.txid] = coinbase
    draft = Draft(world.context)
    draft.spend_guarded(world.zkbtc, world.coin(tx, 0))
    draft.spend(held, world.coin(coinbase, 0))
    draft.pay_guard(world.zkbtc, minted - 100_000)
    draft.keep_rest(ALICE.script, CARRIER, {world.zkbtc.token: -100_000})
    draft.pay(ALICE.script, 100_000 + 48_000)
    draft.act(Act(world.zkbtc, zkbtc_app(), "settle"))
    built = prove(draft.assemble())
    assert rule(vote(world.enclave(), world.request(built, ALICE))) == "NotConfirmed"
    world.chain.mine_many(99)
    assert vote(world.enclave(), world.request(built, ALICE)).refusal is None


def chained(world: World, parent: Tx, minted: int) -> SigningRequest:
    built = world.peg_out(
        world.coin(parent, 0), world.coin(parent, 1, {world.zkbtc.token: minted}), minted // 2
    )
    return world.request(built, ALICE)


def test_G11_unconfirmed_parent_must_be_the_quorums(world: World) -> None:
    """Signatures of eleven, of a roster that does not rule, changed prevouts: no safe parent."""
    tx, minted = world.served()
    request = chained(world, tx, minted)
    enclave = world.enclave()
    assert vote(enclave, request).refusal is None
    parent = next(item for item in request.evidence if item.tx.txid == tx.txid)
    rest = tuple(item for item in request.evidence if item is not parent)

    def shown(item: TxEvidence) -> str:
        # The PSBT's copy of the parent must not stand in for the altered one.
        return rule(vote(world.enclave(), replace(request, evidence=(item, *rest))))

    *stack, leaf, control = tx.inputs[0].witness
    signed = [index for index, item in enumerate(stack) if item]
    eleven = list(stack)
    eleven[signed[0]] = b""
    swapped = list(stack)
    swapped[signed[0]], swapped[signed[1]] = stack[signed[1]], stack[signed[0]]
    for witness in (
        (*eleven, leaf, control),
        (*swapped, leaf, control),
        (*stack, leaf[:-1] + b"\x9d", control),
        (bytes(64),),
        (),
    ):
        assert shown(
            TxEvidence(tx.with_witness(0, witness).serialize(), None, parent.prevouts)
        ) == ("ParentUnsafe")
    assert parent.prevouts is not None
    lower = (replace(parent.prevouts[0], sats=parent.prevouts[0].sats - 1),)
    assert shown(replace(parent, prevouts=lower)) == "ParentUnsafe"
    assert shown(replace(parent, prevouts=())) == "ParentUnsafe"
    assert shown(replace(parent, prevouts=None)) == "ParentUnsafe"
    alone = replace(request, evidence=(parent,))
    assert rule(vote(world.enclave(), alone)) == "ParentUnsafe"


def test_G11_chain_of_unconfirmed_is_capped(world: World) -> None:
    """Each spend hangs on the last; one more than policy allows is refused."""
    tx, minted = world.served()
    request = chained(world, tx, minted)
    enclave = world.enclave()
    anchors = enclave.anchors()
    assert admit(Case(request, anchors), Stage.ADMIT).quorum_inputs
    for limit, passes in ((1, True), (0, False)):
        policy = replace(anchors.configuration)
        object.__setattr__(policy, "max_unconfirmed", limit)
        case = Case(request, replace(anchors, configuration=policy))
        if passes:
            admit(case, Stage.ADMIT)
        else:
            with pytest.raises(Refused, match="too long"):
                admit(case, Stage.ADMIT)


def test_S21_users_unconfirmed_coin(world: World) -> None:
    """A user's own unconfirmed coin could be replaced, and the pool's input with it: refused."""
    tx, minted = world.served()
    world.confirm(tx)
    held = world.coin(tx, 1, {world.zkbtc.token: minted})
    loose = world.give(ALICE, 60_000, mined=False)
    draft = Draft(world.context)
    draft.spend_guarded(world.zkbtc, world.coin(tx, 0))
    draft.spend(held, loose)
    draft.pay_guard(world.zkbtc, minted - 100_000)
    draft.keep_rest(ALICE.script, CARRIER, {world.zkbtc.token: -100_000})
    draft.pay(ALICE.script, 150_000)
    draft.act(Act(world.zkbtc, zkbtc_app(), "settle"))
    built = prove(draft.assemble())
    request = SigningRequest(
        world.psbt(built, ALICE).serialize(),
        (),
        tuple(
            TxEvidence(raw.serialize(), world.known.inclusions.get(txid))
            for txid, raw in world.transactions.items()
        ),
    )
    assert rule(vote(world.enclave(), request)) == "ParentUnsafe"


def lagging(
    world: World, enclave: Enclave, votes: list[frames.Reply], ahead: int, liars: int
) -> str:
    """The verdict of an enclave when some voters report a chain this much ahead."""
    from enclave_world import KEYS

    tip = enclave.anchors().tip
    work = enclave.anchors().headers.block_work
    best = BestHeader(tip.hash, tip.height + ahead, tip.work + ahead * work)
    changed = []
    for index, reply in enumerate(votes):
        found = Vote.parse(reply.unwrap())
        if index < liars:
            found = replace(found, head=replace(found.head, best=best)).signed(KEYS[index])
        changed.append(replace(reply, body=found.serialize()))
    reply = sign(enclave, world.request(*world.__dict__["pending"]), changed)
    return "" if reply.refusal is None else reply.refusal.rule


def test_S11_enclave_that_lags_behind_the_voters(world: World) -> None:
    """More than two blocks of work behind what honest voters report: no signature (ViewBehind)."""
    built = world.peg_in(*world.paid())
    world.__dict__["pending"] = (built,)
    votes = world.voted(world.request(built))
    assert lagging(world, world.enclave(), votes, 2, QUORUM) == ""
    assert lagging(world, world.enclave(), votes, 3, QUORUM) == "ViewBehind"
    assert lagging(world, world.enclave(), votes, 3, 5) == "ViewBehind"
    # Four of sixteen may lie: alone they stop nobody.
    assert lagging(world, world.enclave(), votes, 1_000, 4) == ""


def test_S11_enclave_that_was_shown_nothing_new(world: World) -> None:
    """An enclave cut off from headers stops voting once others reported a much longer chain."""
    built = world.peg_in(*world.paid())
    world.__dict__["pending"] = (built,)
    request = world.request(built)
    votes = world.voted(request)
    enclave = world.enclave()
    assert lagging(world, enclave, votes, 2, QUORUM) == ""
    fresh = world.peg_in(*world.paid())
    lost = world.enclave()
    anchors = lost.anchors()
    heard = {
        key: BestHeader(anchors.tip.hash, anchors.tip.height + 7, anchors.tip.work + 100)
        for key in ROSTER.keys[:5]
    }
    case = Case(world.request(fresh), replace(anchors, heard=heard))
    with pytest.raises(Refused, match="ViewStale"):
        admit(case, Stage.ADMIT)
    four = {key: best for key, best in heard.items() if key in ROSTER.keys[:4]}
    assert admit(Case(world.request(fresh), replace(anchors, heard=four)), Stage.ADMIT)


def test_ViewStale_before_the_roster_rules(world: World) -> None:
    """Until the deploy is k deep no roster rules and nothing is voted for."""
    young = World.__new__(World)
    young.__dict__.update(world.__dict__)
    young.chain = world.chain.fork(world.deployed_at + world.network.k - 2)
    enclave = young.enclave()
    deposit, coin = world.paid()
    assert rule(vote(enclave, world.request(world.peg_in(deposit, coin)))) in {
        "ViewStale",
        "NotConfirmed",
    }
    case = Case(young.request(replace_coin(young, world)), enclave.anchors())
    with pytest.raises(Refused, match="ViewStale"):
        admit(case, Stage.ADMIT)


def replace_coin(young: World, world: World):  # type: ignore[no-untyped-def]
    """A transaction whose parent the young chain holds."""
    deposit, coin = world.paid()
    built = world.peg_in(deposit, coin)
    parent = next(iter(young.transactions.values()))
    inputs = (TxIn(parent.outpoint(0)),)
    output = parent.outputs[0]
    spend = replace(built.spends[0], coin=replace(coin, outpoint=parent.outpoint(0), output=output))
    return replace(built, tx=replace(built.tx, inputs=inputs), spends=(spend,))


def test_made_chain_is_what_enclaves_follow() -> None:
    chain = MadeChain()
    chain.mine_many(2)
    assert chain.height == 2


def test_G11_parent_of_a_roster_that_no_longer_rules(world: World) -> None:
    """What a former quorum signed may confirm within its grace, but nothing new hangs on it."""
    tx, minted = world.served()
    request = chained(world, tx, minted)
    anchors = world.enclave().anchors()
    (first,) = anchors.record.reigns
    keys = [KeyPair(bytes([9, i]) * 16).public for i in range(1, 17)]
    height = anchors.next_height
    later = replace(
        anchors.record,
        reigns=(replace(first, end=height - 1), Reign(Roster.of(1, keys, QUORUM), height)),
    )
    with pytest.raises(Refused, match="does not rule"):
        admit(Case(request, replace(anchors, record=later)), Stage.ADMIT)
