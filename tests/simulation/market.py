"""The ground on which every schedule begins: a chain with a vault, a pool, deposits and users.

Made once per process, with real proofs and headers. Its blocks are k deep beneath all that a
schedule does, so no reorganisation of a schedule reaches them.
"""

from __future__ import annotations

from dataclasses import replace

from enclave_world import ALICE, RATE, World, account, prove, zkbtc_app

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.bitcoin.addresses import quorum_witness
from grail.bitcoin.tx import Tx, sighash
from grail.bridge.deposit import Deposit
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.exchange.pool import PoolPort, draft_create
from grail.exchange.token import draft_issue
from grail.operators.evidence import Known
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from simulation.crew import crew, per_crew

USERS = 32
"""People with zkBTC and plain sats of their own; each asks for one transaction at most."""
UNITS = 70_000
"""zkBTC of each of them."""
DEPOSIT = 900_000
"""Sats of each deposit."""


class Market:
    """The base chain, and the coins on it by the letter that schedules know them by.

    `a`, `b` and `c` are outputs of the vault, `p` is the pool, `d` and `e` are unserved deposits.
    """

    def __init__(self) -> None:
        self.world = world = World.begun(crew().size, crew().quorum)
        self.token_app, self.pool_app = compile_app(Token), compile_app(Pool)
        self.zkbtc, self.units = world.zkbtc, world.zkbtc.token
        self.bundles = (zkbtc_app().bundle, self.token_app.bundle, self.pool_app.bundle)
        self.coins: dict[str, Coin] = {}
        self.deposits = {letter: self._deposit(letter) for letter in "de"}
        world.chain.mine_many(world.network.k)
        held = [self._pegged_in(letter) for letter in "abc"]
        self.users = tuple(account(f"user-{number}") for number in range(USERS))
        self.held, rest = self._split(held)
        self.own = tuple(world.give(user, 40_000, mined=False) for user in self.users)
        world.confirm(*(world.transactions[coin.outpoint.txid] for coin in self.own))
        self.pool = self._pool(rest)
        self.coins["p"] = self.pool.coin
        world.chain.mine_many(world.network.k + 1)
        self.known: Known = world.known

    @property
    def app(self) -> CompiledApp:
        """The app of zkBTC."""
        return zkbtc_app()

    @property
    def context(self) -> Context:
        """What drafts need to know, at the base chain's tip."""
        bundles: dict[bytes, Bundle] = {bundle.vk: bundle for bundle in self.bundles}
        return replace(self.world.context, bundles=bundles)

    def purse(self, user: int, *, charmed: bool = True) -> Purse:
        """What a user can spend."""
        coins = [self.held[user], self.own[user]] if charmed else [self.own[user]]
        return Purse(coins, self.users[user].script, RATE)

    def _deposit(self, letter: str) -> Deposit:
        owner = account(f"depositor-{letter}")
        deposit = Deposit.of(self.world.context, owner.script, owner.internal_key, max_fee=20_000)
        self.coins[letter] = self.world.give(deposit.script, DEPOSIT)
        return deposit

    def _pegged_in(self, letter: str) -> Coin:
        """Serve a deposit for Alice; its place in the vault takes over the letter."""
        deposit = self.world.deposit(ALICE)
        coin = self.world.give(deposit.script, DEPOSIT)
        self.world.chain.mine_many(self.world.network.k)
        _, coins = self._published(self.world.peg_in(deposit, coin))
        self.coins[letter] = next(c for c in coins if not c.charms)
        return next(c for c in coins if c.charms)

    def _split(self, held: list[Coin]) -> tuple[tuple[Coin, ...], list[Coin]]:
        """Give every user zkBTC by simple transfer; what is left stays with Alice."""
        draft = Draft(self.context)
        draft.spend(*held)
        for user in self.users:
            draft.pay(user.script, CARRIER, {self.units: UNITS})
        draft.keep_rest(ALICE.script, CARRIER)
        draft.fund(Purse([self.world.give(ALICE, 200_000)], ALICE.script, RATE))
        _, coins = self._published(draft.assemble(), ALICE)
        charmed = [c for c in coins if c.charms]
        return tuple(charmed[:USERS]), charmed[USERS:]

    def _pool(self, rest: list[Coin]) -> PoolPort:
        fresh = [self.world.give(ALICE, sats) for sats in (90_000, 100_000)]
        purse = Purse([*rest, *fresh], ALICE.script, RATE)
        _, issued = self._published(
            draft_issue(self.context, self.token_app, purse, 10**9, to=ALICE.script), ALICE
        )
        token = next(c for c in issued if c.charms)
        (app,) = token.charms
        fresh = [self.world.give(ALICE, sats) for sats in (90_000, 100_000)]
        purse = Purse([*rest, token, *fresh], ALICE.script, RATE)
        reserves: list[tuple[App, int]] = [(self.units, 100_000), (app, 400_000_000)]
        built = draft_create(self.context, self.pool_app, purse, reserves)
        _, coins = self._published(built, ALICE)
        contract = built.acts[0].contract
        return PoolPort.read(contract, next(c for c in coins if contract.nft in c.charms))

    def _published(self, built: Assembled, *accounts: Account) -> tuple[Tx, list[Coin]]:
        """A transaction in a block, signed by the accounts and the quorum, and its new coins."""
        tx, coins = signed(self.world, prove(built), *accounts), outputs(prove(built))
        self.world.confirm(tx)
        height = self.world.chain.height
        return tx, [replace(coin, height=height) for coin in coins]


def signed(world: World, built: Assembled, *accounts: Account) -> Tx:
    """The transaction with users' witnesses, and the first operators' where the quorum signs."""
    tx = built.signed_by(*accounts)
    for spend in built.check().quorum_inputs:
        digest = sighash(tx, built.spent_outputs, spend.index, leaf_hash=spend.leaf.leaf_hash)
        signatures = {key.public: key.sign(digest) for key in world.keys[: world.quorum]}
        tx = tx.with_witness(spend.index, quorum_witness(world.epoch0, spend.leaf, signatures))
    return tx


def outputs(built: Assembled) -> list[Coin]:
    """The coins that a proven transaction makes; its carrier of the spell is none."""
    charms = built.check().charms
    return [
        Coin(built.tx.outpoint(vout), out, dict(charms[vout]))
        for vout, out in enumerate(built.tx.outputs)
        if out.script[:1] != b"\x6a"
    ]


def port_of(contract: Contract, built: Assembled) -> PoolPort:
    """The pool as a proven transaction leaves it."""
    return PoolPort.read(contract, next(c for c in outputs(built) if contract.nft in c.charms))


@per_crew
def market() -> Market:
    """The one market of this process and crew."""
    return Market()
