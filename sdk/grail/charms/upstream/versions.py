"""What differs from one version of Charms to the next: one row each.

To add a version is to add its row. Programs and keys are named by digests: an SP1 proof says "this
program ran and returned these values", so the program's digest is what stands for the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grail.errors import SpellIncorrect


class Values(Enum):
    """How the program writes the values that it returns: CBOR of its own digest and the spell."""

    TEXT = "digest as text"
    INTEGERS = "digest as integers"


class Inputs(Enum):
    """Which of the transaction's inputs the program sees."""

    ALL_BUT_LAST = "all but the last"
    ALL = "all"


class Coins(Enum):
    """Which of the transaction's outputs (amount and script) the program sees."""

    NONE = "none"
    WITH_CHARMS = "those that outs describes"


@dataclass(frozen=True, slots=True)
class Groth16Key:
    """A verifying key of SP1's last proof: SHA-256 of its file, the public inputs that it takes.

    `vk_root` is the root of the recursion programs that such a proof must name; empty for SP1
    before 6, whose proofs have no such field.
    """

    digest: bytes
    vk_root: bytes = b""

    @property
    def prefix(self) -> bytes:
        """The first four bytes of each proof for this key."""
        return self.digest[:4]


# Keys of SP1 4, 5, 6.0 and from 6.1 on.
_S4 = Groth16Key(bytes.fromhex("11b6a09d63d255ad425ee3a7f6211d5ec63fbde9805b40551c3136275b6f4eb4"))
_S5 = Groth16Key(bytes.fromhex("a4594c59bbc142f3b81c3ecb7f50a7c34bc9af7c4c444b5d48b795427e285913"))
_S60 = Groth16Key(
    bytes.fromhex("0e78f4db7a6771a3a6a7d9c3b0de6fe73d58781368967a7fe84d87aefffec896"),
    bytes.fromhex("008cd56e10c2fe24795cff1e1d1f40d3a324528d315674da45d26afb376e8670"),
)
_S61 = Groth16Key(
    bytes.fromhex("4388a21c687fdd5f218d7e3d13190cac4c5355818d3605fd5fb811df468ee696"),
    bytes.fromhex("002f850ee998974d6cc00e50cd0814b098c05bfade466d28573240d057f25352"),
)


@dataclass(frozen=True, slots=True)
class Form:
    """What a version's program sees of the transaction, and how it writes what it returns."""

    values: Values
    inputs: Inputs
    coins: Coins


_OLD = Form(Values.TEXT, Inputs.ALL_BUT_LAST, Coins.NONE)
_COIN = Form(Values.TEXT, Inputs.ALL_BUT_LAST, Coins.WITH_CHARMS)
_ALL = Form(Values.TEXT, Inputs.ALL, Coins.WITH_CHARMS)
_NOW = Form(Values.INTEGERS, Inputs.ALL, Coins.WITH_CHARMS)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of Charms: its program's digest, the key of its proofs, the form of both.

    `last_height` is this project's policy: in a block above it, a proof of this version is not
    relied upon any more, whatever it proves; None for the version of today. It lies a month behind
    the day on which upstream's code took up the next version, at ten minutes a block.
    """

    number: int
    program: bytes
    key: Groth16Key
    last_height: int | None
    form: Form

    @property
    def retired(self) -> bool:
        """Whether upstream makes no new proofs of this version."""
        return self.last_height is not None


def _v(number: int, program: str, key: Groth16Key, last: int | None, form: Form) -> Version:
    return Version(number, bytes.fromhex(program), key, last, form)


TABLE: tuple[Version, ...] = (
    _v(1, "009f38f590ebca4c08c1e97b4064f39e4cd336eea4069669c5f5170a38a1ff97", _S4, 889_000, _OLD),
    _v(2, "00bd312b6026dbe4a2c16da1e8118d4fea31587a4b572b63155252d2daf69280", _S4, 898_000, _OLD),
    _v(3, "0034872b5af38c95fe82fada696b09a448f7ab0928273b7ac8c58ba29db774b9", _S4, 903_000, _OLD),
    _v(4, "00c707a155bf8dc18dc41db2994c214e93e906a3e97b4581db4345b3edd837c5", _S5, 908_000, _OLD),
    _v(5, "00e98665c417bd2e6e81c449af63b26ed5ad5c400ef55811b592450bf62c67cd", _S5, 912_000, _OLD),
    _v(6, "005a1df17094445572e4dd474b3e5dd9093936cba62ca3a62bb2ce63d9db8cba", _S5, 916_000, _OLD),
    _v(7, "0041d9843ec25ba04797a0ce29af364389f7eda9f7126ef39390c357432ad9aa", _S5, 926_000, _OLD),
    _v(8, "00e440d40e331c16bc4c78d2dbc6bb35876e6ea944e943de359a075e07385abc", _S5, 936_000, _COIN),
    _v(9, "00713f077ec2bd68157512835dc678053565a889935ecd5789ce2fa097c93ee9", _S5, 937_000, _COIN),
    _v(10, "00ccf030317cae019a4cd3c8557b2c5b522050e7e562e3adf287cd5ad596511f", _S5, 942_000, _ALL),
    _v(11, "00d41d49f54303acee4e7d064a31e0c9bd2e1bbdb60f39170a1461c71015c308", _S5, 946_000, _ALL),
    _v(12, "00cd44537c67da0dc50b88e794deed43c4507a862070ed83c99941789811a6a0", _S60, 948_000, _ALL),
    _v(13, "004ef5bd2f6ed0c33b022dcc263bde479421d81a82ca0cb1a99d9ff361f89895", _S60, 949_000, _ALL),
    _v(14, "001a2396afb7e376736d9cf82d33c0dec55cb66866bf7f141fdaa92ab70a0506", _S61, 954_000, _ALL),
    _v(15, "00425796f4c4fa050043eee14d801b4f935244e44aad6a28de0cd5cb3de0ae52", _S61, None, _NOW),
)

CURRENT = TABLE[-1].number
"""The one version of which new proofs are made."""

_BY_NUMBER = {row.number: row for row in TABLE}


def version(number: int) -> Version:
    """The row of a version. Raises `SpellIncorrect` with rule VersionUnknown."""
    row = _BY_NUMBER.get(number)
    if row is None:
        raise SpellIncorrect(
            "VersionUnknown",
            "no such version of Charms is known here",
            got=str(number),
            expected=f"{TABLE[0].number} to {CURRENT}",
        )
    return row


def check_age(number: int, height: int) -> None:
    """Raise `SpellIncorrect` with rule VersionRetired for a block above the version's last height.

    Old provers had holes (threat C5): a spell that hides behind one is refused, however its proof
    verifies. For a transaction that is in no block yet, ask for the height of the next one.
    """
    last = version(number).last_height
    if last is not None and height > last:
        raise SpellIncorrect(
            "VersionRetired",
            f"version {number} is retired",
            got=f"height {height}",
            expected=f"at most {last}",
        )
