"""BIP 174, 370 and 371: PSBTs that are read, and those that are refused, each with its answer.

Every case with bytes is in one of the tables; a case that they lack, or have twice, is a failure.
Where a valid case is refused, the reason is a field outside the allow-list (threat S28): ECDSA's
partial signatures (0x02), sighash types (0x03), redeem scripts (0x04), BIP 32 paths of old outputs
(0x02), final scriptSigs (0x07), trees of outputs (0x06), unknown fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from grail.bitcoin import psbt_v2
from grail.bitcoin.psbt import Psbt
from grail.errors import DecodeError, NotCanonical, TrailingBytes, Truncated
from published.ledger import Case

Answer = tuple[type[DecodeError], str] | None
"""The refusal, or None for a PSBT that is read."""

LEFT_OUT = "valid PSBTs with a field that is left out on purpose (threat S28): refused by its name"
NO_INPUTS = "PSBTs without inputs: nothing to sign, refused"
FLOW_RESULT = "the end of a flow of ECDSA fields, which are left out on purpose"


def not_allowed(where: str, field: int) -> Answer:
    return DecodeError, rf"{where}: field {field:#04x} is not allowed"


NO_PARTIAL_SIG = not_allowed("input 0", 0x02)
NO_SIGHASH_TYPE = not_allowed("input 0", 0x03)
NO_SCRIPT_SIG = not_allowed("input 0", 0x07)
NO_UNKNOWN = not_allowed("global", 0xF0)
GOOD: Answer = None

BIP_174: dict[str, Answer] = {
    # the first words of the case: what we answer
    "Network transaction, not PSBT format": (DecodeError, "psbt, ff"),
    "PSBT missing outputs": (Truncated, "0 bytes left"),
    "PSBT where one input has a filled scriptSig": (DecodeError, "has a scriptSig or a witness"),
    "PSBT where inputs and outputs are provided but without": (
        DecodeError,
        "no unsigned transaction",
    ),
    "PSBT with duplicate keys in an input": (DecodeError, "input 0: a key is there twice"),
    "PSBT with invalid global transaction typed key": (DecodeError, "field 0x00 has key data"),
    "PSBT with invalid input witness utxo typed key": NO_PARTIAL_SIG,
    "PSBT with invalid pubkey length for input partial": NO_PARTIAL_SIG,
    "PSBT with invalid redeemscript typed key": NO_PARTIAL_SIG,
    "PSBT with invalid witnessscript typed key": NO_PARTIAL_SIG,
    "PSBT with invalid pubkey in input BIP 32": NO_PARTIAL_SIG,
    "PSBT with invalid non-witness utxo typed key": NO_SCRIPT_SIG,
    "PSBT with invalid final scriptsig typed key": NO_SCRIPT_SIG,
    "PSBT with invalid final script witness typed key": NO_SCRIPT_SIG,
    "PSBT with invalid pubkey in output BIP 32": NO_SCRIPT_SIG,
    "PSBT with invalid input sighash type typed key": NO_SIGHASH_TYPE,
    "PSBT with invalid output redeemScript typed key": not_allowed("output 0", 0x00),
    "PSBT with invalid output witnessScript typed key": not_allowed("output 0", 0x00),
    "PSBT with unsigned tx serialized with witness": (NotCanonical, "witness"),
    "PSBT with an invalid value data due to its size": (TrailingBytes, "transaction"),
    "PSBT with one P2PKH input. Outputs are empty": GOOD,
    "PSBT with one P2PKH input and one P2SH-P2WPKH input. First": NO_SCRIPT_SIG,
    "PSBT with one P2PKH input which has a non-final": NO_SIGHASH_TYPE,
    "PSBT with one P2PKH input and one P2SH-P2WPKH input both": not_allowed("input 1", 0x04),
    "PSBT with one P2SH-P2WSH input of a 2-of-2": NO_PARTIAL_SIG,
    "PSBT with one P2WSH input of a 2-of-2": not_allowed("global", 0x01),
    "PSBT with unknown types in the inputs": not_allowed("input 0", 0xF0),
    "PSBT with `PSBT_GLOBAL_XPUB`": not_allowed("global", 0x01),
    # Without inputs there is nothing to sign, and the bytes read as another format (BIP 144).
    "PSBT with global unsigned tx that has 0 inputs": (DecodeError, "transaction"),
    "PSBT with 0 inputs": (DecodeError, "transaction"),
    "A Witness UTXO is provided for a non-witness input": not_allowed("input 1", 0x04),
    "redeemScript with non-witness UTXO": NO_PARTIAL_SIG,
    "redeemScript with witness UTXO": NO_PARTIAL_SIG,
    "witnessScript with witness UTXO": NO_PARTIAL_SIG,
    # The flow from creator to extractor, step by step; the first is the creator's.
    "The private keys in the tests below": GOOD,
    "Given the above PSBT, an updater": not_allowed("input 0", 0x04),
    "An updater which adds SIGHASH_ALL": NO_SIGHASH_TYPE,
    "Given the above updated PSBT, a signer that supports": NO_PARTIAL_SIG,
    "Given the above updated PSBT, a signer with": NO_PARTIAL_SIG,
    "Given both of the above PSBTs, a combiner": NO_PARTIAL_SIG,
    "Given the above PSBT, an input finalizer": NO_SCRIPT_SIG,
    "combiner input 1 (unknown": NO_UNKNOWN,
    "combiner input 2 (unknown": NO_UNKNOWN,
    "A combiner which orders keys": NO_UNKNOWN,
}

BIP_371: dict[str, Answer] = {
    "PSBT With PSBT_IN_TAP_INTERNAL_KEY key that is too long": (DecodeError, "xonly"),
    "PSBT With PSBT_IN_TAP_KEY_SIG signature that is too short": (DecodeError, "taproot signature"),
    "PSBT With PSBT_IN_TAP_KEY_SIG signature that is too long": (DecodeError, "taproot signature"),
    "PSBT With PSBT_IN_TAP_BIP32_DERIVATION key that is too long": (DecodeError, "xonly"),
    "PSBT With PSBT_OUT_TAP_INTERNAL_KEY key that is too long": (DecodeError, "xonly"),
    "PSBT With PSBT_OUT_TAP_BIP32_DERIVATION key that is too long": (DecodeError, "xonly"),
    "PSBT With PSBT_IN_TAP_SCRIPT_SIG key that is too long": (DecodeError, "slice"),
    "PSBT With PSBT_IN_TAP_SCRIPT_SIG signature that is too long": (DecodeError, "taproot signature"),
    "PSBT With PSBT_IN_TAP_SCRIPT_SIG signature that is too short": (DecodeError, "taproot signature"),
    "PSBT With PSBT_IN_TAP_LEAF_SCRIPT Control block that is too long": (DecodeError, "control block"),
    "PSBT With PSBT_IN_TAP_LEAF_SCRIPT Control block that is too short": (DecodeError, "control block"),
    "PSBT with one P2TR key only input with internal key and": not_allowed("output 0", 0x02),
    "PSBT with one P2TR key only input with internal key, its": not_allowed("output 0", 0x02),
    "PSBT with one P2TR key only output": GOOD,
    "PSBT with one P2TR script path only input with dummy internal key, scripts, derivation": GOOD,
    "PSBT with one P2TR script path only output": not_allowed("output 0", 0x06),
    "PSBT with one P2TR script path only input with dummy internal key, scripts, script key": GOOD,
}  # fmt: skip


def bip174(folder: Path) -> Iterator[Case]:
    """Version 0."""
    return _cases(folder / "psbt" / "bip174_v0.json", BIP_174)


def bip371(folder: Path) -> Iterator[Case]:
    """Taproot's fields."""
    return _cases(folder / "psbt" / "bip371_taproot.json", BIP_371)


def bip370(folder: Path) -> Iterator[Case]:
    """Version 2."""
    for case in json.loads((folder / "psbt" / "bip370_v2.json").read_text()):
        yield Case(f"{case['kind']}: {case['case']}", partial(_version_2, case))


def _version_2(case: dict[str, Any]) -> None:
    """Read where it is valid; operators, who take version 0 alone, refuse it as all others."""
    with pytest.raises(DecodeError, match=r"field 0x.. is not allowed"):
        Psbt.from_base64(case["base64"])
    if case["kind"] == "invalid" or case.get("expected_timelock") == "cannot be computed":
        with pytest.raises(DecodeError):
            psbt_v2.from_base64(case["base64"])
        return
    psbt = psbt_v2.from_base64(case["base64"])
    assert Psbt.parse(psbt.serialize()) == psbt
    if case["kind"] == "timelock":
        assert psbt.tx.locktime == case["expected_timelock"]
    else:
        assert case["kind"] == "valid"
        assert (len(psbt.tx.inputs), len(psbt.tx.outputs)) == (1, 2)
        assert (psbt.inputs[0].witness_utxo is not None) == ("updated" in case["case"])


def _cases(path: Path, table: dict[str, Answer]) -> Iterator[Case]:
    met = []
    for case in json.loads(path.read_text()):
        if "base64" not in case:
            yield Case(case["case"], None, FLOW_RESULT)
            continue
        (words,) = [words for words in table if case["case"].startswith(words)]
        met.append(words)
        answer, reason = table[words], ""
        if answer is not None and case["kind"] in {"valid", "flow"}:
            reason = LEFT_OUT if "not allowed" in answer[1] else ""
            reason = NO_INPUTS if " 0 inputs" in case["case"] else reason
            assert reason, f"valid, and refused without a reason: {case['case']}"
        yield Case(case["case"], partial(_check, case, answer), reason)
    assert sorted(met) == sorted(table)


def _check(case: dict[str, Any], answer: Answer) -> None:
    if answer is None:
        assert case["kind"] in {"valid", "flow"}
        psbt = Psbt.from_base64(case["base64"])
        assert psbt.to_base64() == case["base64"]
        return
    error, text = answer
    with pytest.raises(DecodeError, match=text) as caught:
        Psbt.from_base64(case["base64"])
    assert type(caught.value) is error
