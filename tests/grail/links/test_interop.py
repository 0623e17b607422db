"""The same handshake by another's hands: noiseprotocol, in pure Python over `cryptography`."""

from __future__ import annotations

import pytest
from link_world import CONFIGURATION, NETWORK
from noise.connection import Keypair, NoiseConnection

from grail.crypto.schnorr import tagged_hash
from grail.native import NoiseSession

PROLOGUE = tagged_hash("grail/link/1", NETWORK + CONFIGURATION)


def theirs(*, initiator: bool) -> NoiseConnection:
    made = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
    made.set_keypair_from_private_bytes(Keypair.STATIC, bytes([5]) * 32)
    made.set_prologue(PROLOGUE)
    if initiator:
        made.set_as_initiator()
    else:
        made.set_as_responder()
    made.start_handshake()
    return made


@pytest.mark.parametrize("we_begin", [True, False])
def test_an_independent_noise_understands_ours(we_begin: bool) -> None:
    ours = NoiseSession(initiator=we_begin, prologue=PROLOGUE)
    other = theirs(initiator=not we_begin)
    for number in range(3):
        if (number % 2 == 0) == we_begin:
            assert bytes(other.read_message(ours.write(b""))) == b""
        else:
            assert ours.read(bytes(other.write_message())) == b""
    assert other.handshake_finished
    assert ours.ends().transcript == other.get_handshake_hash()
    for word in (b"", b"one", bytes(range(256)) * 100):
        assert bytes(other.decrypt(ours.write(word))) == word
        assert ours.read(bytes(other.encrypt(word))) == word
