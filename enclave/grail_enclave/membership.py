"""How an enclave comes to know who signs, and from which height (PROTOCOL section 11).

It signs one list of first members, accepts it once with every member's signature, and takes that
roster's reign from the confirmed deploy transaction, checked in full. Every later spend of the
Grail NFT, which names a new roster or a successor, comes in the same way, once it is k deep. An
enclave that is in no first roster learns all of it from the chain: the configuration pins the
outpoint that the deploy spends, and what is not proven is not taken, whoever says it. A
reorganisation that removes a transaction removes what it told, and all that it told after.
"""

from __future__ import annotations

from dataclasses import dataclass

from grail.bitcoin.addresses import Roster
from grail.bitcoin.spv import HeaderChain
from grail.bitcoin.tx import Tx
from grail.charms import rules
from grail.charms.app import Contract
from grail.charms.record import Record
from grail.crypto.schnorr import NUMS, KeyPair
from grail.errors import GrailError, Incorrect, InvalidInput, Refused, SpellIncorrect
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, TxEvidence
from grail.operators.messages import MAX_OPERATORS, Scope
from grail.operators.roster import (
    FirstRoster,
    NextRoster,
    first_roster_digest,
    next_roster_digest,
    scope,
)
from grail.types import BlockHash, OutPoint, Txid
from grail_enclave.anchors import Anchors
from grail_enclave.caches import RequestBundles
from grail_enclave.history import History


@dataclass(frozen=True, slots=True)
class Deployed:
    """What the Grail NFT's transactions on chain tell: the newest one's block, and the record.

    `began` are the outpoints at which the epochs began, in order: each is its roster's id in
    signing rounds. `port` is where the NFT lies now.
    """

    block: BlockHash
    began: tuple[OutPoint, ...]
    record: Record
    port: OutPoint

    @property
    def nft(self) -> OutPoint:
        """The id of the newest roster."""
        return self.began[-1]


class Membership:
    """The first roster and the record of one enclave."""

    def __init__(self, configuration: Configuration, headers: HeaderChain, key: KeyPair) -> None:
        self._configuration = configuration
        self._headers = headers
        self._key = key
        self._promised: tuple[Roster, bytes] | None = None
        self._accepted: Roster | None = None
        self._steps: list[Deployed] = []
        self._agreed: Roster | None = None

    @property
    def accepted(self) -> Roster | None:
        """The first roster, once all its members vouched for it."""
        return self._accepted

    @property
    def agreed(self) -> Roster | None:
        """The roster that its operator wants to follow the newest one, if he named one."""
        return self._agreed

    @property
    def _standing(self) -> list[Deployed]:
        """The steps of the record whose blocks are on the heaviest chain, from the deploy on."""
        for count, step in enumerate(self._steps):
            if self._headers.height_of(step.block) is None:
                return self._steps[:count]
        return self._steps

    @property
    def deployed(self) -> Deployed | None:
        """What the chain tells as it stands; None before the deploy."""
        steps = self._standing
        return steps[-1] if steps else None

    @property
    def began(self) -> tuple[OutPoint, ...]:
        """The ids of all rosters on record."""
        deployed = self.deployed
        return () if deployed is None else deployed.began

    @property
    def record(self) -> Record:
        """The roster record as the heaviest chain has it; empty before the deploy."""
        deployed = self.deployed
        return self._no_record() if deployed is None else deployed.record

    def _no_record(self) -> Record:
        return Record(Contract.parse(self._configuration.zkbtc))

    def scope(self, epoch: int) -> Scope:
        """What messages of an epoch are good for. Raises `Refused` ViewStale or RosterInvalid."""
        deployed = self.deployed
        reign = None if deployed is None else deployed.record.reign(epoch)
        if deployed is None or reign is None:
            raise Refused(
                "ViewStale",
                "no such roster is on record",
                got="none" if deployed is None else f"{len(deployed.began)} epochs",
                expected="a confirmed deploy" if deployed is None else f"epoch {epoch}",
            )
        policy = self._configuration
        try:
            return scope(policy.network.id, reign.roster, deployed.began[epoch], policy.digest)
        except InvalidInput as exc:
            raise Refused("RosterInvalid", str(exc)) from exc

    def epochs(self) -> tuple[int, ...]:
        """The epochs on record that its own key is a member of, the oldest first."""
        reigns = self.record.reigns
        return tuple(each.epoch for each in reigns if self._key.public in each.roster.keys)

    def sign(self, roster: Roster) -> bytes:
        """Vouch for a first roster; for one only, and the same again gets the same signature."""
        self._check_policy(roster)
        if self._promised is not None and self._promised[0] != roster:
            raise Refused(
                "RosterFixed",
                "this enclave vouched for another first roster",
                hint="start the enclaves again to agree on another roster",
            )
        if self._promised is None:
            digest = first_roster_digest(
                self._configuration.network.id, self._configuration.digest, roster
            )
            self._promised = (roster, self._key.sign(digest))
        return self._promised[1]

    def accept(self, first: FirstRoster) -> Roster:
        """Take a first roster that every member signed; once. Raises `Refused`."""
        self._check_policy(first.roster)
        if self._accepted is not None and self._accepted != first.roster:
            raise Refused("RosterFixed", "this enclave has accepted another first roster")
        try:
            roster = first.check(self._configuration.network.id, self._configuration.digest)
        except Incorrect as exc:
            raise Refused("RosterInvalid", str(exc)) from exc
        known = self.deployed
        if known is not None and known.record.reigns[0].roster != roster:
            raise Refused("RosterFixed", "another deploy is on record")
        self._accepted = roster
        return roster

    def sign_next(self, roster: Roster) -> bytes:
        """Vouch for a roster that is to follow the newest one, with the own key in it.

        That changes nothing: the chain alone says who rules. Raises `Refused`.
        """
        before, policy = self._check_next(roster), self._configuration
        self._vouches(roster)
        return self._key.sign(next_roster_digest(policy.network.id, policy.digest, before, roster))

    def agree(self, following: NextRoster) -> None:
        """Note the roster that the own operator wants to follow the newest one.

        Every member of it has vouched for it. From now on this enclave votes for a spell that
        names it, and for no other; another one may be named instead. Raises `Refused`.
        """
        before, policy = self._check_next(following.roster), self._configuration
        try:
            self._agreed = following.check(policy.network.id, policy.digest, before)
        except Incorrect as exc:
            raise Refused("RosterInvalid", str(exc)) from exc

    def _check_next(self, roster: Roster) -> OutPoint:
        """The id of the newest roster, which this one may follow (threats R3, S8)."""
        deployed, least = self.deployed, self._configuration.quorum
        if deployed is None:
            raise Refused("ViewStale", "no roster is on record", expected="a confirmed deploy")
        if roster.epoch != len(deployed.began):
            raise Refused(
                "RosterInvalid",
                "the epoch of the next roster",
                got=str(roster.epoch),
                expected=str(len(deployed.began)),
            )
        size, quorum = len(roster.keys), roster.quorum
        if quorum < least or 3 * quorum <= 2 * size or size > MAX_OPERATORS:
            raise Refused(
                "RosterInvalid",
                "the size of the next roster",
                got=f"{quorum} of {size}",
                expected=f"a quorum of {least} or more, above two thirds of at most "
                f"{MAX_OPERATORS}",
            )
        self._check_internal_key(roster)
        self._check_new(roster, deployed.record)
        return deployed.nft

    def _check_new(self, roster: Roster, record: Record) -> None:
        """Raise `Refused` for a key that was in an earlier roster and left it (threat R7).

        What an instance with that key promised is long forgotten, and who was expelled would be
        back by the key that it was expelled for.
        """
        newest = record.rosters[-1].keys
        former = {key for each in record.rosters[:-1] for key in each.keys} - set(newest)
        for key in roster.keys:
            if key in former:
                raise Refused(
                    "RosterInvalid",
                    "a key that left an earlier roster",
                    got=str(key),
                    expected="a new key",
                    hint="an operator that comes back begins anew, with a key of its own",
                )

    def _check_internal_key(self, roster: Roster) -> None:
        # Nobody may know the internal key's secret, and no DKG has run (threat S8).
        if roster.internal_key != NUMS:
            raise Refused(
                "RosterInvalid",
                "the internal key",
                got=str(roster.internal_key),
                expected=str(NUMS),
            )

    def _check_policy(self, roster: Roster) -> None:
        policy = self._configuration
        wanted = (policy.quorum, policy.operators)
        if (roster.quorum, len(roster.keys)) != wanted or roster.epoch != 0:
            raise Refused(
                "RosterInvalid",
                "the size of the first roster",
                got=f"{roster.quorum} of {len(roster.keys)}",
                expected=f"{policy.quorum} of {policy.operators}",
            )
        self._check_internal_key(roster)
        self._vouches(roster)

    def _vouches(self, roster: Roster) -> None:
        """An enclave vouches for no roster that it is not in."""
        if self._key.public not in roster.keys:
            raise Refused("NotMember", "own key is not in the roster", got=str(self._key.public))

    def deploy(self, deploy: DeployRecord, anchors: Anchors) -> Deployed:
        """Take the reign of the first roster from its confirmed deploy.

        Or what a spend of the Grail NFT after it tells. Raises `Refused`.
        """
        try:
            tx = Tx.parse(deploy.raw)
            height = self._headers.confirmed(tx, deploy.inclusion)
        except GrailError as exc:
            raise Refused("NotConfirmed", f"deploy: {exc}") from exc
        steps = self._standing
        known = next((step for step in steps if step.port.txid == tx.txid), None)
        if known is not None:
            return steps[-1]
        if not steps:
            made = self._first(tx, deploy, height, anchors)
        elif steps[-1].port not in [txin.outpoint for txin in tx.inputs]:
            raise Refused("RosterFixed", "another deploy is on record, or a spend is missing")
        else:
            made = self._follow(steps[-1], tx, deploy, height, anchors)
        self._steps = [*steps, made]
        return made

    def _first(self, tx: Tx, deploy: DeployRecord, height: int, anchors: Anchors) -> Deployed:
        """The record after the deploy.

        A member of the first roster has accepted it before. Whoever is none takes it from the chain
        alone, where nobody but the holder of the pinned outpoint could put it.
        """
        outpoint = self._configuration.network.grail_outpoint
        if tx.inputs[0].outpoint != outpoint:
            raise Refused(
                "RosterInvalid",
                "deploy: input 0",
                got=str(tx.inputs[0].outpoint),
                expected=str(outpoint),
            )
        block = deploy.inclusion.block
        if self._accepted is None:
            self._check_deep(tx, block)
        checked = self._checked(tx, deploy, self._no_record(), height, anchors)
        port, reigns = self._port(checked), checked.record.reigns
        if len(reigns) != 1 or self._accepted not in {None, reigns[0].roster}:
            raise Refused("RosterInvalid", "deploy: it does not name the accepted roster alone")
        if self._accepted is None and self._key.public in reigns[0].roster.keys:
            raise Refused("RosterInvalid", "own key is in it, and no first roster was accepted yet")
        return Deployed(block, (port,), checked.record, port)

    def _follow(
        self, known: Deployed, tx: Tx, deploy: DeployRecord, height: int, anchors: Anchors
    ) -> Deployed:
        """The record after a spend of the Grail NFT that names a roster or a successor."""
        block = deploy.inclusion.block
        self._check_deep(tx, block)
        checked = self._checked(tx, deploy, known.record, height, anchors)
        port, began = self._port(checked), known.began
        if len(checked.record.reigns) > len(began):
            began = (*began, port)
        return Deployed(block, began, checked.record, port)

    def _check_deep(self, tx: Tx, block: BlockHash) -> None:
        depth, least = self._headers.depth(block), self._configuration.network.k
        if depth < least:
            raise Refused(
                "NotConfirmed",
                f"transaction {tx.txid} of the Grail NFT is not deep enough",
                got=f"{depth} confirmations",
                expected=f"{least}",
            )

    def _port(self, checked: rules.CheckedTx) -> OutPoint:
        """Where the Grail NFT lies after its transaction. Raises `Refused`."""
        nft = Contract.parse(self._configuration.zkbtc).nft
        ports = [index for index, held in enumerate(checked.charms) if nft in held]
        if len(ports) != 1:
            raise Refused("RosterInvalid", "record: not one Grail NFT", got=str(len(ports)))
        return OutPoint(checked.tx.txid, ports[0])

    def _checked(
        self, tx: Tx, deploy: DeployRecord, record: Record, height: int, anchors: Anchors
    ) -> rules.CheckedTx:
        """As an ancestor would be checked: histories of its inputs, then every rule."""
        items: dict[Txid, TxEvidence] = {item.tx.txid: item for item in deploy.evidence}
        bundles = RequestBundles(deploy.bundles, anchors.bundles)
        history = History(items, bundles, anchors)
        prevouts = []
        for txin in tx.inputs:
            made = history.tx(txin.outpoint.txid).outputs
            if txin.outpoint.vout >= len(made):
                raise Refused("PrevoutMismatch", f"deploy: {txin.outpoint} does not exist")
            out = made[txin.outpoint.vout]
            prevouts.append(rules.Prevout(out.sats, out.script, history.charms(txin.outpoint)))
        try:
            return rules.correct(
                tx,
                prevouts,
                bundles,
                record,
                height,
                self._configuration.network,
                confirmed=True,
            )
        except SpellIncorrect as exc:
            raise Refused(exc.rule, exc.detail, got=exc.got, expected=exc.expected) from exc
