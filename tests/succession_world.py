"""A world in which zkBTC has a mended contract to go over to, and operators who agreed on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from enclave_world import ALICE, QUORUM, RATE, ROSTER, N, World, ask, prove, sign, vote

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import ZkApp
from grail.apps.zkbtc import ZkBtc
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.successor import draft_naming, draft_succession
from grail.charms.app import Contract
from grail.charms.record import Record, roster_state
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import Purse
from grail.operators import frames
from grail.operators.evidence import DeployRecord, SigningRequest, assemble, assemble_record
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave


class Mended(ZkApp):
    """A token backed by a vault as zkBTC is, without a roster of its own."""

    backed = "t"
    settle = ZkBtc.settle


@cache
def mended() -> CompiledApp:
    """The successor's app."""
    return compile_app(Mended)


@dataclass
class Heirs(World):
    """The world with a successor in every operator's configuration."""

    named: Tx | None = None
    successor_from: int = 0
    named_at: int = 0

    def __post_init__(self) -> None:
        self._living: list[Enclave] = []
        self._fed: list[int] = []
        super().__post_init__()
        self.heir = Contract(self.zkbtc.identity, mended().bundle.vk)
        self.configuration = replace(self.configuration, successor=self.heir.gid(self.network))
        # Whatever was vouched for before stands for another configuration.
        self.__dict__.pop("first_roster", None)
        self._living, self._fed = [], []

    @property
    def context(self) -> Context:
        found = super().context
        bundles = {**found.bundles, mended().bundle.vk: mended().bundle}
        (reign,) = found.record.reigns
        if self.named is not None:
            gid = self.heir.gid(self.network)
            reign = replace(
                reign, successor=gid, successor_from=self.successor_from, successor_at=self.named_at
            )
        return replace(found, record=Record(self.zkbtc, (reign,)), bundles=bundles)

    def requested(self, psbt: Psbt) -> SigningRequest:
        bundles = [app.bundle.serialize() for app in (self.app, mended())]
        return assemble(psbt, bundles, self.known)

    def nft(self) -> Coin:
        """The Grail NFT's coin as the deploy left it."""
        return self.coin(self.deploy, 0, {self.zkbtc.nft: roster_state(ROSTER)})

    def naming(self, **changes: object) -> Assembled:
        """The proven transaction that names the heir, or what a test puts in its place."""
        successor = changes.pop("successor", self.heir)
        nft = changes.pop("nft", None) or self.nft()
        purse = Purse([self.give(ALICE, 90_000)], ALICE.script, RATE)
        return prove(
            draft_naming(self.context, self.app, nft, successor, purse, **changes)  # type: ignore[arg-type]
        )

    def signed_by_quorum(self, built: Assembled, *accounts: Account) -> Tx:
        """The transaction with twelve signatures, voted for by sixteen."""
        request, enclaves = self.request(built, *accounts), self.living()
        votes = [vote(enclave, request) for enclave in enclaves]
        return self.finished(built, request, enclaves, votes, *accounts)

    def finished(
        self,
        built: Assembled,
        request: SigningRequest,
        enclaves: Sequence[Enclave],
        votes: Sequence[frames.Reply],
        *accounts: Account,
    ) -> Tx:
        replies = [sign(enclave, request, votes[:QUORUM]) for enclave in enclaves[:QUORUM]]
        return self.signed(built, replies, *accounts)

    def name_heir(self) -> Tx:
        """The heir is named, k deep."""
        built = self.naming()
        tx = self.signed_by_quorum(built, ALICE)
        (nft_state,) = (held[self.zkbtc.nft] for held in built.check().charms if held)
        self.confirm(tx)
        self.named_at = self.chain.height
        self.successor_from = nft_state[-1]
        self.chain.mine_many(self.network.k - 1)
        self.named = tx
        for enclave in self.living():
            ask(enclave, frames.RECORD, self.naming_record().to_value()).unwrap()
        return tx

    def naming_record(self) -> DeployRecord:
        """What the record frame carries of the naming."""
        assert self.named is not None
        return assemble_record(self.named, [self.app.bundle.serialize()], self.known)

    def enclaves(self, count: int = N) -> list[Enclave]:
        """Enclaves of their own for each caller, shown all there is."""
        made = super().enclaves(count)
        for enclave in made if self.named is not None else []:
            ask(enclave, frames.RECORD, self.naming_record().to_value()).unwrap()
        return made

    def living(self, count: int = N) -> list[Enclave]:
        """The sixteen that live through all of it: each header is shown to them once."""
        if not self._living:
            self._living, self._fed = World.enclaves(self), [self.chain.height] * N
        fresh = [header.serialize() for header in self.chain.headers]
        for index, enclave in enumerate(self._living):
            for at in range(self._fed[index], len(fresh), 2_000):
                ask(enclave, frames.HEADERS, fresh[at : at + 2_000]).unwrap()
            self._fed[index] = len(fresh)
        return self._living[:count]

    def heirs_vault(self, sats: int = 300_000) -> tuple[Coin, Coin]:
        """A first deposit at the heir: its vault's coin and Alice's units."""
        deposit = replace(self.deposit(), contract=self.heir)
        coin = self.give(deposit.script, sats)
        self.chain.mine_many(self.network.k - 1)
        built = prove(draft_peg_in(self.context, mended(), deposit, coin, RATE))
        tx = self.signed_by_quorum(built)
        self.confirm(tx)
        minted = tx.outputs[0].sats
        return self.coin(tx, 0), self.coin(tx, 1, {self.heir.token: minted})

    def vault_coin(self) -> tuple[Coin, Coin]:
        """A deposit at zkBTC: the vault's coin and Alice's units."""
        built = self.peg_in(*self.paid())
        tx = self.signed_by_quorum(built)
        self.confirm(tx)
        minted = tx.outputs[0].sats
        return self.coin(tx, 0), self.coin(tx, 1, {self.zkbtc.token: minted})

    def succession(self, vault: Coin, heirs: Coin, held: Coin, units: int) -> Assembled:
        """The proven transaction that moves units over."""
        purse = Purse([held, self.give(ALICE, 90_000)], ALICE.script, RATE)
        return prove(
            draft_succession(
                self.context, mended(), self.heir, ([vault], heirs), purse, units=units
            )
        )
