"""The book: every transaction that a schedule may ask for, proven once per process.

Honest ones overlap in all the ways that matter: rivals for one outpoint, sets {a,b}, {b,c}, {c,a},
one against two that are compatible, swaps on the same state of a pool, fee raises of one family,
children of each possible winner. Hostile ones are refused whatever a schedule does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from enclave_world import MALLORY, RATE, prove

from grail.bitcoin.tx import Tx, TxIn
from grail.bridge.peg_in import draft_peg_in
from grail.charms.rules import CheckedTx
from grail.charms.spell import Spell
from grail.draft.assembled import Act, Assembled
from grail.draft.draft import CARRIER, Draft
from grail.draft.fees import at_rate
from grail.exchange.pool import draft_move, swapping
from grail.operators.certificates import family
from grail.operators.evidence import Known, assemble
from grail.operators.messages import Family
from grail.types import OutPoint, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from simulation.crew import per_crew
from simulation.market import Market, market, outputs, port_of

BURN = 30_000
"""Units that a peg-out of the book burns."""


@dataclass(frozen=True)
class Entry:
    """One transaction of the book.

    `letters` are the guarded outpoints that it spends; `refusal` names the rule that a hostile one
    breaks; `parent` is the entry whose unconfirmed outputs it spends.
    """

    name: str
    letters: str
    built: Assembled
    signers: tuple[Account, ...] = ()
    refusal: str = ""
    parent: Entry | None = None

    @property
    def honest(self) -> bool:
        """Whether the operators have to serve it."""
        return not self.refusal

    @property
    def tx(self) -> Tx:
        """The transaction without the quorum's witnesses."""
        return self.built.tx

    @cached_property
    def checked(self) -> CheckedTx:
        """What the rules say of it. Raises `SpellIncorrect` for a hostile one."""
        return self.built.check()

    @cached_property
    def family(self) -> Family:
        """F(T)."""
        spell = self.built.spell
        assert spell is not None
        return family(self.built.context.network.id, self.tx, len(spell.outs))

    @cached_property
    def guarded(self) -> tuple[OutPoint, ...]:
        """The outpoints that the quorum signs: those that no user of it can."""
        mine = {account.script for account in self.signers}
        spends = [s.coin for s in self.built.spends if s.coin.output.script not in mine]
        return tuple(sorted(coin.outpoint for coin in spends))

    @cached_property
    def others(self) -> tuple[Coin, ...]:
        """The users' coins that it spends."""
        mine = {account.script for account in self.signers}
        return tuple(s.coin for s in self.built.spends if s.coin.output.script in mine)

    @cached_property
    def request(self) -> bytes:
        """The signing request, for an entry whose parents are on the base chain."""
        return self.requested(None)

    def requested(self, parent: Tx | None) -> bytes:
        """The signing request; `parent` is the finished parent that is in no block yet."""
        ground = market()
        transactions, known = dict(ground.world.transactions), ground.known
        if parent is not None:
            transactions[parent.txid] = parent
            raws = {**known.transactions, parent.txid: parent.serialize()}
            known = Known(raws, known.inclusions, known.rosters)
        psbt = self.built.psbt(transactions, *self.signers)
        return assemble(psbt, [b.serialize() for b in ground.bundles], known).serialize()

    def conflict(self, which: int) -> Tx:
        """What the owner of one of the users' coins does with it instead, without a spell."""
        coin = self.others[which % len(self.others)]
        spends = TxIn(coin.outpoint, witness=(bytes(64),))
        return Tx(2, (spends,), (TxOut(coin.sats - 200, MALLORY.script),), 0)


Book = dict[str, Entry]


@dataclass
class _Maker:
    """Fills the book; each entry has a user of its own."""

    ground: Market
    book: Book
    users: int = 0

    def add(self, entry: Entry) -> Entry:
        """Put an entry into the book, proven."""
        self.book[entry.name] = entry
        return entry

    def user(self) -> int:
        """The next user."""
        self.users += 1
        return self.users - 1

    def peg_out(self, name: str, letters: str) -> Entry:
        """Burn units over some of the vault's outputs, with a coin of the user's own and change."""
        ground, user = self.ground, self.user()
        vault = [ground.coins[letter] for letter in letters]
        script = ground.users[user].script
        draft = Draft(ground.context)
        draft.spend_guarded(ground.zkbtc, *vault)
        draft.spend(ground.held[user])
        draft.pay_guard(ground.zkbtc, sum(coin.sats for coin in vault) - BURN)
        draft.keep_rest(script, CARRIER, {ground.units: -BURN})
        draft.pay(script, BURN)
        draft.act(Act(ground.zkbtc, ground.app, "settle"))
        draft.fund(ground.purse(user, charmed=False))
        return self.add(Entry(name, letters, prove(draft.assemble()), (ground.users[user],)))

    def raised(self, name: str, of: Entry) -> Entry:
        """The same family with a higher fee: its change is less."""
        *kept, change = of.tx.outputs
        outs = (*kept, TxOut(change.sats - 700, change.script))
        return self.add(replace(of, name=name, built=_edited(of.built, outs)))

    def swap(self, name: str, amount: int, parent: Entry | None = None) -> Entry:
        """Pay zkBTC into the pool, as it is on the base chain or as another swap leaves it."""
        ground, user = self.ground, self.user()
        pool = ground.pool if parent is None else port_of(ground.pool.contract, parent.built)
        move = swapping(pool, ground.units, amount)
        built = draft_move(ground.context, ground.pool_app, pool, ground.purse(user), move)
        letters = "p" if parent is None else ""
        return self.add(Entry(name, letters, prove(built), (ground.users[user],), parent=parent))

    def peg_in(self, name: str, letters: str, rate: int = RATE) -> Entry:
        """Serve one deposit, or two at once."""
        ground = self.ground
        if len(letters) == 1:
            deposit, coin = ground.deposits[letters], ground.coins[letters]
            built = draft_peg_in(ground.context, ground.app, deposit, coin, rate)
        else:
            built = at_rate(lambda fee: self._served(letters, fee), rate)
        return self.add(Entry(name, letters, prove(built)))

    def _served(self, letters: str, fee: int) -> Assembled:
        ground = self.ground
        draft = Draft(ground.context)
        minted = {letter: ground.coins[letter].sats - CARRIER for letter in letters}
        minted[letters[0]] -= fee  # the first pays for all of them
        draft.pay_guard(ground.zkbtc, sum(minted.values()))
        for index, letter in enumerate(letters):
            deposit = ground.deposits[letter]
            draft.pay(deposit.owner_script, CARRIER, {ground.units: minted[letter]})
            draft.spend_escrow(ground.zkbtc, ground.coins[letter], deposit.row(index, index + 1))
        draft.act(Act(ground.zkbtc, ground.app, "settle"))
        return draft.assemble()

    def hostile(
        self, name: str, of: Entry, refusal: str, edit: Callable[[Assembled], Assembled]
    ) -> None:
        """An attack: what was proven, edited."""
        self.add(replace(of, name=name, built=edit(of.built), refusal=refusal))


def _edited(built: Assembled, outs: tuple[TxOut, ...]) -> Assembled:
    return replace(built, tx=replace(built.tx, outputs=outs))


def _spell(built: Assembled) -> Spell:
    assert built.spell is not None
    return built.spell


@per_crew
def book() -> Book:
    """The book of this process and crew, by name."""
    make = _Maker(market(), {})
    for number in (1, 2, 3):
        make.peg_out(f"A{number}", "a")
    make.raised("A1+", make.book["A1"])
    for name, letters in (("B1", "b"), ("C1", "c"), ("AB", "ab"), ("BC", "bc"), ("CA", "ca")):
        make.peg_out(name, letters)
    for number in (1, 2, 3, 4):
        swap = make.swap(f"S{number}", 5_000 * number)
        make.swap(f"S{number}'", 2_000, swap)
    for number in (1, 2, 3):
        make.peg_in(f"D{number}", "d", RATE + number)
    for number in (1, 2):
        make.peg_in(f"E{number}", "e", RATE + number)
    make.peg_in("DE", "de")
    _attacks(make)
    return make.book


def _attacks(make: _Maker) -> None:
    ground, entries = make.ground, make.book
    peg_in, swap, peg_out = entries["D1"], entries["S1"], entries["A1"]

    def inflated(built: Assembled) -> Assembled:
        vault, payout = _spell(built).outs
        more = {ground.units: payout[ground.units] + 1}
        return built.with_spell(replace(_spell(built), outs=(vault, more)))

    def greedy(built: Assembled) -> Assembled:
        outs = [dict(charms) for charms in _spell(built).outs]
        port = next(i for i, found in enumerate(outs) if ground.pool.contract.nft in found)
        token = ground.pool.other(ground.units)
        mine = next(i for i, found in enumerate(outs) if i != port and token in found)
        outs[port][token] -= 1
        outs[mine][token] += 1
        return built.with_spell(replace(_spell(built), outs=tuple(outs)))

    def replayed(built: Assembled) -> Assembled:
        return built.with_proofs(_spell(entries["A2"].built).proofs)

    def robbed(built: Assembled) -> Assembled:
        first, *rest = built.tx.outputs
        return _edited(built, (TxOut(first.sats - 10_000, first.script), *rest))

    make.hostile("inflated mint", peg_in, "TurnstileBroken", inflated)
    make.hostile("greedy swap", swap, "ProofInvalid", greedy)
    make.hostile("replayed proof", peg_out, "ProofInvalid", replayed)
    make.hostile("robbed vault", peg_out, "TurnstileBroken", robbed)


HONEST = (
    *("A1", "A2", "A3", "A1+", "B1", "C1", "AB", "BC", "CA"),
    *("S1", "S2", "S3", "S4", "D1", "D2", "D3", "E1", "E2", "DE"),
)
"""Names of entries that stand on the base chain, known without making the book."""
HOSTILE = ("inflated mint", "greedy swap", "replayed proof", "robbed vault")
LETTERS = {
    **{name: name.rstrip("+123").lower() for name in HONEST if not name.startswith("S")},
    **dict.fromkeys(("S1", "S2", "S3", "S4"), "p"),
}
"""The guarded outpoints of each honest entry, by letter."""

__all__ = ["HONEST", "HOSTILE", "LETTERS", "Book", "Entry", "book", "outputs"]
