"""A spell transaction in the making: what it spends, what it pays, which charms go where.

A draft is filled piece by piece and then assembled. It counts for the caller what people get
wrong: that every charm on an input is on an output again unless an action changes it (threats C8,
C9), that the OP_RETURN and the change stand past the spell's outputs, that the fee fits the size
that the transaction will have with all its witnesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from grail.bitcoin import addresses, script
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.app import App, Contract, Data, canonical
from grail.charms.spell import Inputs, Row, Spell
from grail.draft import sizes
from grail.draft.assembled import Act, Assembled, Context, Spend, unproven
from grail.errors import InsufficientFunds, InvalidInput, WouldBurn
from grail.types import TxOut
from grail.wallet.coins import Coin, refuse_burn, select_sats

CARRIER = 1_000
"""Sats under an output that exists to hold charms: above dust for every output type."""

Charms = Mapping[App, Data]


@dataclass(frozen=True)
class Payment:
    """An output below the spell's end: script, sats, charms."""

    script: bytes
    sats: int
    charms: Charms = field(default_factory=dict)


@dataclass(frozen=True)
class Purse:
    """Who pays and who gets what is left: coins to choose from, a script, a fee rate in sat/vB.

    `waiting` are coins of the same owner that cannot be spent yet: errors tell of them.
    """

    coins: Sequence[Coin]
    keep_at: bytes
    rate: int
    waiting: Sequence[Coin] = ()


class Draft:
    """A transaction being put together. `assemble` gives what can be checked, proven and signed.

    `burn = True` is the caller's word that the charms on the inputs may be destroyed: such a
    transaction carries no spell.
    """

    def __init__(self, context: Context, *, burn: bool = False) -> None:
        self.context = context
        self.spends: list[Spend] = []
        self.payments: list[Payment] = []
        self.acts: list[Act] = []
        self.rows: dict[Contract, list[Row]] = {}
        self.guarded: set[Contract] = set()
        self.left: set[Contract] = set()
        self.change: Payment | None = None
        self.locktime = 0
        self.burn = burn

    # ---- inputs

    def spend(self, *coins: Coin) -> None:
        """Spend coins of wallets by their key path."""
        self.spends += [Spend(coin, sizes.KEY_PATH) for coin in coins]

    def spend_guarded(self, contract: Contract, *coins: Coin) -> None:
        """Spend ports or plain outputs of a contract: the quorum signs these.

        Raises `InvalidInput` when a coin is at no guarded address of the contract.
        """
        self.guarded.add(contract)
        for coin in coins:
            for reign in self.context.record.reigns:
                output = self.context.guard(contract, reign.roster)
                if output.script_pubkey == coin.output.script:
                    leaf = output.leaf(addresses.QUORUM)
                    self.spends.append(Spend(coin, sizes.quorum_witness(reign.roster, leaf)))
                    break
            else:
                raise InvalidInput(f"{coin.outpoint} is at no guarded address of this contract")

    def spend_escrow(self, contract: Contract, coin: Coin, row: Row) -> None:
        """Spend an escrow output for its owner: the quorum signs when `row` is answered.

        Raises `InvalidInput` when the row's owner, terms, delay and key do not give the address.
        """
        eid = addresses.escrow_id(
            self.context.network, bytes(contract), row.owner_script, row.terms
        )
        for reign in self.context.record.reigns:
            output = addresses.escrow(reign.roster, eid, row.n, row.user_key)
            if output.script_pubkey == coin.output.script:
                leaf = output.leaf(addresses.QUORUM)
                self.spends.append(Spend(coin, sizes.quorum_witness(reign.roster, leaf)))
                self.rows.setdefault(contract, []).append(row)
                return
        raise InvalidInput(
            f"{coin.outpoint} is not the escrow output of this owner and these terms"
        )

    # ---- outputs

    def pay(self, to: bytes, sats: int, charms: Charms | None = None) -> int:
        """An output at a script; returns its index. Raises `InvalidInput` for dust."""
        least = script.dust_limit(to)
        if sats < least:
            raise InvalidInput(f"output of {sats} sats, expected at least {least}")
        held = {app: data for app, data in (charms or {}).items() if data != 0}
        self.payments.append(Payment(to, sats, held))
        return len(self.payments) - 1

    def pay_guard(self, contract: Contract, sats: int, charms: Charms | None = None) -> int:
        """An output at the contract's guarded address of the ruling roster; returns its index."""
        return self.pay(self.context.guard(contract).script_pubkey, sats, charms)

    def keep_rest(
        self, to: bytes, sats: int, minted: Mapping[App, int] | None = None
    ) -> int | None:
        """One output with all charms that came in, or were minted, and are on no output yet.

        Returns its index, or None when nothing is left. Raises `InvalidInput` when more is placed
        already than came in.
        """
        rest: dict[App, Data] = {}
        for app, amount in self.surplus(minted).items():
            if amount < 0:
                raise InvalidInput(f"{-amount} units of {app} more are placed than came in")
            if amount:
                rest[app] = amount
        rest.update(self._states_to_keep())
        return self.pay(to, sats, rest) if rest else None

    def _states_to_keep(self) -> dict[App, Data]:
        """The NFTs that wallets' coins brought along and that are on no output yet."""
        placed = {app for payment in self.payments for app in payment.charms}
        found: dict[App, Data] = {}
        for spent in self.spends:
            for app, data in spent.coin.charms.items():
                if app.tag == "t" or app in placed or app.contract in self.guarded:
                    continue
                if app in found:
                    raise InvalidInput(
                        f"two states of {app} do not fit one output",
                        hint="choose coins with one of them, or give each an output",
                    )
                found[app] = data
        return found

    def surplus(self, minted: Mapping[App, int] | None = None) -> dict[App, int]:
        """For each token app: units in, plus minted (negative: burned), less units placed."""
        left = dict(minted or {})
        for spent in self.spends:
            for app, data in spent.coin.charms.items():
                if app.tag == "t":
                    left[app] = left.get(app, 0) + data
        for payment in self.payments:
            for app, data in payment.charms.items():
                if app.tag == "t":
                    left[app] = left.get(app, 0) - data
        return left

    # ---- the rest

    def act(self, act: Act) -> None:
        """Add a contract's action. Raises `InvalidInput` for a second one of the same contract."""
        if any(other.contract == act.contract for other in self.acts):
            raise InvalidInput("a transaction holds at most one action of a contract")
        self.acts.append(act)

    def leave(self, contract: Contract) -> None:
        """Let units of a contract go over to its successor (rule E7): fewer come out than go in."""
        self.left.add(contract)

    def fund(self, purse: Purse) -> None:
        """Add plain coins until outputs and fee are covered; what is left becomes the change.

        Change below dust goes to the fee. Raises `InsufficientFunds`, which says how much is
        missing.
        """
        change_to, rate = purse.keep_at, purse.rate
        taken = {spent.coin.outpoint for spent in self.spends}
        free = [coin for coin in purse.coins if coin.outpoint not in taken]
        dust = script.dust_limit(change_to)
        self.change = Payment(change_to, dust)
        if not self.spends:
            # what is paid out is asked for, so that an error tells the whole of what is missing
            paid = sum(payment.sats for payment in self.payments)
            self.spend(select_sats(free, max(paid, 1), 58 * rate, purse.waiting)[0])
            free = [coin for coin in free if coin is not self.spends[0].coin]
        trial = self.assemble()
        need = rate * trial.vsize - trial.fee
        if need > 0:
            # a taproot key-path input takes 57.5 virtual bytes
            self.spend(*select_sats(free, need, 58 * rate, purse.waiting))
            trial = self.assemble()
        left = trial.fee - rate * trial.vsize
        if left >= 0:
            self.change = Payment(change_to, dust + left)
            return
        self.change = None
        trial = self.assemble()
        if trial.fee < rate * trial.vsize:
            missing = rate * trial.vsize - trial.fee
            raise InsufficientFunds(
                f"{missing} more plain sats are needed for the outputs and the fee",
                hint="get more; on a devnet: ask the faucet",
            )

    # ---- the whole

    def assemble(self) -> Assembled:
        """Fix inputs, outputs and spell; the proofs' room is held by zeros.

        Raises `WouldBurn` when a charm of an input is on no output and no action explains it, and
        `InvalidInput` when more comes out than goes in.
        """
        charmed = [spent.coin for spent in self.spends if spent.coin.charms]
        placed = any(payment.charms for payment in self.payments)
        # The quorum signs nothing without a spell, be there charms or not.
        spelled = bool(self.acts or placed or self.guarded or (charmed and not self.burn))
        if spelled:
            if self.burn:
                raise InvalidInput("burning is for a transaction without a spell")
            self._refuse_lost_charms()
        else:
            refuse_burn(charmed, burn=self.burn)
        outputs = [TxOut(payment.sats, payment.script) for payment in self.payments]
        spell = self._spell() if spelled else None
        if spell is not None:
            outputs.append(TxOut(0, spell.op_return()))
        if self.change is not None:
            outputs.append(TxOut(self.change.sats, self.change.script))
        inputs = tuple(TxIn(spent.coin.outpoint, sequence=spent.sequence) for spent in self.spends)
        tx = Tx(2, inputs, tuple(outputs), self.locktime)
        return Assembled(self.context, tx, tuple(self.spends), tuple(self.acts), spell)

    def _spell(self) -> Spell:
        x: dict[Contract, Inputs] = {}
        for act in self.acts:
            rows = tuple(self.rows.get(act.contract, ()))
            found = Inputs(act.args, rows, act.pays, act.signers)
            if found != Inputs():
                x[act.contract] = found
        spell = Spell.build(
            [payment.charms for payment in self.payments],
            spent=[app for spent in self.spends for app in spent.coin.charms],
            x=x,
            acting=[act.contract for act in self.acts],
        )
        return replace(spell, proofs=unproven(spell.contracts, self.acts))

    def _refuse_lost_charms(self) -> None:
        acting = self.left | {act.contract for act in self.acts}
        for app, left in self.surplus().items():
            if left > 0 and app.contract not in acting:
                raise WouldBurn(
                    f"{left} units of {app} are on inputs and on no output",
                    hint="give them an output with keep_rest",
                )
            if left < 0 and app.contract not in acting:
                raise InvalidInput(f"{-left} units of {app} more on outputs than on inputs")
        before = _states([spent.coin.charms for spent in self.spends])
        after = _states([payment.charms for payment in self.payments])
        for app in before.keys() | after.keys():
            if app.contract not in acting and before.get(app) != after.get(app):
                raise WouldBurn(f"the states of {app} on inputs are not those on outputs")


def _states(places: Sequence[Charms]) -> dict[App, list[bytes]]:
    """Per app that is no token, the states as canonical bytes in order."""
    found: dict[App, list[bytes]] = {}
    for charms in places:
        for app, data in charms.items():
            if app.tag != "t":
                found.setdefault(app, []).append(canonical(data))
    return {app: sorted(states) for app, states in found.items()}
