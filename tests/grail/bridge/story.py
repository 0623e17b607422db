"""A network of sixteen keys in this process: enough to build, prove, sign and spend for real.

Nothing is stubbed: proofs are Groth16's, rules are those of the enclaves, witnesses go to
libbitcoinkernel. Only the chain and the talking are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from tests.kernel import verify_spend

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.apps.zkbtc import ZkBtc
from grail.bitcoin import addresses
from grail.bitcoin import tx as txs
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx
from grail.bridge.deploy import draft_deploy, zkbtc_contract
from grail.charms.record import Record, Reign
from grail.charms.rules import CheckedTx
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import Purse
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin

RATE = 2


@cache
def compiled(app: type[ZkBtc | Pool | Token]) -> CompiledApp:
    return compile_app(app)


def account(name: str) -> Account:
    return Account(name, KeyPair(name.encode().rjust(32, b"\x01")), REGTEST)


@dataclass
class Story:
    """A chain of published transactions and the coins that they left."""

    keys: list[KeyPair] = field(
        default_factory=lambda: [KeyPair(bytes([7, i]) * 16) for i in range(1, 17)]
    )
    height: int = 200
    coins: dict[OutPoint, Coin] = field(default_factory=dict)
    fees: int = 0
    paid_in: int = 0
    _made: int = 0

    def __post_init__(self) -> None:
        self.roster = Roster.of(0, [key.public for key in self.keys], 12)
        self.grail = account("grail")
        coin = self.give(self.grail, 100_000)
        self.network = Network(REGTEST, coin.outpoint)
        self.zkbtc = zkbtc_contract(self.network, compiled(ZkBtc))
        built = draft_deploy(
            self.network,
            compiled(ZkBtc),
            self.roster,
            coin,
            Purse([], self.grail.script, RATE),
            height=100,
        )
        self.publish(built, self.grail)

    @property
    def context(self) -> Context:
        bundles = [compiled(app).bundle for app in (ZkBtc, Token, Pool)]
        record = Record(self.zkbtc, (Reign(self.roster, 106),))
        return Context(self.network, record, self.height, {b.vk: b for b in bundles})

    def give(self, who: Account | bytes, sats: int) -> Coin:
        """A confirmed coin out of nowhere."""
        self._made += 1
        script = who if isinstance(who, bytes) else who.script
        outpoint = OutPoint(Txid(self._made.to_bytes(32, "big")), 0)
        coin = Coin(outpoint, TxOut(sats, script), {}, height=1)
        self.coins[outpoint] = coin
        self.paid_in += sats
        return coin

    def held(self, who: Account | bytes) -> list[Coin]:
        script = who if isinstance(who, bytes) else who.script
        return sorted(
            (c for c in self.coins.values() if c.output.script == script), key=lambda c: c.outpoint
        )

    def purse(self, who: Account) -> Purse:
        return Purse(self.held(who), who.script, RATE)

    def units(self, who: Account | bytes, app: object) -> int:
        return sum(c.units(app) for c in self.held(who))  # type: ignore[arg-type]

    def prove(self, built: Assembled) -> tuple[Assembled, CheckedTx]:
        proven = built.prove()
        return proven, proven.check()

    def sign(self, proven: Assembled, checked: CheckedTx, *accounts: Account) -> Tx:
        """The users' witnesses and twelve of the sixteen."""
        tx = proven.signed_by(*accounts)
        for found in checked.quorum_inputs:
            digest = txs.sighash(
                tx, proven.spent_outputs, found.index, leaf_hash=found.leaf.leaf_hash
            )
            signatures = {key.public: key.sign(digest) for key in self.keys[2:14]}
            witness = addresses.quorum_witness(self.roster, found.leaf, signatures)
            tx = tx.with_witness(found.index, witness)
        return tx

    def publish(self, built: Assembled, *accounts: Account) -> Tx:
        """Prove, check by every rule, sign, ask libbitcoinkernel, take over the new coins."""
        proven, checked = self.prove(built)
        tx = self.sign(proven, checked, *accounts)
        self.confirm(tx, proven, checked)
        return tx

    def confirm(self, tx: Tx, built: Assembled, checked: CheckedTx | None) -> None:
        verify_spend(tx.serialize(), built.spent_outputs)
        assert tx.vsize == built.vsize
        for txin in tx.inputs:
            del self.coins[txin.outpoint]
        self.fees += built.fee
        for vout, output in enumerate(tx.outputs):
            if output.script[:1] != b"\x6a":
                charms = dict(checked.charms[vout]) if checked else {}
                outpoint = OutPoint(tx.txid, vout)
                self.coins[outpoint] = Coin(outpoint, output, charms, self.height)
