"""The addresses of Grail: guarded and escrow outputs, their leaves and ids; bech32m text.

Section 1 of the protocol. A guarded output is spent by the quorum leaf; its commitment leaf, which
can never succeed, makes the address say which contract guards it. An escrow output adds the
owner's recovery leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from grail import native
from grail.bitcoin import taproot
from grail.bitcoin.network import Network
from grail.bitcoin.script import Op, number, op_return, push
from grail.bitcoin.taproot import Leaf, TaprootOutput, TapScript
from grail.codec import cs, encode
from grail.crypto.schnorr import NUMS
from grail.errors import InvalidInput
from grail.types import XOnlyKey

MIN_RECOVERY = 144
"""Fewest blocks before the owner of an escrow may take it back: a day to be served."""

MAX_RECOVERY = 65_535
"""Most blocks: BIP 68 counts a relative lock in 16 bits."""

MAX_MEMBERS = 999
"""Most keys in a roster: the quorum leaf's signatures must fit the script stack of 1,000."""

MAX_TERMS = 8
"""Most numbers that an escrow's owner may commit to."""

QUORUM = "quorum"
COMMITMENT = "commitment"
RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Roster:
    """Who signs in an epoch: sorted distinct keys, how many of them, and the internal key.

    The constructor refuses everything else (threat R3): `InvalidInput`.
    """

    epoch: int
    keys: tuple[XOnlyKey, ...]
    quorum: int
    internal_key: XOnlyKey

    def __post_init__(self) -> None:
        if not 0 <= self.epoch < 1 << 64:
            raise InvalidInput(f"roster: epoch {self.epoch}, expected 0 to 2^64 - 1")
        if not 1 <= len(self.keys) <= MAX_MEMBERS:
            raise InvalidInput(f"roster: got {len(self.keys)} keys, expected 1 to {MAX_MEMBERS}")
        if any(one >= other for one, other in zip(self.keys, self.keys[1:], strict=False)):
            raise InvalidInput(
                "roster: keys must be sorted by bytes, each there once",
                hint="Roster.of() sorts them",
            )
        if not 1 <= self.quorum <= len(self.keys):
            raise InvalidInput(
                f"roster: quorum {self.quorum} of {len(self.keys)} keys, expected 1 to all"
            )
        for key in (*self.keys, self.internal_key):
            native.xonly_check(key)

    @classmethod
    def of(
        cls, epoch: int, keys: Iterable[bytes], quorum: int, internal_key: bytes | None = None
    ) -> Roster:
        """A roster of keys in any order; the internal key is NUMS when none is given.

        Raises `InvalidInput`.
        """
        internal = NUMS if internal_key is None else XOnlyKey(internal_key)
        return cls(epoch, tuple(sorted(map(XOnlyKey, keys))), quorum, internal)


def _sized(what: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise InvalidInput(f"{what}: got {len(value)} bytes, expected {size}")
    return bytes(value)


def guard_id(network: Network, contract: bytes) -> bytes:
    """GID(K) = H("grail/guard", NET || K); `contract` is the 64 bytes identity || vk.

    Raises `InvalidInput`.
    """
    return network.tagged("grail/guard", _sized("contract", contract, 64))


def escrow_id(
    network: Network, contract: bytes, owner_script: bytes, terms: Sequence[int]
) -> bytes:
    """EID = H("grail/escrow", NET || K || cs(owner script) || cs(terms)).

    Raises `InvalidInput` unless terms are 1 to 8 integers below 2^64.
    """
    if not 1 <= len(terms) <= MAX_TERMS:
        raise InvalidInput(f"escrow: got {len(terms)} terms, expected 1 to {MAX_TERMS}")
    if not all(type(term) is int and 0 <= term < 1 << 64 for term in terms):
        raise InvalidInput("escrow: a term is no integer from 0 to 2^64 - 1")
    return network.tagged(
        "grail/escrow",
        _sized("contract", contract, 64) + cs(owner_script) + cs(encode(list(terms))),
    )


def quorum_leaf(roster: Roster) -> bytes:
    """The script <k1> CHECKSIG <k2> CHECKSIGADD .. <kn> CHECKSIGADD <quorum> NUMEQUAL: leafQ."""
    first, *rest = roster.keys
    parts = [push(first), bytes([Op.CHECKSIG])]
    for key in rest:
        parts += (push(key), bytes([Op.CHECKSIGADD]))
    return b"".join((*parts, number(roster.quorum), bytes([Op.NUMEQUAL])))


def commitment_leaf(commitment: bytes) -> bytes:
    """The script of leafG and leafE: OP_RETURN and the 32 bytes; nothing can satisfy it.

    Raises `InvalidInput`.
    """
    return op_return(_sized("commitment", commitment, 32))


def recovery_leaf(n: int, user_key: XOnlyKey) -> bytes:
    """The script <n> CSV DROP <user key> CHECKSIG: leafR.

    Raises `InvalidInput` unless 144 <= n <= 65535 and the key lies on the curve (threat S20).
    """
    if not MIN_RECOVERY <= n <= MAX_RECOVERY:
        raise InvalidInput(f"recovery: got {n} blocks, expected {MIN_RECOVERY} to {MAX_RECOVERY}")
    native.xonly_check(user_key)
    delay = number(n) + bytes([Op.CHECKSEQUENCEVERIFY, Op.DROP])
    return delay + push(user_key) + bytes([Op.CHECKSIG])


@lru_cache(maxsize=1024)
def guard(roster: Roster, gid: bytes) -> TaprootOutput:
    """The guarded output of a contract: leaves `quorum`, `commitment`. Raises `InvalidInput`."""
    return taproot.output(
        roster.internal_key,
        (TapScript(quorum_leaf(roster), QUORUM), TapScript(commitment_leaf(gid), COMMITMENT)),
    )


@lru_cache(maxsize=1024)
def escrow(roster: Roster, eid: bytes, n: int, user_key: XOnlyKey) -> TaprootOutput:
    """The output that holds what a user pays in: leaves `quorum`, `recovery`, `commitment`.

    Raises `InvalidInput`.
    """
    return taproot.output(
        roster.internal_key,
        (
            TapScript(quorum_leaf(roster), QUORUM),
            (
                TapScript(recovery_leaf(n, user_key), RECOVERY),
                TapScript(commitment_leaf(eid), COMMITMENT),
            ),
        ),
    )


def quorum_witness(
    roster: Roster, leaf: Leaf, signatures: Mapping[XOnlyKey, bytes]
) -> tuple[bytes, ...]:
    """The witness that spends by the quorum leaf; takes the first `quorum` signatures in key order.

    Signatures are not checked here. Raises `InvalidInput` when there are too few, one is not of 64
    bytes, or one is of a key that is not in the roster.
    """
    strangers = set(signatures) - set(roster.keys)
    if strangers:
        raise InvalidInput(f"quorum: key {min(strangers).hex()} is not in epoch {roster.epoch}")
    if any(len(signature) != 64 for signature in signatures.values()):
        raise InvalidInput("quorum: a signature is not of 64 bytes")
    signers = [key for key in roster.keys if key in signatures][: roster.quorum]
    if len(signers) < roster.quorum:
        raise InvalidInput(f"quorum: got {len(signers)} signatures, expected {roster.quorum}")
    chosen = set(signers)
    # NUMEQUAL wants exactly the quorum; an empty element is a signature that is left out. The
    # first key's signature is on top, so it comes last.
    stack = [signatures[key] if key in chosen else b"" for key in reversed(roster.keys)]
    return leaf.witness(stack)


def to_address(script: bytes, hrp: str) -> str:
    """The address of a scriptPubKey on the chain with this prefix ("bc", "tb", "bcrt").

    Raises `InvalidInput` for a script that has no address.
    """
    return native.address_encode(script, hrp)


def from_address(text: str, hrp: str) -> bytes:
    """The scriptPubKey of an address of the chain with this prefix. Raises `InvalidInput`."""
    try:
        return native.address_decode(text, hrp)
    except InvalidInput as exc:
        raise InvalidInput(
            f"address: got {text[:90]!r}, expected one of this network ({hrp}1...)",
            hint="copy it whole: a mistyped character is found by the address's checksum",
        ) from exc
