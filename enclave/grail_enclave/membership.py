"""How an enclave comes to know the first roster, and when that roster rules (PROTOCOL section 11).

It signs one list of members, accepts it once with every member's signature, and takes the roster's
reign from the confirmed deploy transaction, checked in full. The successor that a later spend of
the Grail NFT names comes in the same way, once it is k deep. A reorganisation that removes either
removes what it told.
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
from grail.errors import GrailError, Incorrect, Refused, SpellIncorrect
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, TxEvidence
from grail.operators.roster import FirstRoster, first_roster_digest
from grail.types import BlockHash, OutPoint, Txid
from grail_enclave.anchors import Anchors
from grail_enclave.caches import RequestBundles
from grail_enclave.history import History


@dataclass(frozen=True, slots=True)
class Deployed:
    """What the Grail NFT's transactions on chain tell: the newest one's block, and the record.

    `nft` is the outpoint at which the epoch began, which is the roster's id in signing rounds;
    `port` is where the NFT lies now.
    """

    block: BlockHash
    nft: OutPoint
    record: Record
    port: OutPoint


class Membership:
    """The first roster and the record of one enclave."""

    def __init__(self, configuration: Configuration, headers: HeaderChain, key: KeyPair) -> None:
        self._configuration = configuration
        self._headers = headers
        self._key = key
        self._promised: tuple[Roster, bytes] | None = None
        self._accepted: Roster | None = None
        self._deployed: Deployed | None = None
        self._named: Deployed | None = None

    @property
    def accepted(self) -> Roster | None:
        """The first roster, once all its members vouched for it."""
        return self._accepted

    @property
    def deployed(self) -> Deployed | None:
        """The deploy while its block is on the heaviest chain, and a naming likewise."""
        first, named = self._deployed, self._named
        if first is None or self._headers.height_of(first.block) is None:
            return None
        if named is None or named.nft != first.nft:
            return first
        return first if self._headers.height_of(named.block) is None else named

    @property
    def record(self) -> Record:
        """The roster record as the heaviest chain has it; empty before the deploy."""
        deployed = self.deployed
        return self._no_record() if deployed is None else deployed.record

    def _no_record(self) -> Record:
        return Record(Contract.parse(self._configuration.zkbtc))

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
        self._accepted = roster
        return roster

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
        # Nobody may know the internal key's secret, and no DKG has run (threat S8).
        if roster.internal_key != NUMS:
            raise Refused(
                "RosterInvalid",
                "the internal key",
                got=str(roster.internal_key),
                expected=str(NUMS),
            )
        if self._key.public not in roster.keys:
            raise Refused("NotMember", "own key is not in the roster", got=str(self._key.public))

    def deploy(self, deploy: DeployRecord, anchors: Anchors) -> Deployed:
        """Take the reign of the accepted roster from its confirmed deploy.

        Or what a spend of the Grail NFT after it tells. Raises `Refused`.
        """
        if self._accepted is None:
            raise Refused("RosterInvalid", "no first roster was accepted yet")
        try:
            tx = Tx.parse(deploy.raw)
            block, height = deploy.inclusion.block, self._headers.confirmed(tx, deploy.inclusion)
        except GrailError as exc:
            raise Refused("NotConfirmed", f"deploy: {exc}") from exc
        known = self.deployed
        if known is not None:
            if tx.txid in {known.nft.txid, known.port.txid}:
                return known
            if known.port not in [txin.outpoint for txin in tx.inputs]:
                raise Refused("RosterFixed", "another deploy is on record")
            return self._follow(known, tx, deploy, height, anchors)
        outpoint = self._configuration.network.grail_outpoint
        if tx.inputs[0].outpoint != outpoint:
            raise Refused(
                "RosterInvalid",
                "deploy: input 0",
                got=str(tx.inputs[0].outpoint),
                expected=str(outpoint),
            )
        checked = self._checked(tx, deploy, self._no_record(), height, anchors)
        port, reigns = self._port(checked), checked.record.reigns
        if len(reigns) != 1 or reigns[0].roster != self._accepted:
            raise Refused("RosterInvalid", "deploy: it does not name the accepted roster alone")
        self._deployed = Deployed(block, port, checked.record, port)
        return self._deployed

    def _follow(
        self, known: Deployed, tx: Tx, deploy: DeployRecord, height: int, anchors: Anchors
    ) -> Deployed:
        """The record after a spend of the Grail NFT that names a successor, k deep."""
        block, least = deploy.inclusion.block, self._configuration.network.k
        depth = self._headers.depth(block)
        if depth < least:
            raise Refused(
                "NotConfirmed",
                f"spend {tx.txid} of the Grail NFT is not deep enough",
                got=f"{depth} confirmations",
                expected=f"{least}",
            )
        checked = self._checked(tx, deploy, known.record, height, anchors)
        if checked.record.rosters != known.record.rosters:
            raise Refused("RosterInvalid", "another roster follows, which this version cannot")
        self._named = Deployed(block, known.nft, checked.record, self._port(checked))
        return self._named

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
