"""A world in which one roster follows another: enclaves of all epochs, and what each has to sign."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from enclave_world import ALICE, KEYS, QUORUM, RATE, ROSTER, N, World, ask, prove, sign, vote

from grail.bitcoin.addresses import Roster
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.bridge.roster import Guarded, draft_move, draft_roster
from grail.charms.record import Record, roster_state
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Assembled, Context
from grail.draft.draft import Purse
from grail.operators import frames
from grail.operators.evidence import DeployRecord, Known, SigningRequest, assemble, assemble_record
from grail.operators.frames import Reply, Signatures
from grail.operators.messages import Scope
from grail.operators.roster import NextRoster, next_roster_fields, scope
from grail.operators.signing_job import SigningJob
from grail.types import OutPoint, XOnlyKey
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave


def fresh_key(number: int) -> KeyPair:
    """The key of an operator who was in no first roster."""
    return KeyPair(bytes([8, number]) * 16)


@dataclass
class Rosters(World):
    """The world of a network whose roster changes, with enclaves that live through all of it."""

    members: list[list[KeyPair]] = field(default_factory=lambda: [KEYS])
    spells: list[tuple[Tx, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members, self.spells = [KEYS], []
        self.lives: dict[XOnlyKey, Enclave] = {}
        self._fed: dict[XOnlyKey, int] = {}
        super().__post_init__()
        self.reset()

    def reset(self) -> None:
        """Enclaves that know the deploy and no more."""
        self.lives = {
            key.public: each for key, each in zip(KEYS, World.enclaves(self), strict=True)
        }
        self._fed = dict.fromkeys(self.lives, self.chain.height)

    def later(self) -> Rosters:
        """A world of its own that goes on from here, enclaves and all."""
        made = copy.copy(self)
        made.chain = self.chain.fork(self.chain.height)
        made.transactions = dict(self.transactions)
        made.members, made.spells = list(self.members), list(self.spells)
        # A key refuses to be copied; what never changes need not be.
        kept = [each._key for each in self.lives.values()] + [self.configuration]
        memo: dict[int, object] = {id(each): each for each in kept}
        made.lives, made._fed = copy.deepcopy(self.lives, memo), dict(self._fed)
        return made

    # What the chain tells.

    @property
    def record(self) -> Record:
        """The roster record as of the tip."""
        record = Record(self.zkbtc)
        record = record.extended(roster_state(ROSTER), self.deployed_at, self.network)
        for epoch, (_, height) in enumerate(self.spells, 1):
            if height <= self.chain.height:
                record = record.extended(roster_state(self.roster(epoch)), height, self.network)
        return record

    def roster(self, epoch: int, quorum: int = QUORUM) -> Roster:
        """The roster of an epoch."""
        if epoch == 0:
            return ROSTER
        return Roster.of(epoch, [key.public for key in self.members[epoch]], quorum)

    @property
    def context(self) -> Context:
        return replace(super().context, record=self.record)

    @property
    def known(self) -> Known:
        found = super().known
        height = self.chain.height
        heights = {
            tx.txid: at
            for at, block in enumerate(self.chain.blocks, height + 1 - len(self.chain.blocks))
            for tx in block.txs
        }
        reigns = self.record.reigns
        return replace(
            found,
            rosters=[reign.roster for reign in reigns],
            reigns=reigns,
            heights=heights,
            height=height + 1,
        )

    # Enclaves.

    def feed_all(self) -> None:
        """Show every enclave the headers that it lacks."""
        headers = [header.serialize() for header in self.chain.headers]
        for key, enclave in self.lives.items():
            at = self._fed[key] - self.chain.pinned.height
            if headers[at:]:
                ask(enclave, frames.HEADERS, headers[at:]).unwrap()
            self._fed[key] = self.chain.height

    def of(self, epoch: int, count: int = N) -> list[Enclave]:
        """Enclaves of an epoch's members, in the order of their ranks."""
        self.feed_all()
        keys = sorted(key.public for key in self.members[epoch])
        return [self.lives[key] for key in keys if key in self.lives][:count]

    def newcomer(self, key: KeyPair, *, told: bool = True) -> Enclave:
        """A fresh enclave that no first roster has; `told` all that the chain has to tell."""
        enclave = Enclave(self.configuration, key)
        self.lives[key.public], self._fed[key.public] = enclave, self.chain.pinned.height
        self.feed_all()
        for record in self.story() if told else []:
            ask(enclave, frames.RECORD, record.to_value()).unwrap()
        return enclave

    # The record's frames.

    def story(self) -> list[DeployRecord]:
        """The deploy and each roster spell, as the record frame carries them."""
        return [self.deploy_record(), *map(self.spell_record, range(1, len(self.spells) + 1))]

    def spell_record(self, epoch: int) -> DeployRecord:
        """What the record frame carries of the spell that names this epoch's roster."""
        tx, _ = self.spells[epoch - 1]
        return assemble_record(tx, [self.app.bundle.serialize()], self.known)

    def tell(self, epoch: int, *enclaves: Enclave) -> list[Reply]:
        """Show enclaves, all of them if none is named, an epoch's spell."""
        self.feed_all()
        record = self.spell_record(epoch).to_value()
        return [ask(each, frames.RECORD, record) for each in enclaves or self.lives.values()]

    # A change.

    def nft(self) -> Coin:
        """The Grail NFT as it lies now."""
        epoch = len(self.spells)
        tx = self.spells[-1][0] if epoch else self.deploy
        return self.coin(tx, 0, {self.zkbtc.nft: roster_state(self.roster(epoch))})

    def roster_spell(self, roster: Roster) -> Assembled:
        """The proven transaction that names the next roster."""
        purse = Purse([self.give(ALICE, 90_000)], ALICE.script, RATE)
        return prove(draft_roster(self.context, self.app, self.nft(), roster, purse))

    def following(self, roster: Roster, keys: Sequence[KeyPair]) -> NextRoster:
        """The roster with its members' signatures, newcomers begun where they are missing."""
        signatures = {}
        for key in keys:
            enclave = self.lives.get(key.public) or self.newcomer(key)
            body = next_roster_fields(roster)
            signatures[key.public] = ask(enclave, frames.NEXT_ROSTER_SIGN, body).unwrap()
        return NextRoster.gathered(roster, signatures)

    def agreed(self, keys: Sequence[KeyPair], quorum: int = QUORUM) -> Roster:
        """The next roster, to which every operator of the newest one has agreed."""
        epoch = len(self.members)
        roster = Roster.of(epoch, [key.public for key in keys], quorum)
        following = self.following(roster, keys)
        for enclave in self.of(epoch - 1):
            ask(enclave, frames.NEXT_ROSTER_AGREE, following.fields()).unwrap()
        return roster

    def change(self, keys: Sequence[KeyPair], *, tell: bool = True) -> Tx:
        """These operators' roster follows, k deep, and everybody is shown it."""
        roster = self.agreed(keys)
        tx = self.signed_in_turn(self.roster_spell(roster), ALICE)
        self.confirm(tx)
        self.members.append(list(keys))
        self.spells.append((tx, self.chain.height))
        self.chain.mine_many(self.network.k - 1)
        if tell:
            for reply in self.tell(len(self.spells)):
                reply.unwrap()
        return tx

    def replaced(self, number: int = 1) -> list[KeyPair]:
        """The newest roster's members with the first one replaced by a newcomer."""
        return [*self.members[-1][1:], fresh_key(number)]

    # Signing.

    def requested(self, psbt: Psbt) -> SigningRequest:
        return assemble(psbt, [self.app.bundle.serialize()], self.known)

    def signed_in_turn(self, built: Assembled, *accounts: Account) -> Tx:
        """The transaction with the signatures of each epoch's quorum, the oldest first."""
        request = self.request(built, *accounts)
        for epoch in sorted({spend.epoch for spend in built.check().quorum_inputs}):
            enclaves = self.of(epoch, QUORUM)
            votes = [vote(enclave, request) for enclave in enclaves]
            request, tx = self.after(request, epoch, [sign(e, request, votes) for e in enclaves])
        return tx

    def after(
        self, request: SigningRequest, epoch: int, replies: Sequence[Reply]
    ) -> tuple[SigningRequest, Tx]:
        """The request with an epoch's signatures in it, and the transaction so far."""
        job = SigningJob.read(self.network, request.serialize(), self.scope(epoch))
        keys = sorted(key.public for key in self.members[epoch])
        given = {
            key: dict(Signatures.from_fields(reply.unwrap()).signatures)
            for key, reply in zip(keys, replies, strict=False)
        }
        tx = job.finalised(given)
        return SigningRequest.parse(job.continued(tx)), tx

    def scope(self, epoch: int) -> Scope:
        """What messages of an epoch are good for."""
        began = (self.spells[epoch - 1][0] if epoch else self.deploy).outpoint(0)
        return scope(self.network.id, self.roster(epoch), began, self.configuration.digest)

    def vault_coin(self, sats: int = 500_000) -> tuple[Coin, Coin]:
        """A deposit served under the ruling roster: the vault's coin and Alice's units."""
        tx = self.signed_in_turn(self.peg_in(*self.paid(sats)))
        self.confirm(tx)
        minted = tx.outputs[0].sats
        return self.coin(tx, 0), self.coin(tx, 1, {self.zkbtc.token: minted})

    def move(self, epoch: int, *coins: Coin) -> Assembled:
        """The transaction that moves vault coins of an older epoch."""
        purse = Purse([self.give(ALICE, 90_000)], ALICE.script, RATE)
        outputs = [Guarded(self.zkbtc, epoch, coin) for coin in coins]
        return draft_move(self.context, outputs, purse)

    def nft_outpoint(self) -> OutPoint:
        """Where the Grail NFT lies now."""
        return self.nft().outpoint
