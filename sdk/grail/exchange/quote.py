"""What a constant-product pool gives, in whole units, rounded in the pool's favour.

The rule is Uniswap v2's: (a + x') * (b - y) >= a * b, where x' is what is paid in less the fee. The
pool's circuit states the same as constraints; this is the plain arithmetic that a wallet needs to
make an offer which the circuit accepts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt

from grail.charms.app import App
from grail.errors import InvalidInput

BASIS = 10_000
"""The fee counts in basis points: 30 are 0.3 %."""

MIN_LP = 1_000
"""Shares that nobody owns, taken from the first depositor: they keep a share from becoming dear
enough to round the next depositor to nothing (threat L3)."""

U64 = (1 << 64) - 1


@dataclass(frozen=True)
class PoolState:
    """A pool's two assets, its reserves of each, its shares, its fee in basis points."""

    asset_a: App
    asset_b: App
    a: int
    b: int
    lp: int
    fee: int = 30
    min_lp: int = MIN_LP

    def reserves(self, give: App) -> tuple[int, int]:
        """The reserves of what is given and of what is taken. Raises `InvalidInput`."""
        if give == self.asset_a:
            return self.a, self.b
        if give == self.asset_b:
            return self.b, self.a
        raise InvalidInput(f"the pool does not hold {give}")

    def other(self, give: App) -> App:
        """The asset that is taken when `give` is given. Raises `InvalidInput`."""
        self.reserves(give)
        return self.asset_b if give == self.asset_a else self.asset_a

    def quote(self, give: App, amount: int) -> int:
        """How much of the other asset `amount` buys now; rounded down. Raises `InvalidInput`."""
        have, want = self.reserves(give)
        if not 0 < amount <= U64 - have:
            raise InvalidInput(f"swap of {amount} units, expected 1 to {U64 - have}")
        paid = amount * (BASIS - self.fee)
        out = paid * want // (have * BASIS + paid)
        if out == 0:
            raise InvalidInput(f"{amount} units buy nothing here", hint="give more")
        return out

    def swapped(self, give: App, amount: int, out: int) -> PoolState:
        """The state after a swap that gives `amount` and takes `out`."""
        if give == self.asset_a:
            return replace(self, a=self.a + amount, b=self.b - out)
        return replace(self, a=self.a - out, b=self.b + amount)

    def shares_for(self, a: int, b: int) -> int:
        """The shares that adding `a` and `b` gives: the lesser proportion, rounded down.

        Raises `InvalidInput` when it rounds to nothing.
        """
        shares = min(a * self.lp // self.a, b * self.lp // self.b)
        if shares <= 0:
            raise InvalidInput("so little liquidity buys no share", hint="add more")
        return shares

    def matching(self, asset: App, amount: int) -> int:
        """How much of the other asset goes with `amount` of this one when adding; rounded up."""
        have, other = self.reserves(asset)
        return -(-amount * other // have)

    def added(self, a: int, b: int) -> PoolState:
        """The state after adding liquidity."""
        return replace(self, a=self.a + a, b=self.b + b, lp=self.lp + self.shares_for(a, b))

    def redeem(self, shares: int) -> tuple[int, int]:
        """What burning so many shares gives of each asset, rounded down. Raises `InvalidInput`."""
        if not 0 < shares <= self.lp - self.min_lp:
            raise InvalidInput(f"{shares} shares, expected 1 to {self.lp - self.min_lp}")
        return shares * self.a // self.lp, shares * self.b // self.lp

    def removed(self, shares: int) -> PoolState:
        """The state after burning shares."""
        a, b = self.redeem(shares)
        return replace(self, a=self.a - a, b=self.b - b, lp=self.lp - shares)


def opened(asset_a: App, a: int, asset_b: App, b: int, fee: int = 30) -> PoolState:
    """The state of a new pool. Raises `InvalidInput` for equal assets or too little liquidity."""
    if asset_a == asset_b:
        raise InvalidInput("a pool holds two different assets")
    if not (0 < a <= U64 and 0 < b <= U64):
        raise InvalidInput(f"reserves of {a} and {b} units, expected 1 to {U64}")
    lp = isqrt(a * b)
    if lp <= MIN_LP:
        raise InvalidInput(
            f"the reserves give {lp} shares, expected more than {MIN_LP}", hint="put in more"
        )
    return PoolState(asset_a, asset_b, a, b, lp, fee)
