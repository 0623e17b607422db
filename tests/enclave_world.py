"""Sixteen enclaves and a chain in this process: real keys, real proofs, real headers.

Only sockets and hosts are left out: frames go in and out of `Enclave.reply` as bytes. An attack is
an edit of what `request` made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from made_chain import MadeChain

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkbtc import ZkBtc
from grail.bitcoin.addresses import Roster, quorum_witness
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import Inclusion
from grail.bitcoin.tx import Tx, TxIn
from grail.bridge.deploy import draft_deploy, zkbtc_contract
from grail.bridge.deposit import Deposit
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.peg_out import draft_peg_out
from grail.charms.record import Record, Reign
from grail.crypto.schnorr import NUMS, KeyPair
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Payment, Purse
from grail.operators import frames
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, Known, SigningRequest, TxEvidence, assemble
from grail.operators.frames import Frame, Reply, Signatures, Status
from grail.operators.messages import Open, Promise, Vote
from grail.operators.roster import FirstRoster, roster_fields
from grail.operators.rounds import Acceptor
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave

N, QUORUM = 16, 12
RATE = 2
KEYS = sorted((KeyPair(bytes([7, i]) * 16) for i in range(1, N + 1)), key=lambda k: k.public)
ROSTER = Roster.of(0, [key.public for key in KEYS], QUORUM)


@cache
def zkbtc_app() -> CompiledApp:
    """The compiled zkBTC app; its keys are cached on disk."""
    return compile_app(ZkBtc)


def account(name: str) -> Account:
    """A user's key."""
    return Account(name, KeyPair(name.encode().rjust(32, b"\x01")), REGTEST)


ALICE, BOB, MALLORY = account("alice"), account("bob"), account("mallory")


_proven: dict[Txid, Assembled] = {}
"""Proofs made in this process: a proof takes most of a test's time and changes nothing."""


def prove(built: Assembled) -> Assembled:
    """The same transaction with its proofs; those of an equal transaction serve again."""
    name = built.tx.txid
    if name not in _proven:
        _proven[name] = built.prove()
    return built.with_proofs(_proven[name].spell.proofs)  # type: ignore[union-attr]


@dataclass
class World:
    """A chain with zkBTC deployed on it, and what a client knows of it.

    The operators are the first of `KEYS`.
    """

    chain: MadeChain = field(default_factory=MadeChain)
    transactions: dict[Txid, Tx] = field(default_factory=dict)
    operators: int = N
    quorum: int = QUORUM
    _serial: int = 0

    @property
    def app(self) -> CompiledApp:
        """The app behind zkBTC; a world of hostile circuits has another one."""
        return zkbtc_app()

    def __post_init__(self) -> None:
        self.chain.mine_many(3)
        coin = self.give(account("grail"), 100_000)
        self.network = Network(REGTEST, coin.outpoint)
        self.zkbtc = zkbtc_contract(self.network, self.app)
        self.configuration = Configuration(
            self.network,
            self.chain.pinned,
            self.zkbtc.vk,
            operators=self.operators,
            quorum=self.quorum,
            single_party=True,
        )
        purse = Purse([], account("grail").script, RATE)
        built = draft_deploy(
            self.network, self.app, self.epoch0, coin, purse, height=self.chain.height + 1
        )
        self.deploy = prove(built).signed_by(account("grail"))
        self.confirm(self.deploy)
        self.deployed_at = self.chain.height
        self.chain.mine_many(self.network.k)

    @classmethod
    def begun(cls, operators: int = N, quorum: int = QUORUM) -> World:
        """A world of its own, copied from one that was made once."""
        made = _first_world(operators, quorum)
        world = cls.__new__(cls)
        world.__dict__.update(made.__dict__)
        world.chain = made.chain.fork(made.chain.height)
        world.transactions = dict(made.transactions)
        return world

    @cached_property
    def keys(self) -> list[KeyPair]:
        """The operators' keys, by rank."""
        return KEYS[: self.operators]

    @cached_property
    def epoch0(self) -> Roster:
        """The roster of epoch 0."""
        return Roster.of(0, [key.public for key in self.keys], self.quorum)

    # The chain.

    def confirm(self, *txs: Tx) -> None:
        """Mine a block with these transactions."""
        self.transactions.update((tx.txid, tx) for tx in txs)
        self.chain.mine(*txs)

    def give(self, to: Account | bytes, sats: int, *, mined: bool = True) -> Coin:
        """A coin from a transaction of its own, in a block unless told otherwise."""
        self._serial += 1
        script = to if isinstance(to, bytes) else to.script
        source = OutPoint(Txid(self._serial.to_bytes(32, "big")), 0)
        tx = Tx(2, (TxIn(source, witness=(bytes(64),)),), (TxOut(sats, script),), 0)
        self.transactions[tx.txid] = tx
        if mined:
            self.chain.mine(tx)
        height = self.chain.height if mined else None
        return Coin(tx.outpoint(0), tx.outputs[0], {}, height=height)

    def coin(self, tx: Tx, vout: int, charms: Any = None) -> Coin:
        """An output of a known transaction."""
        self.transactions[tx.txid] = tx
        return Coin(tx.outpoint(vout), tx.outputs[vout], charms or {})

    @property
    def known(self) -> Known:
        """What a client has fetched."""
        inclusions = {
            tx.txid: block.prove(tx.txid)
            for block in self.chain.blocks
            for tx in block.txs
            if tx.txid in self.transactions
        }
        raws = {txid: tx.serialize() for txid, tx in self.transactions.items()}
        return Known(raws, inclusions, [self.epoch0])

    # What users ask for.

    @property
    def context(self) -> Context:
        """What drafts need to know."""
        bundle = self.app.bundle
        reigns = (Reign(self.epoch0, self.deployed_at + self.network.k),)
        record = Record(self.zkbtc, reigns)
        return Context(self.network, record, self.chain.height + 1, {bundle.vk: bundle})

    def deposit(self, who: Account = ALICE, **terms: int) -> Deposit:
        """A deposit address."""
        return Deposit.of(self.context, who.script, who.internal_key, **terms)

    def paid(self, sats: int = 500_000, deep: bool = True, **terms: int) -> tuple[Deposit, Coin]:
        """A deposit that was paid and is k deep."""
        deposit = self.deposit(**terms)
        coin = self.give(deposit.script, sats)
        if deep:
            self.chain.mine_many(self.network.k - 1)
        return deposit, coin

    def peg_in(self, deposit: Deposit, coin: Coin, rate: int = RATE) -> Assembled:
        """The proven transaction that serves a deposit."""
        return prove(draft_peg_in(self.context, self.app, deposit, coin, rate))

    def peg_out(self, vault: Coin, held: Coin, burn: int, who: Account = ALICE) -> Assembled:
        """The proven transaction that burns zkBTC."""
        purse = Purse([held], who.script, RATE)
        return prove(
            draft_peg_out(self.context, self.app, [vault], purse, burn=burn, pay_to=who.script)
        )

    def psbt(self, built: Assembled, *accounts: Account) -> Psbt:
        """The PSBT with users' witnesses."""
        return built.psbt(self.transactions, *accounts)

    def request(self, built: Assembled, *accounts: Account) -> SigningRequest:
        """What a client would send."""
        return self.requested(self.psbt(built, *accounts))

    def requested(self, psbt: Psbt) -> SigningRequest:
        """What a client would send for a PSBT."""
        return assemble(psbt, [self.app.bundle.serialize()], self.known)

    def edited(self, built: Assembled, *accounts: Account, **changes: Any) -> SigningRequest:
        """The request with fields of its transaction changed, witnesses and evidence kept."""
        psbt = self.psbt(built, *accounts)
        return self.requested(replace(psbt, tx=replace(psbt.tx, **changes)))

    def signed(
        self, built: Assembled, replies: Sequence[Reply], *accounts: Account, first: int = 0
    ) -> Tx:
        """The final transaction; `replies` are those of operators from number `first` on."""
        tx = built.signed_by(*accounts)
        given = {
            key.public: dict(Signatures.from_fields(reply.unwrap()).signatures)
            for key, reply in zip(self.keys[first:], replies, strict=False)
        }
        for spend in built.check().quorum_inputs:
            signatures = {key: found[spend.index] for key, found in given.items()}
            witness = quorum_witness(self.epoch0, spend.leaf, signatures)
            tx = tx.with_witness(spend.index, witness)
        return tx

    def served(self, sats: int = 500_000) -> tuple[Tx, int]:
        """A signed peg-in, not in a block yet, and what it minted."""
        built = self.peg_in(*self.paid(sats))
        request, enclaves = self.request(built), self.enclaves(self.quorum)
        votes = [vote(enclave, request) for enclave in enclaves]
        tx = self.signed(built, [sign(enclave, request, votes) for enclave in enclaves])
        self.transactions[tx.txid] = tx
        return tx, tx.outputs[0].sats

    # Enclaves.

    def deploy_record(self) -> DeployRecord:
        """What the record frame carries."""
        items = []
        for txin in self.deploy.inputs:
            parent = self.transactions[txin.outpoint.txid]
            items.append(TxEvidence(parent.serialize(), self.chain.prove(parent.txid)))
        return DeployRecord(
            self.deploy.serialize(),
            self.chain.prove(self.deploy.txid),
            (self.app.bundle.serialize(),),
            tuple(items),
        )

    @cached_property
    def first_roster(self) -> FirstRoster:
        """The roster with everybody's signature."""
        fields = roster_fields(self.epoch0)
        signatures = {
            key.public: ask(Enclave(self.configuration, key), "first_roster/sign", fields).unwrap()
            for key in self.keys
        }
        return FirstRoster.gathered(self.epoch0, signatures)

    def bare(self, index: int = 0, **changes: Any) -> Enclave:
        """An enclave that knows the headers only."""
        enclave = Enclave(replace(self.configuration, **changes), self.keys[index])
        self.feed(enclave)
        return enclave

    def feed(self, *enclaves: Enclave) -> None:
        """Show the chain's headers."""
        headers = [header.serialize() for header in self.chain.headers]
        for enclave in enclaves:
            for at in range(0, len(headers), 2_000):
                ask(enclave, frames.HEADERS, headers[at : at + 2_000]).unwrap()

    def enclaves(self, count: int | None = None) -> list[Enclave]:
        """Enclaves that are ready to sign."""
        first, record = self.first_roster.fields(), self.deploy_record().to_value()
        made = [self.bare(index) for index in range(count or self.operators)]
        for enclave in made:
            ask(enclave, frames.FIRST_ROSTER_ACCEPT, first).unwrap()
            ask(enclave, frames.RECORD, record).unwrap()
        return made

    def enclave(self) -> Enclave:
        """One enclave that is ready to sign."""
        return self.enclaves(1)[0]

    def voted(self, request: SigningRequest) -> list[Reply]:
        """The votes of a quorum of fresh enclaves."""
        return [vote(enclave, request) for enclave in self.enclaves(self.quorum)]


def two_coins(world: World) -> tuple[Assembled, Coin, Coin, Coin]:
    """A peg-out of Alice's that also spends a coin of her own, and what it spends."""
    tx, minted = world.served()
    world.confirm(tx)
    vault, held = world.coin(tx, 0), world.coin(tx, 1, {world.zkbtc.token: minted})
    own = world.give(ALICE, 90_000)
    draft = Draft(world.context)
    draft.spend_guarded(world.zkbtc, vault)
    draft.spend(held, own)
    draft.pay_guard(world.zkbtc, minted - 100_000)
    draft.keep_rest(ALICE.script, CARRIER, {world.zkbtc.token: -100_000})
    draft.pay(BOB.script, 100_000)
    draft.change = Payment(ALICE.script, 60_000)
    draft.act(Act(world.zkbtc, zkbtc_app(), "settle"))
    return prove(draft.assemble()), vault, held, own


@cache
def _first_world(operators: int, quorum: int) -> World:
    world = World(operators=operators, quorum=quorum)
    _ = world.first_roster
    return world


def ask(enclave: Enclave, kind: str, body: Any = None) -> Reply:
    """One frame in, one reply out; both as bytes."""
    raw = Frame(kind, body).serialize()
    reply = Reply.parse(enclave.reply(raw).serialize())
    if reply.refusal is not None:
        key = Status.from_fields(enclave.reply(Frame("status").serialize()).body).key
        reply.refusal.verify(enclave.network_id, key, Frame.parse(raw).subject)
    return reply


def acting(enclave: Enclave) -> Acceptor:
    """The voting state of the newest roster that the enclave is a member of."""
    return list(enclave._acceptors.values())[-1]


def roster_id(enclave: Enclave) -> bytes:
    """The id of the newest roster on its record; made up where there is none."""
    nft = Status.from_fields(enclave.reply(Frame("status").serialize()).body).roster
    return bytes(36) if nft is None else nft.serialize()


def hello_body(enclave: Enclave, epoch: int) -> list[Any]:
    """The body of a hello frame: the epoch asked for, as a member of the newest roster."""
    return [epoch, roster_id(enclave)]


def vote(enclave: Enclave, request: SigningRequest) -> Reply:
    """Ask for a vote at the fast ballot."""
    return ask(enclave, frames.VOTE, request.serialize())


def sign(enclave: Enclave, request: SigningRequest, votes: Sequence[Reply]) -> Reply:
    """Ask for signatures with these votes."""
    frame = frames.sign_frame([Vote.parse(reply.unwrap()) for reply in votes], request.serialize())
    return ask(enclave, frame.kind, frame.body)


def double_spend(own: Coin) -> Tx:
    """What the owner of a coin does with it instead."""
    spends = TxIn(own.outpoint, witness=(bytes(64),))
    return Tx(2, (spends,), (TxOut(own.sats - 10_000, ALICE.script),), 0)


def show_spend(enclave: Enclave, tx: Tx, proof: Inclusion, *path: Tx) -> Reply:
    """Show a spend in a block, and the unconfirmed ones that die with it."""
    frame = frames.spent_frame(tx.serialize(), proof, [each.serialize() for each in path])
    return ask(enclave, frame.kind, frame.body)


def open_round(enclave: Enclave, number: int, request: SigningRequest) -> Reply:
    """Ask an operator to open a round."""
    frame = frames.open_frame(number, request.serialize())
    return ask(enclave, frame.kind, frame.body)


def promise(enclave: Enclave, opened: Reply, request: SigningRequest) -> Reply:
    """Ask for a promise."""
    frame = frames.promise_frame(Open.parse(opened.unwrap()), request.serialize())
    return ask(enclave, frame.kind, frame.body)


def ballot(enclave: Enclave, promises: Sequence[Reply], request: SigningRequest) -> Reply:
    """Ask for a vote that promises allow."""
    found = [Promise.parse(reply.unwrap()) for reply in promises]
    frame = frames.ballot_frame(found, request.serialize())
    return ask(enclave, frame.kind, frame.body)


def rule(reply: Reply) -> str:
    """The rule of a refusal; fails when it is none."""
    assert reply.refusal is not None, f"not refused: {reply.body!r:.80}"
    return reply.refusal.rule


__all__ = [
    "ALICE",
    "BOB",
    "KEYS",
    "MALLORY",
    "NUMS",
    "QUORUM",
    "ROSTER",
    "N",
    "World",
    "account",
    "acting",
    "ask",
    "ballot",
    "hello_body",
    "open_round",
    "promise",
    "prove",
    "roster_id",
    "rule",
    "sign",
    "vote",
    "zkbtc_app",
]
