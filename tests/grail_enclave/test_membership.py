"""The first roster and its deploy: signed by all, accepted once, taken from the chain alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    KEYS,
    QUORUM,
    RATE,
    ROSTER,
    N,
    World,
    account,
    ask,
    prove,
    rule,
    vote,
    zkbtc_app,
)

from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import Network
from grail.bitcoin.tx import TxIn
from grail.bridge.deploy import draft_deploy
from grail.crypto.schnorr import KeyPair
from grail.draft.draft import Purse
from grail.errors import InvalidInput
from grail.operators import frames
from grail.operators.configuration import SIGNING_RULES
from grail.operators.evidence import DeployRecord, TxEvidence
from grail.operators.roster import FirstRoster, roster_fields
from grail.types import TxOut
from grail_enclave.checks import RULES, rule_names
from grail_enclave.enclave import Enclave, started

STRANGER = KeyPair(b"\x0b" * 32)


@pytest.fixture
def world() -> World:
    return World.begun()


def propose(enclave: Enclave, roster: Roster) -> frames.Reply:
    return ask(enclave, frames.FIRST_ROSTER_SIGN, roster_fields(roster))


def others(count: int = N) -> list[bytes]:
    return [KeyPair(bytes([9, i]) * 16).public for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("case", "roster", "name"),
    [
        ("own key missing", Roster.of(0, others(), QUORUM), "NotMember"),
        ("too few members", Roster.of(0, ROSTER.keys[:15], QUORUM), "RosterInvalid"),
        ("another quorum", Roster.of(0, ROSTER.keys, 13), "RosterInvalid"),
        ("quorum of one", Roster.of(0, ROSTER.keys, 1), "RosterInvalid"),
        (
            "internal key with a known secret",
            Roster.of(0, ROSTER.keys, QUORUM, STRANGER.public),
            "RosterInvalid",
        ),
    ],
)
def test_S8_R3_first_rosters_that_no_enclave_signs(
    world: World, case: str, roster: Roster, name: str
) -> None:
    """Size and quorum are the configuration's, the internal key is NUMS, the own key is in it."""
    assert case
    assert rule(propose(world.bare(), roster)) == name


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [[], 12, bytes(32)],
        [[bytes(32)] * 16, 12, bytes(32)],
        [[bytes(k) for k in reversed(ROSTER.keys)], 12, bytes(ROSTER.internal_key)],
        [[bytes(k) for k in ROSTER.keys], 0, bytes(ROSTER.internal_key)],
        [[bytes(k) for k in ROSTER.keys], 17, bytes(ROSTER.internal_key)],
        [[bytes(k) for k in ROSTER.keys], True, bytes(ROSTER.internal_key)],
        [[bytes(k) for k in (*ROSTER.keys[:15], ROSTER.keys[0])], 12, bytes(32)],
    ],
)
def test_R3_rosters_that_are_none(world: World, value: object) -> None:
    assert rule(ask(world.bare(), frames.FIRST_ROSTER_SIGN, value)) in {
        "FrameInvalid",
        "InvalidInput",
    }


def test_first_roster_is_signed_for_once(world: World) -> None:
    """One list of members per life of a process; the same list again gets the same signature."""
    enclave = world.bare()
    first = propose(enclave, ROSTER).unwrap()
    assert propose(enclave, ROSTER).unwrap() == first
    mixed = Roster.of(0, [KEYS[0].public, *others(15)], QUORUM)
    assert rule(propose(enclave, mixed)) == "RosterFixed"


def test_R4_first_roster_needs_every_members_signature(world: World) -> None:
    """One signature missing, swapped, of a stranger, or made for another policy: not accepted."""
    good = world.first_roster
    enclave = world.bare()

    def accept(first: FirstRoster) -> frames.Reply:
        return ask(enclave, frames.FIRST_ROSTER_ACCEPT, first.fields())

    swapped = (good.signatures[1], good.signatures[0], *good.signatures[2:])
    for signatures in (
        swapped,
        (good.signatures[0],) * N,
        (*good.signatures[:-1], bytes(64)),
        (*good.signatures[:-1], STRANGER.sign(bytes(32))),
    ):
        assert rule(accept(replace(good, signatures=signatures))) == "RosterInvalid"
    assert rule(ask(enclave, frames.FIRST_ROSTER_ACCEPT, good.fields()[:1])) == "FrameInvalid"
    short = [good.fields()[0], list(good.signatures[:-1])]
    assert rule(ask(enclave, frames.FIRST_ROSTER_ACCEPT, short)) == "FrameInvalid"
    other = world.bare(max_fee=1)
    assert rule(ask(other, frames.FIRST_ROSTER_ACCEPT, good.fields())) == "RosterInvalid"
    assert accept(good).refusal is None
    assert accept(good).refusal is None


def test_A13_enclave_with_another_quorum(world: World) -> None:
    """Started with quorum 11, an enclave neither signs nor accepts what the others agree on."""
    odd = world.bare(quorum=11)
    assert rule(propose(odd, ROSTER)) == "RosterInvalid"
    assert rule(ask(odd, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields())) == (
        "RosterInvalid"
    )
    assert frames.Status.from_fields(ask(odd, frames.STATUS).unwrap()).configuration != (
        world.configuration.digest
    )


def test_A13_rules_are_those_of_the_digest(world: World) -> None:
    """A configuration that names other rules than the code has does not start an enclave."""
    assert rule_names(RULES) == SIGNING_RULES == world.configuration.rules
    assert started(world.configuration, KEYS[0]).network_id == world.network.id
    for names in (SIGNING_RULES[1:], tuple(reversed(SIGNING_RULES)), ()):
        with pytest.raises(InvalidInput, match="rules"):
            started(replace(world.configuration, rules=names), KEYS[0])
    with pytest.raises(InvalidInput, match="rules"):
        started(world.configuration, KEYS[0], RULES[:-1])


def accepted(world: World) -> Enclave:
    enclave = world.bare()
    ask(enclave, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields()).unwrap()
    return enclave


def test_record_is_taken_once_and_tells_the_nft(world: World) -> None:
    enclave = accepted(world)
    body = world.deploy_record().to_value()
    first = ask(enclave, frames.RECORD, body).unwrap()
    assert first == [0, world.deploy.outpoint(0).serialize()]
    assert ask(enclave, frames.RECORD, body).unwrap() == first


def test_record_before_the_roster(world: World) -> None:
    enclave = world.bare()
    assert rule(ask(enclave, frames.RECORD, world.deploy_record().to_value())) == "RosterInvalid"


def test_S3_S10_record_is_checked_in_full(world: World) -> None:
    """No inclusion, a wrong one, no bundle, no parents, another transaction: no record."""
    enclave = accepted(world)
    good = world.deploy_record()
    other = world.give(ALICE, 1_000)
    world.feed(enclave)
    paid = world.transactions[other.outpoint.txid]
    cases: list[tuple[DeployRecord, str]] = [
        (replace(good, inclusion=world.chain.prove(paid.txid)), "NotConfirmed"),
        (replace(good, raw=good.raw[:-1]), "NotConfirmed"),
        (replace(good, bundles=()), "BundleMismatch"),
        (replace(good, evidence=()), "HistoryMissing"),
        (
            replace(good, raw=paid.serialize(), inclusion=world.chain.prove(paid.txid)),
            "RosterInvalid",
        ),
    ]
    for record, name in cases:
        assert rule(ask(enclave, frames.RECORD, record.to_value())) == name
    assert rule(ask(enclave, frames.RECORD, None)) == "FrameInvalid"
    status = frames.Status.from_fields(ask(enclave, frames.STATUS).unwrap())
    assert status.roster is None
    assert ask(enclave, frames.RECORD, good.to_value()).refusal is None


def deployed_with(world: World, roster: Roster, *, tamper: bool = False) -> DeployRecord:
    """Another deploy from the same outpoint, in a block of another branch."""
    branch = world.chain.fork(world.deployed_at - 1)
    purse = Purse([], account("grail").script, RATE)
    parent = world.transactions[world.network.grail_outpoint.txid]
    coin = world.coin(parent, world.network.grail_outpoint.vout)
    built = prove(
        draft_deploy(world.network, zkbtc_app(), roster, coin, purse, height=branch.height + 1)
    )
    tx = built.signed_by(account("grail"))
    if tamper:
        outputs = (TxOut(tx.outputs[0].sats + 1, tx.outputs[0].script), *tx.outputs[1:])
        tx = replace(tx, outputs=outputs)
    branch.mine(tx)
    branch.mine_many(world.chain.height - branch.height + 1)
    world.chain = branch
    world.transactions[tx.txid] = tx
    world.deploy = tx
    return world.deploy_record()


def test_R13_deploy_of_another_roster(world: World) -> None:
    """A correct deploy on the heaviest chain whose NFT names other members: not accepted."""
    thieves = Roster.of(0, others(), QUORUM)
    enclave = accepted(world)
    record = deployed_with(world, thieves)
    world.feed(enclave)
    assert rule(ask(enclave, frames.RECORD, record.to_value())) == "RosterInvalid"


def test_Z6_deploy_with_a_proof_of_something_else(world: World) -> None:
    """One sat moved after proving: confirmed or not, it is no deploy."""
    enclave = accepted(world)
    record = deployed_with(world, ROSTER, tamper=True)
    world.feed(enclave)
    assert rule(ask(enclave, frames.RECORD, record.to_value())) == "ProofInvalid"


def test_deploy_needs_its_outpoint(world: World) -> None:
    """The same spell from another outpoint is of another network."""
    enclave = accepted(world)
    fake = replace(
        world.deploy, inputs=(TxIn(world.give(ALICE, 9_000).outpoint), *world.deploy.inputs[1:])
    )
    world.chain.mine(fake)
    world.transactions[fake.txid] = fake
    world.feed(enclave)
    record = DeployRecord(
        fake.serialize(),
        world.chain.prove(fake.txid),
        (zkbtc_app().bundle.serialize(),),
        tuple(
            TxEvidence(world.transactions[txin.outpoint.txid].serialize()) for txin in fake.inputs
        ),
    )
    assert rule(ask(enclave, frames.RECORD, record.to_value())) == "RosterInvalid"


def test_S32_network_parameters_are_part_of_what_is_signed(world: World) -> None:
    """A first roster signed for one network is none on another."""
    network = Network(world.network.chain, world.deploy.outpoint(0))
    enclave = world.bare(network=network)
    assert rule(ask(enclave, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields())) == (
        "RosterInvalid"
    )


def test_nothing_is_signed_without_a_record(world: World) -> None:
    request = world.request(world.peg_in(*world.paid()))
    for enclave in (world.bare(), accepted(world)):
        world.feed(enclave)
        assert rule(vote(enclave, request)) == "ViewStale"
