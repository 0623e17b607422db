"""Invariant I2 by a plain scan: the zkBTC that is unspent, the sats that the vault holds, the burns.

It reads blocks and nothing else. Spells are read with the CBOR library, scripts with slices; which
ones are correct is the slow model's word, and every transaction of the market was one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cbor2
import slow_spells
from made_chain import Block

from grail.bitcoin.tx import Tx
from grail.types import OutPoint, Txid
from simulation.crew import per_crew
from simulation.market import market
from simulation.unsafe import Unsafe


@dataclass
class Scan:
    """What is there after some blocks: units and vault sats by outpoint, and who burned what."""

    units: dict[OutPoint, int] = field(default_factory=dict)
    vault: dict[OutPoint, int] = field(default_factory=dict)
    burns: dict[Txid, int] = field(default_factory=dict)

    def copy(self) -> Scan:
        """A scan to go on from here."""
        return Scan(dict(self.units), dict(self.vault), dict(self.burns))

    def block(self, block: Block, correct: Callable[[Tx], bool]) -> None:
        """Take in a block."""
        for tx in block.txs:
            self.tx(tx, correct(tx))

    def tx(self, tx: Tx, correct: bool) -> None:
        """Take in a transaction; without a correct spell every unit that it spends is burned."""
        spent = sum(self.units.pop(txin.outpoint, 0) for txin in tx.inputs)
        for txin in tx.inputs:
            self.vault.pop(txin.outpoint, None)
        found = outs_of(tx) if correct else None
        if found is None and spent:
            self.burns[tx.txid] = spent
        script = vault_script()
        for vout, output in enumerate(tx.outputs):
            held = {} if found is None or vout >= len(found) else found[vout]
            if output.script == script and not held:
                self.vault[tx.outpoint(vout)] = output.sats
            amount = held.get(_token(), 0)
            if amount:
                self.units[tx.outpoint(vout)] = amount

    def check(self) -> None:
        """Raise `Unsafe` unless every unit is backed, and every sat but those of burns claimed."""
        supply, vault = sum(self.units.values()), sum(self.vault.values())
        burned = sum(self.burns.values())
        if supply + burned != vault:
            raise Unsafe(f"I2: supply {supply} and burned {burned}, but vault {vault}")


Charms = dict[tuple[str, bytes, bytes], int]


def outs_of(tx: Tx) -> Sequence[Charms] | None:
    """The charms of each output by the spell that a transaction carries; None without one."""
    for output in tx.outputs:
        if output.script[:7] != b"\x6a\x05spell":
            continue
        rest = output.script[7:]
        size, rest = _length(rest)
        spell = cbor2.loads(rest[:size])[0]
        apps = list(spell["app_public_inputs"])
        return [{apps[at]: data for at, data in out.items()} for out in spell["tx"]["outs"]]
    return None


def _length(raw: bytes) -> tuple[int, bytes]:
    """The length of a push, and what comes after it."""
    if raw[0] < 0x4C:
        return raw[0], raw[1:]
    width = {0x4C: 1, 0x4D: 2, 0x4E: 4}[raw[0]]
    return int.from_bytes(raw[1 : 1 + width], "little"), raw[1 + width :]


@per_crew
def _token() -> tuple[str, bytes, bytes]:
    contract = bytes(market().zkbtc)
    return "t", contract[:32], contract[32:]


@per_crew
def vault_script() -> bytes:
    """The vault's script, rebuilt by the slow model."""
    ground = market()
    return slow_spells.guard(ground.world.network.id, bytes(ground.zkbtc), ground.world.epoch0)


@per_crew
def base() -> Scan:
    """The market's chain, scanned once."""
    scan = Scan()
    for block in market().world.chain.blocks:
        scan.block(block, lambda _: True)
    scan.check()
    return scan
