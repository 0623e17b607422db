"""What an operator signs is computed by its own enclave, and only for users' whole signatures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, KEYS, QUORUM, World, rule, sign, vote

from grail.bitcoin import addresses
from grail.bitcoin.taproot import leaf_hash
from grail.bitcoin.tx import sighash
from grail.charms import rules
from grail.crypto import schnorr
from grail.draft.assembled import Assembled
from grail.errors import Refused
from grail.operators.certificates import Decision, Proposal
from grail.operators.frames import Signatures
from grail.operators.messages import Family
from grail_enclave.signer import Signer

OTHER = Family(bytes(range(32)))


@pytest.fixture(scope="module")
def built(shared: World) -> Assembled:
    return shared.peg_in(*shared.paid())


def test_S1_the_hash_that_is_signed_is_the_enclaves_own(shared: World, built: Assembled) -> None:
    """Hints in the PSBT change nothing: each signature is over this transaction's own sighash."""
    enclaves = shared.enclaves(QUORUM)
    psbt = shared.psbt(built)
    wrong = replace(psbt.inputs[0], tap_merkle_root=bytes(32), tap_internal_key=KEYS[0].public)
    request = shared.requested(replace(psbt, inputs=(wrong, *psbt.inputs[1:])))
    votes = [vote(enclave, request) for enclave in enclaves]
    leaf = leaf_hash(addresses.quorum_leaf(shared.context.roster))
    expected = sighash(built.tx, built.spent_outputs, 0, leaf_hash=leaf)
    for index, enclave in enumerate(enclaves[:3]):
        answer = Signatures.from_fields(sign(enclave, request, votes).unwrap())
        assert answer.txid == built.tx.txid
        [(place, signature)] = answer.signatures
        assert place == 0
        schnorr.verify(KEYS[index].public, expected, signature)


def test_S1_a_decision_for_another_transaction_signs_nothing(built: Assembled) -> None:
    """The signer takes checked things only, and they must be of one transaction."""
    checked = rules.correct(
        built.tx,
        built.prevouts,
        built.bundles,
        built.context.record,
        built.context.height,
        built.context.network,
    )
    good = Proposal(OTHER, tuple(sorted(checked.guarded)), checked.tx.txid, b"request")
    decided = Decision(OTHER, good.outpoints, 0, ())
    signer = Signer(KEYS[0])
    for proposal, decision in (
        (replace(good, txid=type(good.txid)(bytes(32))), decided),
        (good, replace(decided, family=Family(bytes(32)))),
        (good, replace(decided, outpoints=())),
    ):
        with pytest.raises(Refused) as caught:
            signer.sign(checked, proposal, decision, 1_000, 0)
        assert caught.value.rule == "NotDecided"
    with pytest.raises(Refused, match="another roster's"):
        signer.sign(checked, good, decided, 1_000, 1)
    assert signer.sign(checked, good, decided, 1_000, 0).txid == checked.tx.txid


@pytest.mark.parametrize("kind", [0x00, 0x02, 0x03, 0x41, 0x81, 0x82, 0x83])
@pytest.mark.parametrize("form", ["schnorr", "ecdsa"])
def test_S6_each_sighash_type_but_all(shared: World, kind: int, form: str) -> None:
    """On a user's input, under either signature: only what signs all of it cannot change later."""
    served, minted = shared.served()
    held = shared.coin(served, 1, {shared.zkbtc.token: minted})
    out = shared.peg_out(shared.coin(served, 0), held, minted // 2)
    psbt = shared.psbt(out, ALICE)
    user = next(i for i, one in enumerate(psbt.inputs) if one.final_script_witness)
    schnorr_ = (psbt.inputs[user].final_script_witness or ())[0][:64]
    ecdsa = b"\x30" + bytes(70)
    key = b"\x02" + bytes(32)

    def asked(last: int) -> str:
        witness = (schnorr_ + bytes([last]),) if form == "schnorr" else (ecdsa + bytes([last]), key)
        changed = psbt.with_input(user, final_script_witness=witness)
        return rule(vote(shared.enclave(), shared.requested(changed))) or ""

    assert asked(kind) == "TxShape"
