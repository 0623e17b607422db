"""Bitcoin scripts: opcodes, pushes, reading a script; output types and their dust limits.

Numbers and pushes are written in their one minimal form; reading keeps the form that was found, so
that a caller can refuse another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from grail.codec import compact_size
from grail.errors import InvalidInput, Truncated
from grail.types import Sats, XOnlyKey

MAX_ELEMENT = 520
"""The largest stack element that the rules for witness scripts allow (MAX_SCRIPT_ELEMENT_SIZE)."""

DUST_RELAY_RATE = 3_000
"""Satoshi per 1,000 vbytes from which Bitcoin Core computes what is dust (DUST_RELAY_TX_FEE)."""


class Op(IntEnum):
    """The opcodes that the project writes or looks for."""

    OP_0 = 0x00
    PUSHDATA1 = 0x4C
    PUSHDATA2 = 0x4D
    PUSHDATA4 = 0x4E
    OP_1NEGATE = 0x4F
    OP_1 = 0x51
    OP_16 = 0x60
    RETURN = 0x6A
    DROP = 0x75
    DUP = 0x76
    EQUAL = 0x87
    EQUALVERIFY = 0x88
    NUMEQUAL = 0x9C
    HASH160 = 0xA9
    CHECKSIG = 0xAC
    CHECKSEQUENCEVERIFY = 0xB2
    CHECKSIGADD = 0xBA


class ScriptType(Enum):
    """The forms of scriptPubKey that are standard to send to, `OP_RETURN`, and all the rest."""

    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"
    OP_RETURN = "op_return"
    OTHER = "other"


PAYABLE = frozenset(
    {
        ScriptType.P2PKH,
        ScriptType.P2SH,
        ScriptType.P2WPKH,
        ScriptType.P2WSH,
        ScriptType.P2TR,
    }
)
"""The output types that any wallet can receive and every node relays."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a script: its opcode, and for a push (`OP_0` included) the data."""

    opcode: int
    data: bytes | None

    @property
    def minimal(self) -> bool:
        """Whether a push takes the shortest length prefix; True for what is no push."""
        return self.data is None or self.opcode == push(self.data)[0]


def push(data: bytes) -> bytes:
    """A push of `data` with the shortest length prefix; never `OP_1` to `OP_16`, see `number`."""
    size = len(data)
    if size < Op.PUSHDATA1:
        return bytes([size]) + data
    for opcode, width in ((Op.PUSHDATA1, 1), (Op.PUSHDATA2, 2), (Op.PUSHDATA4, 4)):
        if size < 1 << (8 * width):
            return bytes([opcode]) + size.to_bytes(width, "little") + data
    raise InvalidInput(f"push: got {size} bytes, expected below 2^32")


def number(n: int) -> bytes:
    """A push of the integer `n` >= 0 as a minimal script number: `OP_0`, `OP_1` to `OP_16`, bytes.

    Raises `InvalidInput`.
    """
    if not 0 <= n < 1 << 31:
        raise InvalidInput(f"script number: got {n}, expected 0 to 2^31 - 1")
    if n == 0:
        return bytes([Op.OP_0])
    if n <= 16:
        return bytes([Op.OP_1 + n - 1])
    # One bit more than the value needs: the top bit of the last byte is the sign.
    return push(n.to_bytes(n.bit_length() // 8 + 1, "little"))


def op_return(*pieces: bytes) -> bytes:
    """`OP_RETURN`, then each piece as a push with the shortest prefix."""
    return bytes([Op.RETURN]) + b"".join(push(piece) for piece in pieces)


def read(script: bytes) -> Iterator[Instruction]:
    """The steps of a script, one at a time, in the push forms that were found.

    Raises `Truncated` at a push that runs past the end, after the steps before it.
    """
    at = 0
    while at < len(script):
        opcode = script[at]
        at += 1
        if opcode > Op.PUSHDATA4:
            yield Instruction(opcode, None)
            continue
        width = (
            {Op.PUSHDATA1: 1, Op.PUSHDATA2: 2, Op.PUSHDATA4: 4}.get(Op(opcode), 0)
            if opcode >= Op.PUSHDATA1
            else 0
        )
        size = int.from_bytes(script[at : at + width], "little") if width else opcode
        data = script[at + width : at + width + size]
        if at + width > len(script) or len(data) != size:
            raise Truncated(
                f"script: opcode {opcode:#04x} pushes past the end, {len(script) - at} bytes left"
            )
        at += width + size
        yield Instruction(opcode, data)


def classify(script: bytes) -> ScriptType:
    """Which form of scriptPubKey this is."""
    size = len(script)
    if size == 34 and script[:2] == b"\x51\x20":
        return ScriptType.P2TR
    if size == 22 and script[:2] == b"\x00\x14":
        return ScriptType.P2WPKH
    if size == 34 and script[:2] == b"\x00\x20":
        return ScriptType.P2WSH
    if size == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return ScriptType.P2PKH
    if size == 23 and script[:2] == b"\xa9\x14" and script[22] == Op.EQUAL:
        return ScriptType.P2SH
    if size and script[0] == Op.RETURN:
        return ScriptType.OP_RETURN
    return ScriptType.OTHER


def is_witness_program(script: bytes) -> bool:
    """Whether this is a witness program of any version (BIP 141)."""
    return (
        4 <= len(script) <= 42
        and (script[0] == Op.OP_0 or Op.OP_1 <= script[0] <= Op.OP_16)
        and script[1] == len(script) - 2
    )


def dust_limit(script: bytes) -> Sats:
    """The fewest sats that an output with this script may hold and still be relayed.

    Bitcoin Core's GetDustThreshold at the default rate: the cost of the output and of an input that
    spends it. 0 for an `OP_RETURN`, which cannot be spent.
    """
    if script[:1] == bytes([Op.RETURN]):
        return Sats(0)
    output = 8 + len(compact_size(len(script))) + len(script)
    spend = 32 + 4 + 1 + (107 // 4 if is_witness_program(script) else 107) + 4
    return Sats((output + spend) * DUST_RELAY_RATE // 1_000)


def p2tr(output_key: bytes) -> bytes:
    """The scriptPubKey of a taproot output key (BIP 341)."""
    return bytes([Op.OP_1]) + push(XOnlyKey(output_key))


def p2wpkh(key_hash: bytes) -> bytes:
    """The scriptPubKey of a HASH160 of a compressed key (BIP 141)."""
    if len(key_hash) != 20:
        raise InvalidInput(f"key hash: got {len(key_hash)} bytes, expected 20")
    return bytes([Op.OP_0]) + push(key_hash)
