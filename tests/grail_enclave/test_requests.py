"""Requests that must be refused, sent straight to an enclave: each check's bad case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from enclave_world import (
    ALICE,
    BOB,
    MALLORY,
    ROSTER,
    World,
    ask,
    prove,
    rule,
    sign,
    vote,
    zkbtc_app,
)

from grail.bitcoin import addresses, taproot
from grail.bitcoin.psbt import Psbt, TapLeafScript, TapScriptSig
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx, TxIn, sighash
from grail.charms import spell as spells
from grail.codec import encode
from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Act, Assembled
from grail.draft.draft import CARRIER, Draft, Payment
from grail.errors import Refused
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.types import OutPoint, Txid, TxOut
from grail_enclave.case import Case
from grail_enclave.checks import Stage, admit
from grail_enclave.enclave import Enclave


@dataclass
class PegOut:
    """A proven peg-out with everything that an attacker may edit."""

    world: World
    built: Assembled
    vault: Tx

    def psbt(self) -> Psbt:
        return self.world.psbt(self.built, ALICE)

    def request(self) -> SigningRequest:
        return self.world.requested(self.psbt())

    def with_tx(self, **changes: Any) -> SigningRequest:
        psbt = self.psbt()
        return replace(
            self.request(), psbt=replace(psbt, tx=replace(psbt.tx, **changes)).serialize()
        )

    def with_input(self, index: int, **changes: Any) -> SigningRequest:
        return replace(self.request(), psbt=self.psbt().with_input(index, **changes).serialize())

    def with_outputs(self, edit: Callable[[list[TxOut]], None]) -> SigningRequest:
        """Outputs changed after proving (and, for a fair test, signed again by Alice)."""
        outputs = list(self.built.tx.outputs)
        edit(outputs)
        built = replace(self.built, tx=replace(self.built.tx, outputs=tuple(outputs)))
        return replace(self.request(), psbt=self.world.psbt(built, ALICE).serialize())


@pytest.fixture(scope="module")
def peg_out(shared: World) -> PegOut:
    tx, minted = shared.served()
    shared.confirm(tx)
    draft = Draft(shared.context)
    draft.spend_guarded(shared.zkbtc, shared.coin(tx, 0))
    draft.spend(shared.coin(tx, 1, {shared.zkbtc.token: minted}), shared.give(ALICE, 90_000))
    draft.pay_guard(shared.zkbtc, minted - 100_000)
    draft.keep_rest(ALICE.script, CARRIER, {shared.zkbtc.token: -100_000})
    draft.pay(BOB.script, 100_000)
    draft.change = Payment(ALICE.script, 60_000)
    draft.act(Act(shared.zkbtc, zkbtc_app(), "settle"))
    return PegOut(shared, prove(draft.assemble()), tx)


@pytest.fixture
def enclave(shared: World, peg_out: PegOut) -> Enclave:  # noqa: ARG001
    return shared.enclave()


def refused(enclave: Enclave, request: SigningRequest) -> str:
    """The rule that refuses the request; the enclave's state must be what it was (S34)."""
    before = enclave.state_hash()
    name = rule(vote(enclave, request))
    assert enclave.state_hash() == before
    assert rule(sign(enclave, request, [])) == (name if name != "ViewStale" else "NotDecided")
    return name


def test_the_honest_request_passes(peg_out: PegOut, enclave: Enclave) -> None:
    assert vote(enclave, peg_out.request()).refusal is None


# S1, S4: what a request may carry


def test_S1_no_frame_takes_a_digest(peg_out: PegOut, enclave: Enclave) -> None:
    """No kind of frame signs 32 raw bytes; a digest in place of a PSBT is no PSBT."""
    digest = bytes(range(32))
    for kind in frames.KINDS:
        if kind not in {frames.STATUS, frames.BODY}:
            assert ask(enclave, kind, digest).refusal is not None
    assert refused(enclave, replace(peg_out.request(), psbt=digest)) == "PsbtInvalid"


def test_S4_own_yardsticks_in_a_request(peg_out: PegOut, enclave: Enclave) -> None:
    """A request with a roster, a header or a "verified" flag of its own is not read at all."""
    value = peg_out.request().to_value()
    for name in ("verified", "roster", "headers", "fee_cap", "record"):
        raw = encode({**value, name: True})
        assert rule(ask(enclave, frames.VOTE, raw)) == "FrameInvalid"


# S2: prevouts


def test_S2_prevouts_are_what_their_transactions_say(peg_out: PegOut, enclave: Enclave) -> None:
    """Another amount, another script, another transaction, none at all: refused."""
    psbt = peg_out.psbt()
    true = psbt.inputs[0].witness_utxo
    assert true is not None
    other = peg_out.world.deploy
    for changes in (
        {"witness_utxo": TxOut(true.sats + 1, true.script)},
        {"witness_utxo": TxOut(true.sats, BOB.script)},
        {"non_witness_utxo": other},
    ):
        assert refused(enclave, peg_out.with_input(0, **changes)) == "PrevoutMismatch"
    absent = peg_out.with_input(0, non_witness_utxo=None)
    wanted = psbt.tx.inputs[0].outpoint.txid
    kept = tuple(item for item in absent.evidence if item.tx.txid != wanted)
    assert refused(enclave, replace(absent, evidence=kept)) == "PrevoutMismatch"
    assert vote(enclave, absent).refusal is None  # the evidence holds it


def test_S2_outputs_that_do_not_exist(peg_out: PegOut, enclave: Enclave) -> None:
    inputs = list(peg_out.psbt().tx.inputs)
    inputs[0] = replace(inputs[0], outpoint=OutPoint(inputs[0].outpoint.txid, 7))
    assert refused(enclave, peg_out.with_tx(inputs=tuple(inputs))) == "PrevoutMismatch"


def test_S2_evidence_twice(peg_out: PegOut, enclave: Enclave) -> None:
    request = peg_out.request()
    twice = replace(request, evidence=(*request.evidence, request.evidence[0]))
    assert refused(enclave, twice) == "PrevoutMismatch"


# S5, S22, S27: what is paid


def test_S5_one_sat_more_after_proving(peg_out: PegOut, enclave: Enclave) -> None:
    """The payout raised by one sat: the proof is of another transaction."""

    def raise_payout(outputs: list[TxOut]) -> None:
        outputs[2] = TxOut(outputs[2].sats + 1, outputs[2].script)

    assert refused(enclave, peg_out.with_outputs(raise_payout)) == "ProofInvalid"


def test_S5_payout_to_somebody_else(peg_out: PegOut, enclave: Enclave) -> None:
    def steal(outputs: list[TxOut]) -> None:
        outputs[2] = TxOut(outputs[2].sats, MALLORY.script)

    assert refused(enclave, peg_out.with_outputs(steal)) == "ProofInvalid"


def test_S22_sats_of_the_vault_as_fee(peg_out: PegOut, enclave: Enclave) -> None:
    """A vault output that shrinks by one sat breaks the turnstile before any proof is looked at."""

    def skim(outputs: list[TxOut]) -> None:
        outputs[0] = TxOut(outputs[0].sats - 1, outputs[0].script)

    assert refused(enclave, peg_out.with_outputs(skim)) == "TurnstileBroken"


@pytest.mark.parametrize(
    ("change", "passes"), [(89_033, False), (89_032, True), (80_000, True), (330, True)]
)
def test_S22_fee_rate_on_the_true_weight(
    peg_out: PegOut, enclave: Enclave, change: int, passes: bool
) -> None:
    """At least 1 sat/vB over the size with twelve signatures, to the sat."""

    def spend(outputs: list[TxOut]) -> None:
        outputs[-1] = TxOut(change, outputs[-1].script)

    reply = vote(enclave, peg_out.with_outputs(spend))
    fee = 90_000 - change
    assert passes == (fee >= peg_out.built.vsize)
    assert (reply.refusal is None) == passes
    if not passes:
        assert rule(reply) == "FeeOutOfRange"


def test_S22_fee_above_the_cap(peg_out: PegOut) -> None:
    """A fee of more than the cap, or of a rate above policy, is refused by value and by rate."""
    world = peg_out.world
    for policy in ({"max_fee": 29_999}, {"max_fee_rate": 20}):
        configuration = replace(world.configuration, **policy)
        other = replace(world)  # same chain, other policy: enclaves of their own
        other.configuration = configuration
        other.__dict__.pop("first_roster", None)
        other.deploy, other.deployed_at = world.deploy, world.deployed_at
        other.network, other.zkbtc = world.network, world.zkbtc
        assert rule(vote(other.enclave(), peg_out.request())) == "FeeOutOfRange"


@pytest.mark.parametrize("kind", ["roster", "leaf", "internal key"])
def test_S27_change_of_the_vault_to_an_address_that_only_looks_like_it(
    peg_out: PegOut, enclave: Enclave, kind: str
) -> None:
    """Another roster's address, another leaf, a known internal key: the vault's sats must stay."""
    world = peg_out.world
    gid = world.zkbtc.gid(world.network)
    keys = [*ROSTER.keys[:-1], KeyPair(b"\x09" * 32).public]
    known = KeyPair(b"\x08" * 32).public
    fake = {
        "roster": addresses.guard(addresses.Roster.of(0, keys, 12), gid),
        "leaf": addresses.guard(ROSTER, bytes(32)),
        "internal key": addresses.guard(replace(ROSTER, internal_key=known), gid),
    }[kind]

    def divert(outputs: list[TxOut]) -> None:
        outputs[0] = TxOut(outputs[0].sats, fake.script_pubkey)

    assert refused(enclave, peg_out.with_outputs(divert)) == "TurnstileBroken"


def test_S27_change_past_the_spell_to_the_vault(peg_out: PegOut, enclave: Enclave) -> None:
    """Outputs that no fact counts may not lie at a guarded address."""
    guard = peg_out.built.tx.outputs[0].script

    def hide(outputs: list[TxOut]) -> None:
        outputs[-1] = TxOut(outputs[-1].sats, guard)

    assert refused(enclave, peg_out.with_outputs(hide)) == "OutputForbidden"


def test_S27_two_changes(peg_out: PegOut, enclave: Enclave) -> None:
    def split(outputs: list[TxOut]) -> None:
        outputs[-1:] = [TxOut(30_000, ALICE.script), TxOut(30_000, ALICE.script)]

    assert refused(enclave, peg_out.with_outputs(split)) == "OutputForbidden"


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x51",
        b"\x51\x02\x4e\x73",  # pay to anchor
        b"\x52\x20" + bytes(32),  # a witness version that nobody can be asked to spend
        b"\x21" + b"\x02" * 33 + b"\xac",  # pay to public key
        b"\x51\x20" + b"\xff" * 32,  # not a point
        op_return(b"data"),
        b"\x00\x14" + bytes(21),
    ],
)
def test_S25_outputs_that_nobody_can_spend(
    peg_out: PegOut, enclave: Enclave, script: bytes
) -> None:
    def pay(outputs: list[TxOut]) -> None:
        outputs[-1] = TxOut(outputs[-1].sats, script)

    assert refused(enclave, peg_out.with_outputs(pay)) == "OutputForbidden"


def test_S24_dust(peg_out: PegOut, enclave: Enclave) -> None:
    def dust(outputs: list[TxOut]) -> None:
        outputs[-1] = TxOut(329, outputs[-1].script)

    assert refused(enclave, peg_out.with_outputs(dust)) == "OutputForbidden"


# S6, S7, S9, S26: the form


def test_S6_other_sighash_types(peg_out: PegOut, enclave: Enclave) -> None:
    """NONE, SINGLE and ANYONECANPAY on a user's input: refused; ALL is taken."""
    witness = peg_out.psbt().inputs[1].final_script_witness
    assert witness is not None
    for kind in (0x00, 0x02, 0x03, 0x81, 0x82, 0x83, 0x50):
        changed = (witness[0][:64] + bytes([kind]),)
        request = peg_out.with_input(1, final_script_witness=changed)
        assert refused(enclave, request) == "TxShape"
    taken = peg_out.with_input(1, final_script_witness=(witness[0][:64] + b"\x01",))
    assert vote(enclave, taken).refusal is None


@pytest.mark.parametrize(
    "witness",
    [
        (bytes(64), b"\x50"),
        (bytes(64), b"\x50" + bytes(40)),
        (bytes(63),),
        (bytes(64), bytes(32)),
        (bytes(64), b"\x51", b"\xc0" + bytes(32)),
        (b"\x30" + bytes(70) + b"\x83", b"\x02" + bytes(32)),
        (b"\x31" + bytes(70) + b"\x01", b"\x02" + bytes(32)),
        (b"",),
    ],
)
def test_S7_annex_and_other_witnesses(
    peg_out: PegOut, enclave: Enclave, witness: tuple[bytes, ...]
) -> None:
    """An annex, a script path, a short signature: no witness whose meaning could change."""
    assert refused(enclave, peg_out.with_input(1, final_script_witness=witness)) == "TxShape"


def test_S28_final_witness_on_an_input_of_the_quorum(peg_out: PegOut, enclave: Enclave) -> None:
    request = peg_out.with_input(0, final_script_witness=(bytes(64),))
    assert refused(enclave, request) == "TxShape"


def test_S28_partial_signatures(peg_out: PegOut, enclave: Enclave) -> None:
    """Signatures that are not final yet have no place beside witnesses that are."""
    partial = TapScriptSig(ROSTER.keys[0], bytes(32), bytes(64))
    assert refused(enclave, peg_out.with_input(0, tap_script_sigs=(partial,))) == "TxShape"
    assert refused(enclave, peg_out.with_input(0, tap_key_sig=bytes(64))) == "TxShape"


def test_S7_leaf_of_the_requester(peg_out: PegOut, enclave: Enclave) -> None:
    """Leaves and keys in the PSBT change nothing: the enclave rebuilds its own."""
    mine = taproot.output(MALLORY.internal_key, taproot.TapScript(b"\x51", "mine")).leaves[0]
    leaf = TapLeafScript(mine.control_block, mine.script)
    request = peg_out.with_input(0, tap_leaf_scripts=(leaf,), tap_internal_key=MALLORY.internal_key)
    votes = peg_out.world.voted(peg_out.request())
    honest = sign(enclave, peg_out.request(), votes)
    again = sign(peg_out.world.enclave(), request, votes)
    built = peg_out.built
    for reply in (honest, again):
        found = dict(frames.Signatures.from_fields(reply.unwrap()).signatures)
        spend = built.check().quorum_inputs[0]
        digest = sighash(built.tx, built.spent_outputs, 0, leaf_hash=spend.leaf.leaf_hash)
        schnorr.verify(ROSTER.keys[0], digest, found[0])


def test_S9_input_twice(peg_out: PegOut, enclave: Enclave) -> None:
    psbt = peg_out.psbt()
    doubled = replace(
        psbt,
        tx=replace(psbt.tx, inputs=(*psbt.tx.inputs, psbt.tx.inputs[2])),
        inputs=(*psbt.inputs, psbt.inputs[2]),
    )
    request = replace(peg_out.request(), psbt=doubled.serialize())
    assert refused(enclave, request) in {"TxShape", "PsbtInvalid"}


def test_S9_foreign_charmed_input(peg_out: PegOut, enclave: Enclave) -> None:
    """An input with charms that the spell does not carry on: nothing is burned unseen."""
    world = peg_out.world
    tx, minted = world.served()
    world.confirm(tx)
    world.feed(enclave)
    extra = world.coin(tx, 1, {world.zkbtc.token: minted})
    psbt = peg_out.psbt()
    added = TxIn(extra.outpoint)
    grown = replace(
        psbt,
        tx=replace(psbt.tx, inputs=(*psbt.tx.inputs, added)),
        inputs=(*psbt.inputs, replace(psbt.inputs[2], non_witness_utxo=tx, witness_utxo=None)),
    )
    assert refused(enclave, world.requested(grown)) in {"TurnstileBroken", "NotKept"}


def test_G2_input_at_an_address_that_no_roster_made(peg_out: PegOut, enclave: Enclave) -> None:
    """A vault address with another key, another leaf or a third one is nobody's: no signature."""
    world = peg_out.world
    gid = world.zkbtc.gid(world.network)
    three = taproot.output(
        ROSTER.internal_key,
        (
            taproot.TapScript(addresses.quorum_leaf(ROSTER), "quorum"),
            (
                taproot.TapScript(addresses.commitment_leaf(gid), "commitment"),
                taproot.TapScript(b"\x51", "third"),
            ),
        ),
    )
    bare = taproot.output(
        ROSTER.internal_key, taproot.TapScript(addresses.quorum_leaf(ROSTER), "quorum")
    )
    for fake in (three, bare, addresses.guard(ROSTER, bytes(32))):
        coin = world.give(fake.script_pubkey, 70_000)
        world.feed(enclave)
        psbt = peg_out.psbt()
        full = world.transactions[coin.outpoint.txid]
        grown = replace(
            psbt,
            tx=replace(psbt.tx, inputs=(*psbt.tx.inputs, TxIn(coin.outpoint))),
            inputs=(
                *psbt.inputs,
                replace(
                    psbt.inputs[2],
                    non_witness_utxo=full,
                    witness_utxo=None,
                    final_script_witness=None,
                ),
            ),
        )
        assert refused(enclave, world.requested(grown)) == "UnknownGuard"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"version": 1}, "TxShape"),
        ({"version": 3}, "TxShape"),
        ({"locktime": 1_000_000}, "HeightStale"),
        ({"locktime": 500_000_000}, "HeightStale"),
        ({"locktime": 1_700_000_000}, "HeightStale"),
    ],
)
def test_S26_transactions_that_no_node_takes(
    peg_out: PegOut, enclave: Enclave, changes: dict[str, int], name: str
) -> None:
    """Version and lock time: refused before any lock is taken (a lock time breaks the proof too)."""
    found = refused(enclave, peg_out.with_tx(**changes))
    assert found == (name if name == "TxShape" else "ProofInvalid")


def test_S26_lock_time_in_the_future(shared: World, enclave: Enclave) -> None:
    """With a proof that covers it, a lock time above the tip is refused for itself."""
    deposit, coin = shared.paid()
    shared.feed(enclave)
    honest = shared.peg_in(deposit, coin)
    for locktime, passes in (
        (shared.chain.height + 1, False),
        (shared.chain.height, True),
        (1_700_000_000, False),
    ):
        moved = prove(replace(honest, tx=replace(honest.tx, locktime=locktime)))
        reply = vote(shared.enclave(), shared.request(moved))
        assert (reply.refusal is None) == passes
        if not passes:
            assert rule(reply) == "HeightStale"


@pytest.mark.parametrize("sequence", [0, 0xFFFFFFFE, 0xFFFFFFFF, 144, 1 << 22])
def test_S26_sequences(peg_out: PegOut, enclave: Enclave, sequence: int) -> None:
    inputs = list(peg_out.psbt().tx.inputs)
    inputs[2] = replace(inputs[2], sequence=sequence)
    assert refused(enclave, peg_out.with_tx(inputs=tuple(inputs))) == "TxShape"


def test_S28_hostile_psbts(peg_out: PegOut, enclave: Enclave) -> None:
    """Trailing bytes, a cut, a doubled key, an unknown field, another magic: no PSBT."""
    raw = peg_out.psbt().serialize()
    end_of_global = raw.index(b"\x00", 5 + 2 + 3 + len(peg_out.psbt().tx.serialize()))
    unknown = raw[:end_of_global] + b"\x01\xf0\x00" + raw[end_of_global:]
    for bad in (
        raw + b"\x00",
        raw[:-1],
        b"",
        b"psbt\xff",
        raw.replace(b"psbt", b"psbu", 1),
        unknown,
    ):
        assert refused(enclave, replace(peg_out.request(), psbt=bad)) == "PsbtInvalid"


# The rest of the order


def test_no_spell_is_nothing_to_sign(peg_out: PegOut, enclave: Enclave) -> None:
    """Moving guarded outputs without any spell: refused."""

    def drop(outputs: list[TxOut]) -> None:
        del outputs[3]

    assert refused(enclave, peg_out.with_outputs(drop)) == "SpellInvalid"


def test_G1_guarded_output_without_a_proof(peg_out: PegOut, enclave: Enclave) -> None:
    """The guard rule: the vault moved unchanged, its contract listed, but no action: refused."""
    world = peg_out.world
    draft = Draft(world.context)
    vault = world.coin(peg_out.vault, 0)
    draft.spend_guarded(world.zkbtc, vault)
    draft.spend(world.give(ALICE, 50_000))
    draft.pay_guard(world.zkbtc, vault.sats)
    draft.pay(ALICE.script, CARRIER)
    world.feed(enclave)
    outputs = [TxOut(p.sats, p.script) for p in draft.payments]
    spell = spells.Spell.build([{}, {}])
    tx = Tx(
        2,
        tuple(TxIn(s.coin.outpoint) for s in draft.spends),
        (*outputs, TxOut(0, spell.op_return())),
        0,
    )
    built = Assembled(world.context, tx, tuple(draft.spends), (), spell)
    assert refused(enclave, world.request(built, ALICE)) == "ProofMissing"


def test_UnknownGuard_user_has_not_signed(peg_out: PegOut, enclave: Enclave) -> None:
    """The operators' signatures are the last: an input of others without a witness is refused."""
    assert refused(enclave, peg_out.with_input(1, final_script_witness=None)) == "UnknownGuard"


def test_bundles_must_be_there_and_hash_to_vk(peg_out: PegOut) -> None:
    """The deploy's bundle is cached, so zkBTC needs none; an altered one is simply another's."""
    world, enclave = peg_out.world, peg_out.world.enclave()
    assert vote(enclave, replace(peg_out.request(), bundles=())).refusal is None
    raw = zkbtc_app().bundle.serialize()
    altered = replace(peg_out.request(), bundles=(raw[:-1] + bytes([raw[-1] ^ 1]),))
    assert vote(world.enclave(), altered).refusal is None


def test_Z8_keys_of_a_single_party(peg_out: PegOut) -> None:
    """An operator whose configuration does not allow them refuses keys of one contributor."""
    enclave = peg_out.world.enclave()
    request = peg_out.request()
    anchors = enclave.anchors()
    assert admit(Case(request, anchors), Stage.ADMIT).quorum_inputs
    strict = replace(anchors, configuration=replace(anchors.configuration, single_party=False))
    with pytest.raises(Refused, match="SingleParty"):
        admit(Case(request, strict), Stage.ADMIT)


def test_txid_of_nothing(peg_out: PegOut, enclave: Enclave) -> None:
    inputs = (TxIn(OutPoint(Txid(bytes(32)), 0)),)
    psbt = Psbt.of(Tx(2, inputs, (TxOut(1_000, ALICE.script),), 0))
    request = replace(peg_out.request(), psbt=psbt.serialize())
    assert refused(enclave, request) == "PrevoutMismatch"
