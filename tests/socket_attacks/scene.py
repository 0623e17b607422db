"""A world whose zkBTC circuit says yes, with something to steal, and a builder that refuses nothing.

Everything is real but the circuits: chain, history, signatures, proofs. `Heist` writes any
transaction with any spell, proves it with the hostile circuits and puts the request together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

from enclave_world import ALICE, KEYS, MALLORY, ROSTER, World, ask

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.token import Token
from grail.bitcoin.tx import Tx, TxIn
from grail.charms import rules
from grail.charms.app import App, Contract, Data, identity_of
from grail.charms.descriptor import Bundle
from grail.charms.rules import CheckedTx
from grail.charms.spell import ContractProof, Inputs, Spell
from grail.draft import sizes
from grail.draft.assembled import Assembled, Context, Spend
from grail.operators import frames
from grail.operators.evidence import SigningRequest, assemble
from grail.operators.roster import FirstRoster, roster_fields
from grail.types import TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave
from socket_attacks.hostile_apps import HOLDING, NOTE, house, lax_zkbtc

FEE = 20_000
"""Within policy for every transaction here."""


class HasBundle(Protocol):
    """An app as a verifier knows it."""

    @property
    def bundle(self) -> Bundle:
        """Its bundle."""


Charms = Mapping[App, Data]
Out = tuple[int, bytes, Charms]


@cache
def token_app() -> CompiledApp:
    """The honest token app."""
    return compile_app(Token)


@dataclass
class Scene(World):
    """A vault, zkBTC in wallets, a house with two ports, and a token of Alice's."""

    @property
    def app(self) -> CompiledApp:
        return lax_zkbtc()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.apps = [self.app, house(), token_app()]
        self.vaults: list[Coin] = []
        self.units: list[Coin] = []
        for _ in range(3):
            tx, minted = self.served()
            self.confirm(tx)
            self.vaults.append(self.coin(tx, 0))
            self.units.append(self.coin(tx, 1, {self.zkbtc.token: minted}))
        self._issue_token()
        self._open_house()
        self.chain.mine_many(self.network.k)

    @property
    def context(self) -> Context:
        found = super().context
        apps = getattr(self, "apps", [self.app])
        return replace(found, bundles={app.bundle.vk: app.bundle for app in apps})

    def _issue_token(self) -> None:
        coin = self.give(ALICE, 60_000)
        self.token = Contract(identity_of(coin.outpoint), token_app().bundle.vk)
        tx = Heist(
            self,
            [coin],
            [
                (1_000, ALICE.script, {self.token.token: 10**6}),
                (1_000, ALICE.script, {self.token.token: 10**6}),
            ],
            {self.token: (token_app(), "issue")},
            {self.token: Inputs(args=(2 * 10**6,))},
        ).published()
        self.tokens = [self.coin(tx, n, {self.token.token: 10**6}) for n in range(2)]

    def _open_house(self) -> None:
        coin, held = self.give(MALLORY, 60_000), self.units.pop()
        self.house = Contract(identity_of(coin.outpoint), house().bundle.vk)
        units = held.charms[self.zkbtc.token]
        port = {self.house.nft: self.state(0), self.zkbtc.token: 200_000}
        rest = {self.zkbtc.token: units - 400_000, self.house.token: 1_000}
        tx = Heist(
            self,
            [coin, held],
            [
                (1_000, self.guard(self.house), port),
                (1_000, self.guard(self.house), port),
                (1_000, ALICE.script, rest),
                (1_000, MALLORY.script, {self.house.nft: [NOTE.number, b"mine"]}),
            ],
            {self.house: (house(), "open")},
        ).published()
        self.ports = [self.coin(tx, n, port) for n in range(2)]
        self.shares = self.coin(tx, 2, rest)
        self.note = self.coin(tx, 3, {self.house.nft: [NOTE.number, b"mine"]})

    def state(self, count: int) -> list[Data]:
        """A state of the house."""
        asset = self.zkbtc.token.fe.to_bytes(32, "big")
        return [HOLDING.number, b"mallory", count, asset]

    def mine_coinbase(self, tx: Tx) -> None:
        """Add a block whose coinbase is this transaction."""
        self.transactions[tx.txid] = tx
        self.chain.mine_coinbase(tx)

    def guard(self, contract: Contract) -> bytes:
        """The contract's guarded script."""
        return self.context.guard(contract).script_pubkey

    def enclave_of(self, index: int = 0, **changes: Any) -> Enclave:
        """An enclave that is ready, of operators who agreed on another configuration."""
        if not changes:
            return self.enclaves(index + 1)[index]
        other = replace(self.configuration, **changes)
        fields = roster_fields(ROSTER)
        signatures = {
            key.public: ask(Enclave(other, key), "first_roster/sign", fields).unwrap()
            for key in KEYS
        }
        first = FirstRoster.gathered(ROSTER, signatures)
        enclave = self.bare(index, **changes)
        ask(enclave, frames.FIRST_ROSTER_ACCEPT, first.fields()).unwrap()
        ask(enclave, frames.RECORD, self.deploy_record().to_value()).unwrap()
        return enclave

    def new_instance(self, index: int = 0) -> Enclave:
        """A new process with an operator's key, which others may have promised with."""
        enclave = Enclave(self.configuration, KEYS[index], handed_over=True)
        self.feed(enclave)
        ask(enclave, frames.FIRST_ROSTER_ACCEPT, self.first_roster.fields()).unwrap()
        ask(enclave, frames.RECORD, self.deploy_record().to_value()).unwrap()
        return enclave

    # Frequent parts of transactions.

    def port_after(self, count: int = 1, units: int = 200_000, **more: Any) -> Out:
        """The house's port as an action leaves it."""
        charms = {self.house.nft: self.state(count), self.zkbtc.token: units}
        return (1_000, self.guard(self.house), {**charms, **more.get("charms", {})})

    def house_use(self, action: str = "use", **changes: Any) -> Heist:
        """Mallory's action on one port of her house, paid by a coin of hers."""
        parts: dict[str, Any] = {
            "inputs": [self.ports[0], self.give(MALLORY, 60_000)],
            "outs": [self.port_after()],
            "acts": {self.house: (house(), action)},
        }
        return Heist(self, **{**parts, **changes})

    def settle(self, inputs: Sequence[Coin], outs: Sequence[Out], **changes: Any) -> Heist:
        """An action of zkBTC on the first vault output, which comes first; Mallory pays."""
        parts: dict[str, Any] = {"acts": {self.zkbtc: (self.app, "settle")}}
        spent = [self.vaults[0], *inputs, self.give(MALLORY, 60_000)]
        return Heist(self, spent, list(outs), **{**parts, **changes})

    def vault_after(self, change: int = 0) -> Out:
        """The vault's one output, so many sats larger."""
        return (self.vaults[0].sats + change, self.guard(self.zkbtc), {})


@dataclass
class Heist:
    """A transaction as its thief wants it: nothing is refused here."""

    scene: Scene
    inputs: list[Coin]
    outs: list[Out]
    acts: dict[Contract, tuple[CompiledApp, str]] = field(default_factory=dict)
    x: dict[Contract, Inputs] = field(default_factory=dict)
    change: Sequence[TxOut] | None = None
    locktime: int = 0
    fee: int = FEE
    apps: tuple[App, ...] | None = None
    more_proofs: tuple[tuple[Contract, int], ...] = ()
    signers: tuple[Account, ...] = (ALICE, MALLORY)

    @property
    def spell(self) -> Spell:
        """The spell with room for the proofs."""
        spent = {app for coin in self.inputs for app in coin.charms}
        outs = tuple(dict(charms) for _, _, charms in self.outs)
        acting = [*self.acts, *(contract for contract, _ in self.more_proofs)]
        listed = spent | {app for charms in outs for app in charms}
        present = {app.contract for app in listed}
        listed |= {contract.token for contract in acting if contract not in present}
        apps = tuple(sorted(listed)) if self.apps is None else self.apps
        spell = Spell(apps, outs, dict(self.x))
        wanted = [(k, app.bundle.action(name).number) for k, (app, name) in self.acts.items()]
        found = sorted((spell.contracts.index(k), n) for k, n in (*wanted, *self.more_proofs))
        return replace(spell, proofs=tuple(ContractProof(*pair, bytes(128)) for pair in found))

    def tx(self, spell: Spell) -> Tx:
        """Outputs, OP_RETURN, change."""
        outputs = [TxOut(sats, script) for sats, script, _ in self.outs]
        outputs.append(TxOut(0, spell.op_return()))
        left = sum(coin.sats for coin in self.inputs) - sum(out.sats for out in outputs) - self.fee
        outputs += [TxOut(left, MALLORY.script)] if self.change is None else self.change
        inputs = tuple(TxIn(coin.outpoint) for coin in self.inputs)
        return Tx(2, inputs, tuple(outputs), self.locktime)

    def bundles(self, more: Sequence[HasBundle] = ()) -> dict[bytes, Bundle]:
        """Those of the scene and of apps that came later."""
        return {**self.scene.context.bundles, **{a.bundle.vk: a.bundle for a in more}}

    def checked(self, built: Assembled, more: Sequence[HasBundle] = ()) -> CheckedTx:
        """The statements of a transaction, by no rule at all."""
        context = self.scene.context
        return rules.correct(
            built.tx,
            built.prevouts,
            self.bundles(more),
            context.record,
            context.height,
            context.network,
            rules=(),
            spell=built.spell,
        )

    def assembled(self, more: Sequence[HasBundle] = ()) -> Assembled:
        """The transaction with proofs that the hostile circuits gave for exactly it."""
        spell = self.spell
        spends = tuple(Spend(coin, sizes.KEY_PATH) for coin in self.inputs)
        built = Assembled(self.scene.context, self.tx(spell), spends, (), spell)
        checked = self.checked(built, [*more, *(app for app, _ in self.acts.values())])
        proofs = list(spell.proofs)
        for contract, (app, name) in self.acts.items():
            at = next(i for i, p in enumerate(proofs) if spell.contracts[p.contract] == contract)
            found = checked.contract(contract)
            proofs[at] = replace(proofs[at], proof=app.prove(name, found.digest, found.facts))
        return built.with_proofs(proofs)

    def published(self) -> Tx:
        """The transaction that users sign alone, in a block."""
        tx = self.assembled().signed_by(*self.signers)
        self.scene.confirm(tx)
        return tx

    def request(self, more: Sequence[HasBundle] = ()) -> SigningRequest:
        """What a client would send."""
        return self.requested(self.assembled(more), more)

    def requested(self, built: Assembled, more: Sequence[HasBundle] = ()) -> SigningRequest:
        """The request for what `assembled` gave, perhaps changed."""
        psbt = built.psbt(self.scene.transactions, *self.signers)
        bundles = [app.bundle.serialize() for app in (*self.scene.apps, *more)]
        return assemble(psbt, bundles, self.scene.known)


@cache
def scene() -> Scene:
    """The one scene of this process; attacks add blocks and never take any away."""
    return Scene()
