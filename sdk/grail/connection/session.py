"""From a draft to a published transaction: checked here, proven, voted for, signed, sent.

Everything that asks somebody is here, as coroutines; what is asked for is decided in
`grail.bridge` and `grail.exchange`, and whether it is correct in `grail.charms`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from grail import network_file
from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.apps.zkbtc import ZkBtc
from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import ALREADY_CONFIRMED, Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import Inclusion
from grail.bitcoin.tx import Tx, verify_input
from grail.charms.app import Contract
from grail.charms.history import HistoryKind
from grail.charms.record import read_state
from grail.connection.fate import Fate
from grail.connection.outbox import Outbox, Sent
from grail.connection.receipt import Receipt
from grail.connection.unfinished import Unfinished, UnfinishedFolder
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import Purse
from grail.errors import (
    ChainFull,
    GrailError,
    Incorrect,
    InvalidInput,
    NodeError,
    QuorumNotReached,
    Refused,
    Unavailable,
)
from grail.operators import evidence
from grail.operators.asking import Limits
from grail.operators.client import Collected, collect
from grail.operators.configuration import Configuration
from grail.operators.evidence import Known, SigningRequest
from grail.operators.messages import Scope
from grail.operators.signing_job import SigningJob, deciding
from grail.operators.transport import NOBODY, Host, HttpTransport, Transport
from grail.operators.turns import Turn, Turns
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail.wallet.ledger import Ledger

FEE_RATE = 2
"""sat/vB: above what every node relays, where nobody else bids."""

DUST_ROOM = 1_000
"""Sats that a vault has to hold above what it pays out, so that its change is no dust."""

BEHIND = frozenset({"NotConfirmed", "DepositDepth", "ViewStale"})
"""What an operator answers that has not heard of the newest block; here the depth is right."""

LAG_SECONDS = 10.0
"""How long operators may need to hear of a block that our node has."""

LAG_PAUSE = 0.1

Step = Callable[[str], None]

NO_ROOM = re.compile("too-large-cluster|too-long-mempool-chain")
"""What Bitcoin Core calls a transaction with too many unconfirmed ones about it."""

ROOM_HINT = "wait for a block, or give `patience`; on a devnet: net.mine(), or `grail devnet mine`"


class Apps:
    """The project's own apps, compiled when first needed."""

    def __init__(self) -> None:
        self._compiled: dict[str, CompiledApp] = {}

    def _get(self, app: type[ZkBtc | Pool | Token]) -> CompiledApp:
        if app.__name__ not in self._compiled:
            self._compiled[app.__name__] = compile_app(app)
        return self._compiled[app.__name__]

    @property
    def zkbtc(self) -> CompiledApp:
        """The token backed by the vault, and the Grail NFT."""
        return self._get(ZkBtc)

    @property
    def pool(self) -> CompiledApp:
        """The constant-product pool."""
        return self._get(Pool)

    @property
    def token(self) -> CompiledApp:
        """A plain token of fixed supply."""
        return self._get(Token)

    def all(self) -> tuple[CompiledApp, ...]:
        """All three."""
        return (self.zkbtc, self.token, self.pool)


class Session:
    """A network as seen from one user's side: its node, its operators, what the chain says."""

    def __init__(
        self,
        network: network_file.NetworkFile,
        configuration: Configuration,
        node: Node,
        transport: Transport,
        apps: Apps,
        *,
        history: HistoryKind = "full",
    ) -> None:
        self.file = network
        self.configuration = configuration
        self.network = configuration.network
        self.node = node
        self.transport = transport
        self.apps = apps
        self.rate = FEE_RATE
        self._ranked: dict[tuple[Host, ...], HttpTransport] = {}
        self._opened = False
        self.limits = Limits()
        self.receipts: list[Receipt] = []
        self.unfinished = UnfinishedFolder(network.folder / "unfinished")
        self.outbox = Outbox(network.folder / "sent")
        self.under_way: set[Txid] = set()
        self._spoken_for: set[OutPoint] = set()
        self.zkbtc = Contract.parse(configuration.zkbtc)
        bundles = [app.bundle for app in apps.all()]
        self.ledger = Ledger(node, self.network, self.zkbtc, bundles, history)
        self._lock = anyio.Lock()

    @classmethod
    async def open(
        cls, network: network_file.NetworkFile, history: HistoryKind = "full"
    ) -> Session:
        """Open a running network and compare what its file says with its chain (threat D22).

        Raises `Incorrect` when node, configuration, roster or zkBTC's key do not fit together.
        """
        configuration = Configuration.from_json(_read(network.configuration))
        apps = await anyio.to_thread.run_sync(_compiled)
        if apps.zkbtc.vk != configuration.zkbtc_vk:
            raise Incorrect(
                f"zkBTC's key: this SDK has {apps.zkbtc.vk.hex()}, the network "
                f"{configuration.zkbtc_vk.hex()}",
                hint="the network was started by another version",
            )
        transport = HttpTransport([Host(o.url, network.token) for o in network.operators])
        session = cls(
            network,
            configuration,
            Node(network.node_url, network.node_cookie),
            transport,
            apps,
            history=history,
        )
        try:
            await session.refresh()
            session.check_roster()
            session._opened = True
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        """Close the connections."""
        await self.node.aclose()
        if isinstance(self.transport, HttpTransport):
            await self.transport.aclose()
        for transport in self._ranked.values():
            await transport.aclose()

    def check_roster(self) -> None:
        """Raise `Incorrect` unless the operators in the network's file have the roster on chain.

        Those of earlier rosters, and those that are to join, may stand there beside them.
        """
        listed = {operator.key for operator in self.file.operators}
        if not listed.issuperset(self.context().roster.keys):
            raise Incorrect(
                "the operators in the network's file are not the roster that the chain names",
                hint="do not use this network",
            )

    def _meet_operators(self) -> None:
        """Read the network's file again when the chain names operators that it did not have."""
        listed = {operator.key for operator in self.file.operators}
        named = {key for roster in self.ledger.record.rosters for key in roster.keys}
        if named <= listed or not self._opened:
            return  # a file that does not fit when it is opened is refused, not replaced
        with contextlib.suppress(GrailError):
            self.file = network_file.load(self.file.folder)

    def ranked(self, scope: Scope) -> Transport:
        """The transport to the operators of a roster, by rank."""
        if not isinstance(self.transport, HttpTransport):
            return self.transport
        known = {o.key: Host(o.url, self.file.token) for o in self.file.operators}
        hosts = tuple(known.get(key, NOBODY) for key in scope.keys)  # some may be met later
        if hosts == self.transport.hosts:  # one roster, and all of the file's operators
            return self.transport
        if hosts not in self._ranked:
            self._ranked[hosts] = HttpTransport(hosts)
        return self._ranked[hosts]

    async def refresh(self) -> Context:
        """Catch up with the chain, and send again what it forgot; what a draft needs to know."""
        async with self._lock:
            await self.ledger.follow()
            self._meet_operators()
            if await self.outbox.tend(self.ledger, self.node, self.network.k):
                await self.ledger.follow()
            self._spoken_for = self.outbox.spoken_for(self.ledger)
            self.rate = self._fee_rate((await self.node.getmempoolinfo()).least)
        return self.context()

    def _fee_rate(self, least: int) -> int:
        """What is paid now, where a node takes `least` sats per 1,000 vB: a full one asks more."""
        wanted = FEE_RATE if least <= FEE_RATE * 1_000 else least // 1_000 + 2
        return min(wanted, self.configuration.max_fee_rate)

    async def fate(self, txid: Txid) -> Fate:
        """What became of a transaction. Raises `InvalidInput` for one that nobody here knows."""
        await self.refresh()
        return self.outbox.fate(self.ledger, txid)

    def context(self) -> Context:
        """What a draft needs to know, as of the last `refresh`."""
        return Context(
            self.network, self.ledger.record, self.ledger.height + 1, self.ledger.bundles
        )

    def usable(self, script: bytes) -> list[Coin]:
        """Coins at a script that the operators accept as inputs: confirmed, or quorum-signed."""
        height = self.ledger.height + 1
        return [c for c in self._held(script) if c.spendable(height, unconfirmed=False)]

    def _held(self, script: bytes) -> list[Coin]:
        """Coins at a script, less those that a dropped transaction of ours spends."""
        return [c for c in self.ledger.coins(script) if c.outpoint not in self._spoken_for]

    def purse(self, script: bytes, *, unconfirmed: bool = False) -> Purse:
        """What the owner of a script can pay with; `unconfirmed` for what needs no operator."""
        height = self.ledger.height + 1
        held = self._held(script)
        coins = [c for c in held if c.spendable(height, unconfirmed=unconfirmed)]
        waiting = [c for c in held if not c.spendable(height, unconfirmed=unconfirmed)]
        return Purse(coins, script, self.rate, waiting)

    def vault(self) -> list[Coin]:
        """The vault's coins: plain outputs at zkBTC's guarded addresses, of all rosters."""
        return [coin for roster in self.ledger.record.rosters for coin in self.vault_of(roster)]

    def vault_of(self, roster: Roster) -> list[Coin]:
        """The vault's coins at the address of one roster."""
        script = self.context().guard(self.zkbtc, roster).script_pubkey
        return [coin for coin in self.usable(script) if not coin.charms]

    def vault_for(self, sats: int) -> list[Coin]:
        """The ruling roster's part of the vault where that is enough, else all of it.

        So nobody waits for a quorum of those who left while others can sign.
        """
        own = self.vault_of(self.context().roster)
        return own if sum(coin.sats for coin in own) >= sats + DUST_ROOM else self.vault()

    def scope(self) -> Scope:
        """Who decides for the roster that rules now. Raises `Incorrect`, `InvalidInput`."""
        return self.scopes()[self.context().roster.epoch]

    def scopes(self) -> list[Scope]:
        """Who decides for each epoch, the oldest first. Raises `Incorrect`.

        A roster's id in the signing rounds is the outpoint at which the Grail NFT lay when its
        epoch began: naming a successor moves it on within one.
        """
        ports = self.nft_ports()
        began: dict[int, OutPoint] = {}
        for outpoint, epoch in ports:
            began.setdefault(epoch, outpoint)
        rosters = self.ledger.record.rosters
        if sorted(began) != list(range(len(rosters))) or not rosters:
            raise Incorrect(f"Grail NFTs of epochs {sorted(began)} on chain, not of every epoch")
        network, digest = self.network.id, self.configuration.digest
        return [Scope(network, began[r.epoch], digest, r.keys, r.quorum) for r in rosters]

    def nft_ports(self) -> list[tuple[OutPoint, int]]:
        """Where the Grail NFT has lain in blocks, from the deploy on, each with its epoch."""
        app, at = self.zkbtc.nft, self.network.grail_outpoint
        found: list[tuple[OutPoint, int]] = []
        while (txid := self.ledger.spender(at)) is not None:
            judged = self.ledger.verdict(txid)
            if self.ledger.confirmed_at(txid) is None or judged is None or judged.checked is None:
                break
            ports = [i for i, held in enumerate(judged.checked.charms) if app in held]
            if len(ports) != 1:
                break
            at = OutPoint(txid, ports[0])
            epoch = read_state(judged.checked.charms[ports[0]][app])[0].epoch
            found.append((at, epoch))
        return found

    # ---- the way of a transaction

    async def complete(
        self,
        what: str,
        assembled: Assembled,
        *accounts: Account,
        step: Step = lambda _: None,
        intent: bytes = b"",
        taken: int = 0,
    ) -> Receipt:
        """Check, prove, have it signed, publish.

        What the operators are to sign is kept on disk with `intent` and `taken` before they are
        asked: they remember what they voted for, so whoever asks must too, even if his process is
        killed in between.

        Raises `SpellIncorrect` when the operators would refuse (before any is asked), `Unsatisfied`
        when a circuit does not hold, `Refused` and `QuorumNotReached` by the operators' answers,
        `ChainFull` when it hangs on too many unconfirmed ones, `NodeError` when the node does not
        take it.
        """
        if any(len(spend.witness) > 1 for spend in assembled.spends):
            self._check_chain(assembled)
        step("prove")
        proven = await anyio.to_thread.run_sync(assembled.prove)
        checked = proven.check() if proven.spell is not None else None
        if checked is None or not checked.quorum_inputs:
            step("publish")
            return await self.published(what, proven, proven.signed_by(*accounts))
        job = Unfinished(
            what,
            await self.request(proven, *accounts),
            proven.fee,
            proven.constraints,
            round(proven.proving_seconds * 1e6),
            tuple(account.script for account in accounts),
            intent,
            taken,
        )
        return await self.ask(job, step)

    async def begun(
        self, script: bytes, intent: bytes, step: Step = lambda _: None
    ) -> tuple[Unfinished, Receipt] | None:
        """Finish what its owner asked for before with this intent; None where nothing is left.

        So that nothing is done twice because a call was cut short. Raises `QuorumNotReached`.
        """
        for txid in self.unfinished.of(script, intent):
            job = self.unfinished.get(txid)
            if job is None or txid in self.under_way:
                continue  # the same wish at the same time is a second one
            try:
                receipt = await self.retry(txid, step)
            except QuorumNotReached:
                raise
            except Refused:
                continue  # another transaction took its place: build anew
            except NodeError:
                if not self.overtaken(job.psbt.tx):
                    raise
                self.forget(txid)
                continue
            return job, receipt
        return None

    def _check_chain(self, assembled: Assembled) -> None:
        """Raise `ChainFull` when operators would take no unconfirmed ancestor, or not so many."""
        for spend in assembled.spends:
            coin = spend.coin
            if coin.height is None and not coin.signed_by_quorum and len(spend.witness) > 1:
                raise ChainFull(
                    f"{coin.outpoint} is in no block, and no quorum signed it that rules now",
                    hint="wait for a block, or give `patience`: a roster before this one signed it",
                )
        found = self.ledger.unconfirmed_ancestors(assembled.tx)
        most = self.configuration.max_unconfirmed
        if len(found) > most:
            raise ChainFull(
                f"{len(found)} unconfirmed transactions hang together, expected at most {most} "
                "below the next one",
                hint=ROOM_HINT,
            )

    @contextlib.asynccontextmanager
    async def turn(self, contract: Contract) -> AsyncIterator[Turn]:
        """Wait for the turn at a contract where operators keep a queue (a hint, never a lock)."""
        transport = self.ranked(self.scope())
        if isinstance(transport, HttpTransport):
            async with Turns(transport).turn(contract.gid(self.network)) as turn:
                yield turn
        else:
            yield Turn()

    def overtaken(self, tx: Tx) -> bool:
        """Whether another transaction, confirmed or not, spends what this one does."""
        spenders = {self.ledger.spender(txin.outpoint) for txin in tx.inputs}
        return bool(spenders - {None, tx.txid})

    def forget(self, txid: Txid) -> None:
        """Keep a transaction no longer whose place another has taken."""
        self.unfinished.drop(txid)
        self.outbox.drop(txid)

    async def retry(self, txid: Txid, step: Step = lambda _: None) -> Receipt:
        """Ask again for a transaction that was begun and not finished: the same, not its like.

        Raises `InvalidInput` for one that is not kept, and as `complete` does.
        """
        job = self.unfinished.get(txid)
        if job is None:
            raise InvalidInput(f"transaction {txid} is not unfinished here")
        await self.refresh()
        if not self.ledger.seen(txid):
            return await self._finished(replace(job, request=await self.renewed(job.request)), step)
        # others finished it: operators that voted for it do so by themselves
        tx = await self.ledger.transaction(txid)
        self.outbox.keep(Sent(job.what, tx, job.fee, self.ledger.height, job.request))
        self.unfinished.drop(txid)
        return self._noted(_receipt(job, tx, None))

    async def _finished(self, job: Unfinished, step: Step) -> Receipt:
        txid = job.psbt.tx.txid
        self.under_way.add(txid)
        try:
            return await self._signed(txid, job, step)
        finally:
            self.under_way.discard(txid)

    async def _signed(self, txid: Txid, job: Unfinished, step: Step) -> Receipt:
        step("sign")
        try:
            collected = await self.sign(job.request)
        except QuorumNotReached as exc:
            exc.hint = exc.hint or (
                "it may still complete: ask for it again with wallet.retry(), or `grail retry`"
            )
            raise
        except Refused:
            self.unfinished.drop(txid)  # another took its place: it can never complete
            raise
        step("publish")
        self.outbox.keep(Sent(job.what, collected.tx, job.fee, self.ledger.height, job.request))
        await self.publish(collected.tx)
        self.unfinished.drop(txid)
        receipt = _receipt(job, collected.tx, collected)
        absent = {
            self.named(who, collected.scope): self.named(said, collected.scope)
            for who, said in receipt.absent.items()
        }
        return self._noted(replace(receipt, absent=absent))

    async def published(self, what: str, built: Assembled, tx: Tx) -> Receipt:
        """Publish a transaction that needs no operator. Raises `NodeError`."""
        sent = Sent(what, tx, built.fee, self.ledger.height)
        proving = round(built.proving_seconds * 1e6)
        return await self.publish_own(sent, built.spent_outputs, built.constraints, proving)

    async def publish_own(
        self, sent: Sent, prevouts: Sequence[TxOut], constraints: int = 0, proving: int = 0
    ) -> Receipt:
        """Check, keep and publish what nobody else has; `proving` is in microseconds."""
        tx = sent.tx
        self._check_witnesses(tx, prevouts)
        self.outbox.keep(sent)
        try:
            await self.publish(tx)
        except NodeError:
            self.outbox.drop(tx.txid)  # nobody else has it: it never was
            raise
        except Unavailable as exc:  # the node may have it, or not
            exc.hint = f"{tx.txid} is kept, and sent when the node is back: do not ask again"
            raise
        return self._noted(
            _receipt(Unfinished(sent.what, b"", sent.fee, constraints, proving), tx, None)
        )

    async def ask(self, job: Unfinished, step: Step = lambda _: None) -> Receipt:
        """Have a request signed and publish it; it is kept before anybody is asked."""
        self.unfinished.keep(job)
        return await self._finished(job, step)

    @staticmethod
    def _check_witnesses(tx: Tx, prevouts: Sequence[TxOut]) -> None:
        """Raise `Incorrect` unless every witness is valid by consensus."""
        for index in range(len(tx.inputs)):
            verify_input(tx, prevouts, index)

    def _noted(self, receipt: Receipt) -> Receipt:
        self.receipts.append(receipt)
        return receipt

    async def sign(self, request: bytes) -> Collected:
        """Have a signing request signed by the operators, of each roster that it concerns in turn.

        Operators that have not heard of the newest block are given a moment, and the evidence is
        made anew when blocks were undone meanwhile. Raises `Refused`, `QuorumNotReached`.
        """
        started = anyio.current_time()
        deadline = started + LAG_SECONDS
        while True:
            scope = deciding(request, self.scopes())
            job = SigningJob.read(self.network, request, scope)
            try:
                found = await collect(
                    job,
                    self.network,
                    scope,
                    self.ranked(scope),
                    limits=self.limits,
                    publish=self.publish,
                )
            except QuorumNotReached as exc:
                if exc.rule not in BEHIND or anyio.current_time() >= deadline:
                    raise self._named(exc, scope) from exc
            else:
                if not job.later:
                    return replace(found, seconds=anyio.current_time() - started)
                request = job.continued(found.tx)
                continue
            await anyio.sleep(LAG_PAUSE)
            await self.refresh()
            request = await self.renewed(request)

    async def renewed(self, request: bytes) -> bytes:
        """The same request with evidence of the chain as it is now."""
        before = SigningRequest.parse(request)
        psbt = Psbt.parse(before.psbt)
        try:
            known = await self._known(psbt)
        except NodeError:
            return request  # a parent is nowhere now: the operators say so themselves
        return evidence.assemble(psbt, before.bundles, known).serialize()

    def _named(self, error: QuorumNotReached, scope: Scope) -> QuorumNotReached:
        """The same error with operators by the names that the network's file gives them."""
        said = {self.named(w, scope): self.named(s, scope) for w, s in error.replies.items()}
        detail = self.named(error.detail, scope)
        return QuorumNotReached(error.rule, detail, replies=said, hint=error.hint)

    def named(self, text: str, scope: Scope) -> str:
        """A text of a roster's reports, which count by rank, with names instead."""
        names = {operator.key: operator.name for operator in self.file.operators}

        def named(found: re.Match[str]) -> str:
            rank = int(found[1])
            return names.get(scope.keys[rank], found[0]) if rank < scope.n else found[0]

        return re.sub(r"\boperator (\d+)\b", named, text)

    async def request(self, proven: Assembled, *accounts: Account) -> bytes:
        """The signing request for a proven transaction: PSBT, bundles, evidence."""
        previous = {
            txin.outpoint.txid: await self.ledger.transaction(txin.outpoint.txid)
            for txin in proven.tx.inputs
        }
        psbt = proven.psbt(previous, *accounts)
        known = await self._known(psbt)
        bundles = [bundle.serialize() for bundle in proven.bundles.values()]
        return evidence.assemble(psbt, bundles, known).serialize()

    async def _known(self, psbt: Psbt) -> Known:
        transactions: dict[Txid, bytes] = {}
        inclusions: dict[Txid, Inclusion] = {}
        heights: dict[Txid, int] = {}
        record, height = self.ledger.record, self.ledger.height + 1
        while True:
            known = Known(transactions, inclusions, record.rosters, record.reigns, heights, height)
            absent = evidence.missing(psbt, known)
            if not absent:
                return known
            for txid in absent:
                transactions[txid] = (await self.ledger.transaction(txid)).serialize()
                inclusion, at = self.ledger.inclusion(txid), self.ledger.confirmed_at(txid)
                if inclusion is not None and at is not None:
                    inclusions[txid], heights[txid] = inclusion, at

    async def publish(self, tx: Tx) -> None:
        """Send a transaction, with its parents that the node dropped: it may pay for them.

        One that the node has already is fine. Raises `ChainFull` when others hang so much on its
        parents that the node takes no more before a block, `NodeError` else.
        """
        below = self.outbox.dropped_parents(self.ledger, tx)
        try:
            if below:
                await self.node.submitpackage([each.serialize() for each in (*below, tx)])
            else:
                await self.node.sendrawtransaction(tx.serialize())
        except NodeError as exc:
            if NO_ROOM.search(str(exc)):
                raise ChainFull(
                    f"the node has no room below a block: {exc}", hint=ROOM_HINT
                ) from exc
            if exc.code != ALREADY_CONFIRMED and "already" not in str(exc):
                raise

    async def mine(self, blocks: int = 1) -> int:
        """Mine blocks on a regtest network; returns the new height. Raises `InvalidInput`."""
        if self.network.chain.name != "regtest":
            raise InvalidInput("blocks are mined on regtest only")
        faucet = self.faucet()
        await self.node.generatetodescriptor(blocks, faucet.script)
        return (await self.refresh()).height - 1

    def faucet(self) -> Account:
        """The devnet's own wallet, which holds what was mined. Raises `InvalidInput`."""
        return Account.load(self.file.folder / "faucet.json", self.network.chain)


def _receipt(job: Unfinished, tx: Tx, collected: Collected | None) -> Receipt:
    """The receipt of a published transaction."""
    absent: Mapping[str, str] = {}
    if collected is not None:
        report = collected.report
        absent = {name: report.replies[name] for name in (*report.dead, *report.lying)}
    return Receipt(
        job.what,
        tx.txid,
        job.fee,
        tx.vsize,
        job.constraints,
        job.proving_microseconds / 1e6,
        collected.seconds if collected else 0.0,
        len(collected.signatures) if collected else 0,
        absent,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise Incorrect(f"{path}: {type(exc).__name__}") from exc


def _compiled() -> Apps:
    apps = Apps()
    apps.all()
    return apps
