"""What a verifier compares: measurements, its own nonces, and what a document commits to."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from forged_documents import MEASUREMENT, PCRS, Forger
from hypothesis import given
from hypothesis import strategies as st

from grail.attestation.attested import Attested, attested
from grail.attestation.chain import Chain
from grail.attestation.document import MAX_OPTIONAL
from grail.attestation.form import MAX_DOCUMENT
from grail.attestation.user_data import OPERATOR, Claim
from grail.attestation.verifier import MAX_NONCES, NONCE_SECONDS, Measurement, Policy, Verifier
from grail.codec import cs
from grail.crypto.schnorr import KeyPair, tagged_hash
from grail.errors import AttestationInvalid, InvalidInput

FORGER = Forger()
KEY = KeyPair(bytes(31) + b"\x01").public
CLAIM = Claim(bytes([1]) * 32, bytes([2]) * 32, KEY)


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(rule: str, verifier: Verifier, raw: bytes, nonce: bytes) -> AttestationInvalid:
    with pytest.raises(AttestationInvalid) as caught:
        verifier.check(raw, nonce)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def claim_refused(rule: str, found: Attested, claim: Claim = CLAIM) -> None:
    with pytest.raises(AttestationInvalid) as caught:
        claim.check(found)
    assert caught.value.rule == rule


# --- A2, A3, A19: measurements ---


def test_A2_a_policy_names_images_and_each_image_its_three_pcrs() -> None:
    with pytest.raises(InvalidInput, match="no measurement"):
        Policy(FORGER.root, ())
    good = dict(MEASUREMENT.pcrs)
    for index in range(3):
        with pytest.raises(InvalidInput, match=f"PCR{index} is missing"):
            Measurement({i: pcr for i, pcr in good.items() if i != index})
        for wrong in (b"", good[index][:47], good[index] + b"\x00"):
            with pytest.raises(InvalidInput, match=f"PCR{index} has {len(wrong)} bytes"):
                Measurement(good | {index: wrong})
    with pytest.raises(InvalidInput):
        Measurement(good | {32: bytes(48)})


def test_A3_a_policy_of_zeros_cannot_be_made() -> None:
    for index in range(3):
        with pytest.raises(InvalidInput, match="debug mode"):
            Measurement(dict(MEASUREMENT.pcrs) | {index: bytes(48)})
    verifier = Verifier(FORGER.policy)
    nonce = verifier.nonce()
    raw = FORGER.document(nonce=nonce, pcrs=PCRS | {0: bytes(48)})
    refused("DebugMode", verifier, raw, nonce)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_A2_an_image_that_is_not_accepted(index: int) -> None:
    verifier = Verifier(FORGER.policy)
    nonce = verifier.nonce()
    other = PCRS | {index: bytes([9]) * 48}
    error = refused("PcrUnaccepted", verifier, FORGER.document(nonce=nonce, pcrs=other), nonce)
    assert error.got == other[index].hex()
    assert error.expected == PCRS[index].hex()


def test_A2_parts_of_two_images_are_no_image() -> None:
    second = Measurement({index: bytes([7 + index]) * 48 for index in range(3)})
    policy = Policy(FORGER.root, (MEASUREMENT, second))
    for pcrs in (MEASUREMENT.pcrs, second.pcrs):
        policy.check(pcrs)
    with pytest.raises(AttestationInvalid):
        policy.check(dict(MEASUREMENT.pcrs) | {2: second.pcrs[2]})


def test_A19_a_policy_may_name_more_pcrs_and_each_must_match() -> None:
    instance = bytes([4]) * 48
    policy = Policy(FORGER.root, (Measurement(dict(MEASUREMENT.pcrs) | {4: instance}),))
    policy.check(PCRS | {4: instance})
    for pcrs in (PCRS, PCRS | {4: bytes([5]) * 48}, {i: PCRS[i] for i in range(3)}):
        with pytest.raises(AttestationInvalid, match="PCR4"):
            policy.check(pcrs)


# --- A4: nonces ---


def test_A4_a_nonce_serves_once_here_and_nowhere_else() -> None:
    verifier, other = Verifier(FORGER.policy), Verifier(FORGER.policy)
    nonce = verifier.nonce()
    raw = FORGER.document(nonce=nonce)
    refused("NonceReplayed", other, raw, nonce)
    assert verifier.check(raw, nonce).nonce == nonce
    refused("NonceReplayed", verifier, raw, nonce)
    refused("NonceReplayed", verifier, raw, bytes(32))
    refused("NonceReplayed", verifier, raw, b"")


def test_A4_an_old_document_and_one_without_a_nonce() -> None:
    verifier = Verifier(FORGER.policy)
    old = FORGER.document(nonce=verifier.nonce())
    nonce = verifier.nonce()
    refused("NonceWrong", verifier, old, nonce)
    for nothing in (None, ...):
        nonce = verifier.nonce()
        refused("NonceMissing", verifier, FORGER.document(nonce=nothing), nonce)
    nonce = verifier.nonce()
    refused("NonceWrong", verifier, FORGER.document(nonce=nonce[:31]), nonce)


def test_A4_A11_a_nonce_ages_by_the_verifiers_own_clock() -> None:
    clock = Seconds()
    verifier = Verifier(FORGER.policy, clock=clock)
    nonce = verifier.nonce()
    raw = FORGER.document(nonce=nonce)
    clock.now = NONCE_SECONDS + 0.1
    refused("NonceStale", verifier, raw, nonce)
    nonce = verifier.nonce()
    clock.now += NONCE_SECONDS
    verifier.check(FORGER.document(nonce=nonce), nonce)


def test_A4_nonces_differ_and_the_open_ones_are_few() -> None:
    verifier = Verifier(FORGER.policy)
    drawn = [verifier.nonce() for _ in range(MAX_NONCES + 1)]
    assert len(set(drawn)) == len(drawn)
    assert {len(each) for each in drawn} == {32}
    refused("NonceReplayed", verifier, FORGER.document(nonce=drawn[0]), drawn[0])
    verifier.check(FORGER.document(nonce=drawn[1]), drawn[1])


def test_A20_a_failed_check_leaves_no_mark() -> None:
    """Whatever failed, the same document is refused again, and the nonce is gone."""
    verifier = Verifier(FORGER.policy)
    for changes in ({"pcrs": PCRS | {0: bytes([9]) * 48}}, {"timestamp": 1}, {"nonce": b"x"}):
        nonce = verifier.nonce()
        given: dict[str, Any] = {"nonce": nonce, **changes}
        raw = FORGER.document(**given)
        with pytest.raises(AttestationInvalid):
            verifier.check(raw, nonce)
        refused("NonceReplayed", verifier, raw, nonce)
        with pytest.raises(AttestationInvalid):
            verifier.check(raw, verifier.nonce())


# --- A5, A6, A13: commitments ---


def with_user_data(user_data: bytes | None, public_key: bytes | None = None) -> Attested:
    return attested(FORGER.document(user_data=user_data, public_key=public_key), FORGER.root)


@pytest.mark.parametrize("public_key", [None, b"", b"a key to encrypt to"])
def test_A5_a_document_commits_to_key_settings_and_network(public_key: bytes | None) -> None:
    """The layout of docs/attestation.md, and each of its parts."""
    body = CLAIM.network + CLAIM.configuration + bytes(KEY) + cs(public_key or b"")
    expected = tagged_hash("grail/attestation/operator/1", body)
    assert CLAIM.user_data(public_key) == expected
    CLAIM.check(with_user_data(expected, public_key))
    claim_refused("CommitmentWrong", with_user_data(expected, b"another"))


def test_A5_A13_another_key_configuration_or_network() -> None:
    found = with_user_data(CLAIM.user_data(None))
    other = KeyPair(bytes(31) + b"\x02").public
    for change in ({"key": other}, {"configuration": bytes(32)}, {"network": bytes(32)}):
        claim_refused("CommitmentWrong", found, dataclasses.replace(CLAIM, **change))


def test_A5_a_document_made_for_another_purpose() -> None:
    body = CLAIM.network + CLAIM.configuration + bytes(KEY) + cs(b"")
    claim_refused("CommitmentWrong", with_user_data(tagged_hash("grail/attestation/kms/1", body)))
    assert OPERATOR == "grail/attestation/operator/1"


def test_A6_nothing_is_never_equal_to_nothing() -> None:
    claim_refused("CommitmentMissing", with_user_data(None))
    for short in (b"", CLAIM.user_data(None)[:31], CLAIM.user_data(None) + b"\x00"):
        claim_refused("CommitmentWrong", with_user_data(short))
    with pytest.raises(InvalidInput):
        Claim(b"", CLAIM.configuration, KEY)


def test_check_claim_does_both() -> None:
    verifier = Verifier(FORGER.policy)
    nonce = verifier.nonce()
    raw = FORGER.document(nonce=nonce, user_data=CLAIM.user_data(None))
    assert verifier.check_claim(raw, nonce, CLAIM).nonce == nonce
    nonce = verifier.nonce()
    with pytest.raises(AttestationInvalid, match="CommitmentMissing"):
        verifier.check_claim(FORGER.document(nonce=nonce), nonce, CLAIM)


# --- A10, A18: any bytes ---


@given(st.binary(max_size=300))
def test_A10_any_bytes_end_in_a_typed_refusal(raw: bytes) -> None:
    for tried in (raw, b"\x84\x44\xa1\x01\x38\x22\xa0" + raw, FORGER.signed(raw or b"\x00")):
        with pytest.raises(AttestationInvalid):
            attested(tried, FORGER.root)


@given(st.data())
def test_A10_a_document_with_any_bytes_in_the_place_of_some(data: st.DataObject) -> None:
    whole = FORGER.document()
    start = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 8))
    new = data.draw(st.binary(max_size=8).filter(lambda b: b != whole[start : start + length]))
    changed = whole[:start] + new + whole[start + length :]
    if changed != whole:
        with pytest.raises(AttestationInvalid):
            attested(changed, FORGER.root)


def test_A18_one_signature_before_the_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cannot sign a document pays for one verification, and gets no more of our time."""
    looked: list[object] = []
    monkeypatch.setattr(Chain, "check", lambda *_: looked.append(None))
    with pytest.raises(AttestationInvalid, match="SignatureWrong"):
        attested(FORGER.message(signature=b"\x01" * 96), FORGER.root)
    assert not looked


def test_A18_junk_costs_little() -> None:
    """Per document less CPU than one honest one: junk of four kinds, the worst that fits."""
    honest = FORGER.document()
    begun = time.process_time()
    for _ in range(20):
        attested(honest, FORGER.root)
    price = (time.process_time() - begun) / 20
    colliding = {index * ((1 << 53) // 3_000): 0 for index in range(2_000)}
    junk = [
        bytes(MAX_DOCUMENT + 1),
        b"\x84" * MAX_DOCUMENT,
        FORGER.document(user_data=bytes(MAX_OPTIONAL + 1)),
        FORGER.document(pcrs=colliding, cabundle=[]),
        Forger().document(),
    ]
    for raw in junk:
        begun = time.process_time()
        for _ in range(20):
            with pytest.raises(AttestationInvalid):
                attested(raw, FORGER.root)
        assert (time.process_time() - begun) / 20 < 2 * price
