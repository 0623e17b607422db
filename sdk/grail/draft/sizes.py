"""Sizes of witnesses that do not exist yet, so that a fee fits the real virtual size.

Every witness that a draft can carry has a fixed length: a Schnorr signature under sighash DEFAULT
is 64 bytes, a quorum leaf takes exactly `quorum` of them and an empty item for every other key. So
the size counted before signing is the size after it, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.bitcoin import addresses
from grail.bitcoin.addresses import Roster
from grail.bitcoin.taproot import Leaf
from grail.bitcoin.tx import Tx

SIGNATURE = bytes(64)
"""A stand-in of the length of a BIP 340 signature under sighash DEFAULT."""

Witness = tuple[bytes, ...]

KEY_PATH: Witness = (SIGNATURE,)
"""The witness of a taproot key-path spend."""


def quorum_witness(roster: Roster, leaf: Leaf) -> Witness:
    """A witness of the quorum leaf: as many signatures as it takes, empty items for the rest."""
    return addresses.quorum_witness(roster, leaf, dict.fromkeys(roster.keys, SIGNATURE))


def recovery_witness(leaf: Leaf) -> Witness:
    """A witness of a deposit's recovery leaf: the user's signature alone."""
    return leaf.witness([SIGNATURE])


def vsize_with(tx: Tx, witnesses: Sequence[Witness]) -> int:
    """The virtual size (BIP 141) that the transaction has with these witnesses on its inputs."""
    for index, witness in enumerate(witnesses):
        tx = tx.with_witness(index, witness)
    return tx.vsize
