"""The true size of a transaction once the quorum has signed, and which outputs a node relays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grail import native
from grail.bitcoin.script import ScriptType, classify, dust_limit
from grail.bitcoin.tx import Tx
from grail.charms.record import Record
from grail.charms.rules import QuorumInput
from grail.errors import InvalidInput
from grail.operators.spender import ScriptPath
from grail.types import TxOut

MAX_STANDARD_WEIGHT = 400_000
"""The heaviest transaction that nodes relay (Bitcoin Core's MAX_STANDARD_TX_WEIGHT)."""

PAYABLE = frozenset(
    {ScriptType.P2PKH, ScriptType.P2SH, ScriptType.P2WPKH, ScriptType.P2WSH, ScriptType.P2TR}
)
"""Output scripts that nodes relay and that somebody can be expected to spend."""


def signed_weight(tx: Tx, spends: Sequence[QuorumInput], record: Record) -> int:
    """The weight of the transaction with a full witness on every input that the quorum signs.

    Raises `InvalidInput` for an epoch that the record lacks.
    """
    inputs = list(tx.inputs)
    for spend in spends:
        reign = record.reign(spend.epoch)
        if reign is None:
            raise InvalidInput(f"epoch {spend.epoch} is not in the record")
        witness = ScriptPath(reign.roster).sized(spend)
        inputs[spend.index] = replace(inputs[spend.index], witness=witness)
    return replace(tx, inputs=tuple(inputs)).weight


def check_payable(output: TxOut) -> None:
    """Raise `InvalidInput` unless nodes relay the output and somebody can spend it (threat S25)."""
    kind = classify(output.script)
    if kind not in PAYABLE:
        raise InvalidInput(
            f"script {output.script[:8].hex()}.. of {len(output.script)} bytes, expected P2PKH, "
            "P2SH, P2WPKH, P2WSH or P2TR"
        )
    least = dust_limit(output.script)
    if output.sats < least:
        raise InvalidInput(f"{kind.name} output of {output.sats} sats, expected at least {least}")
    if kind is ScriptType.P2TR:
        native.xonly_check(output.script[2:])
