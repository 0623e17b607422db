"""A pool with a long history on a made chain: real proofs, real signatures of twelve keys.

Each swap spends the output of the one before, so the chain of proofs is made one after the other,
60 ms each. It is kept in the cache folder and grows there: the second run only reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from enclave_world import ALICE, BOB, KEYS, QUORUM, RATE, ROSTER, World, account, zkbtc_app
from made_chain import Block, MadeChain

from grail import codec
from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.bitcoin.addresses import quorum_witness
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.spv import Header
from grail.bitcoin.tx import Tx, sighash
from grail.bridge.deploy import zkbtc_contract
from grail.charms import spell
from grail.charms.app import App, Contract, Data, identity_of
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import Purse
from grail.exchange.pool import PoolPort, draft_create, draft_move, swapping
from grail.exchange.token import draft_issue, draft_transfer
from grail.folders import cache_root, private_folder, write_private
from grail.operators.configuration import Configuration
from grail.operators.evidence import Known
from grail.types import OutPoint
from grail.wallet.account import Account
from grail.wallet.coins import Coin

FORMAT = 1
TRADERS = (ALICE, BOB, account("carol"), account("dave"))
PER_BLOCK = 20
"""Swaps in a block: as many unconfirmed uses as operators let hang together."""
KEEP_EVERY = 500
MOST = 64_000_000
"""Bytes of a kept chain, for the reader's cap."""

Progress = Callable[[str], None]


class MadePool:
    """The world of one pool, and who holds what at its tip."""

    def __init__(self, world: World, token: Contract, pool: Contract) -> None:
        self.world, self.token, self.pool = world, token, pool
        self.apps = {app.vk: app for app in (zkbtc_app(), _compiled(Token), _compiled(Pool))}
        self.swaps: list[Tx] = []
        self._coins: dict[OutPoint, Coin] = {}
        for block in world.chain.blocks:
            for tx in block.txs:
                self._take(tx)

    @classmethod
    def with_swaps(cls, count: int, progress: Progress = lambda _text: None) -> MadePool:
        """A pool that saw so many swaps, in blocks; from the cache folder, or made now."""
        made = _load(count) or _first_pool()
        done = len(made.swaps)
        while len(made.swaps) < count:
            made.trade(min(PER_BLOCK, count - len(made.swaps)))
            if len(made.swaps) - done >= KEEP_EVERY or len(made.swaps) == count:
                done = len(made.swaps)
                _save(made, count)
                progress(f"{done} of {count} swaps proven")
        return made.cut(count)

    def cut(self, count: int) -> MadePool:
        """The same pool after its first swaps alone."""
        if count == len(self.swaps):
            return self
        last = self.world.chain.find(self.swaps[count - 1].txid)
        height = self.world.chain.start + self.world.chain.blocks.index(last)
        other = self.on(self.world.chain.fork(height))
        assert len(other.swaps) == count, "a part of a block: choose a multiple of 20"
        return other

    def on(self, chain: MadeChain) -> MadePool:
        """The same pool as another chain tells of it."""
        world = World.__new__(World)
        world.__dict__.update(self.world.__dict__)
        world.chain = chain
        world.transactions = {tx.txid: tx for block in chain.blocks for tx in block.txs}
        return MadePool(world, self.token, self.pool)

    # ---- what is where

    @property
    def bundles(self) -> list[bytes]:
        """The bundles of the three contracts."""
        return [app.bundle.serialize() for app in self.apps.values()]

    @property
    def context(self) -> Context:
        """What drafts need to know."""
        known = {app.bundle.vk: app.bundle for app in self.apps.values()}
        return replace(self.world.context, bundles=known)

    def port(self) -> PoolPort:
        """The pool as it is now."""
        coin = next(c for c in self._coins.values() if self.pool.nft in c.charms)
        return PoolPort.read(self.pool, coin)

    def coins(self, who: Account) -> list[Coin]:
        """What a trader holds."""
        return [coin for coin in self._coins.values() if coin.output.script == who.script]

    def known(self) -> Known:
        """What a client has fetched."""
        inclusions = {
            tx.txid: block.prove(tx.txid)
            for block in self.world.chain.blocks
            for tx in block.txs[1:]
        }
        raws = {
            tx.txid: tx.serialize() for block in self.world.chain.blocks for tx in block.txs[1:]
        }
        return Known(raws, inclusions, [ROSTER])

    def _take(self, tx: Tx) -> None:
        """Follow a transaction that is known to be correct."""
        self.world.transactions[tx.txid] = tx
        for txin in tx.inputs:
            self._coins.pop(txin.outpoint, None)
        found = spell.parse(tx)
        outs: Sequence[dict[App, Data]] = [] if found is None else [dict(o) for o in found.outs]
        for index, output in enumerate(tx.outputs):
            if output.sats:
                charms = outs[index] if index < len(outs) else {}
                coin = Coin(tx.outpoint(index), output, charms, height=0)
                self._coins[coin.outpoint] = coin
        if found is not None and any(proof.action == _SWAP for proof in found.proofs):
            listed = found.contracts
            if any(listed[p.contract] == self.pool and p.action == _SWAP for p in found.proofs):
                self.swaps.append(tx)

    # ---- what happens

    def confirm(self, *txs: Tx) -> None:
        """A block with these transactions, which were taken already."""
        self.world.chain.mine(*txs)

    def signed(self, built: Assembled) -> Tx:
        """With the witnesses of traders and of the quorum, as its enclaves make them."""
        tx = built.signed_by(*TRADERS)
        prevouts = built.spent_outputs
        for spend in built.check_unproven().quorum_inputs:
            digest = sighash(tx, prevouts, spend.index, leaf_hash=spend.leaf.leaf_hash)
            signatures = {key.public: key.sign(digest) for key in KEYS[:QUORUM]}
            tx = tx.with_witness(spend.index, quorum_witness(ROSTER, spend.leaf, signatures))
        return tx

    def swap(self) -> Assembled:
        """The next trader's swap, proven and not signed: a little there and back again."""
        number = len(self.swaps)
        who, port = TRADERS[number % len(TRADERS)], self.port()
        forth = number // len(TRADERS) % 2 == 0
        give = port.asset_a if forth else port.asset_b
        held = max(coin.units(give) for coin in self.coins(who))
        amount = 1_000 if forth else min(held, 4_900_000_000)
        purse = Purse(self.coins(who), who.script, RATE)
        app = self.apps[self.pool.vk]
        return draft_move(self.context, app, port, purse, swapping(port, give, amount)).prove()

    def trade(self, count: int) -> None:
        """Swaps that hang on one another, and the block that holds them."""
        txs = []
        for _ in range(count):
            txs.append(self.signed(self.swap()))
            self._take(txs[-1])
        self.confirm(*txs)


def _compiled(app: type) -> CompiledApp:
    return _COMPILED.setdefault(app, compile_app(app))


_COMPILED: dict[type, CompiledApp] = {}
_SWAP = compile_app(Pool).bundle.action("swap").number


def _first_pool() -> MadePool:
    """Four traders with zkBTC, tokens and sats, and a pool that Alice opened."""
    world = World.begun()
    mint = world.peg_in(*world.paid(80_000_000))
    stub = MadePool(world, world.zkbtc, world.zkbtc)
    _done(stub, stub.signed(mint))
    units = mint.tx.outputs[0].sats
    first = world.give(ALICE, 90_000_000)
    _seen(stub)
    app = _compiled(Token)
    purse = Purse([first], ALICE.script, RATE)
    issued = draft_issue(stub.context, app, purse, 10**15, to=ALICE.script).prove()
    token = Contract(identity_of(first.outpoint), app.vk)
    _done(stub, stub.signed(issued))
    for who in TRADERS[1:]:
        world.give(who, 90_000_000)
        _seen(stub)
        for asset, amount in ((world.zkbtc.token, units // 8), (token.token, 10**12)):
            purse = Purse(stub.coins(ALICE), ALICE.script, RATE)
            sent = draft_transfer(stub.context, purse, asset, amount, to=who.script)
            _done(stub, stub.signed(sent))
    plain = world.give(ALICE, 10_000_000)
    _seen(stub)
    coins = [plain, *(coin for coin in stub.coins(ALICE) if coin.outpoint != plain.outpoint)]
    pool_app = _compiled(Pool)
    reserves = [(world.zkbtc.token, units // 4), (token.token, 10**14)]
    opened = draft_create(
        stub.context, pool_app, Purse(coins, ALICE.script, RATE), reserves
    ).prove()
    contract = Contract(identity_of(opened.tx.inputs[0].outpoint), pool_app.vk)
    _done(stub, stub.signed(opened))
    return MadePool(world, token, contract)


def _done(made: MadePool, tx: Tx) -> None:
    made._take(tx)
    made.confirm(tx)


def _seen(made: MadePool) -> None:
    """Take what the world put into its newest block."""
    for tx in made.world.chain.blocks[-1].txs:
        made._take(tx)


# ---- the cache


def _files() -> tuple[Path, str]:
    """The folder of kept chains, and their name: what the proofs and addresses rest on."""
    parts = [bytes([FORMAT]), *(app.vk for app in (zkbtc_app(), _compiled(Token), _compiled(Pool)))]
    parts += [bytes(key.public) for key in KEYS]
    name = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
    return private_folder(cache_root() / "made"), f"pool-{name}"


def _save(made: MadePool, wanted: int) -> None:
    """One file for each size asked for, so that a small one is read quickly."""
    world = made.world
    blocks = [
        [block.header.serialize(), [tx.serialize() for tx in block.txs]]
        for block in world.chain.blocks
    ]
    value = [
        world.network.grail_outpoint.serialize(),
        bytes(world.deploy.txid),
        bytes(made.token),
        bytes(made.pool),
        blocks,
    ]
    folder, name = _files()
    write_private(folder / f"{name}-{wanted}.cbor", codec.encode(value))


def _load(wanted: int) -> MadePool | None:
    """The kept chain of this size; else the next larger one, which holds it, or the next smaller."""
    folder, name = _files()
    sizes = {int(path.stem.rsplit("-", 1)[1]): path for path in folder.glob(f"{name}-*.cbor")}
    if not sizes:
        return None
    larger = [size for size in sizes if size >= wanted]
    path = sizes[min(larger) if larger else max(sizes)]
    grail, deploy, token, pool, blocks = codec.decode(path.read_bytes(), max_bytes=MOST)
    chain = MadeChain.__new__(MadeChain)
    chain.chain, chain.start, chain.spacing = REGTEST, 0, 600
    chain.blocks = [
        Block(Header.parse(header), tuple(Tx.parse(raw) for raw in txs)) for header, txs in blocks
    ]
    world = World.__new__(World)
    world.chain = chain
    world._serial = 1_000_000
    world.network = Network(REGTEST, OutPoint.parse(grail))
    world.zkbtc = zkbtc_contract(world.network, zkbtc_app())
    world.configuration = Configuration(
        world.network, chain.pinned, world.zkbtc.vk, single_party=True
    )
    world.transactions = {tx.txid: tx for block in chain.blocks for tx in block.txs}
    world.deploy = next(tx for txid, tx in world.transactions.items() if bytes(txid) == deploy)
    world.deployed_at = chain.blocks.index(chain.find(world.deploy.txid))
    return MadePool(world, Contract.parse(token), Contract.parse(pool))
