"""A token, a pool, a swap; then a swap that wants too much, and two at once on one pool.

Needs a network: `grail devnet up`, then `python examples/swap.py`.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grail
from grail.commands.terminal import errors_in_one_line


def main(network: str | None = None) -> None:
    """Tell the story."""
    with grail.connect(network) as net:
        alice, bob = net.wallet("alice"), net.wallet("bob")
        for wallet in (alice, bob):
            net.faucet(wallet, 2_000_000)
            deposit = wallet.deposit(1_000_000)
            net.mine(6)
            wallet.peg_in(deposit)
            net.mine()

        token = alice.issue(1_000_000_000).token
        pool = alice.create_pool(net.zkbtc, 100_000, token, 400_000_000).pool
        net.mine()
        print(net.pool(pool))
        print(bob.swap(pool, net.zkbtc, 10_000))

        # An intent that the pool cannot meet is refused before anybody is asked.
        try:
            bob.swap(pool, net.zkbtc, 10_000, least=50_000_000)
        except grail.Refused as refusal:
            print("refused:", refusal)

        # Two at once: the pool is one coin, so one of them is faster. The other is built again on
        # what the first left, as long as its owner gets what he asked for.
        with ThreadPoolExecutor(2) as pair:
            first, second = pair.map(
                lambda wallet: wallet.swap(pool, net.zkbtc, 5_000, least=1), (alice, bob)
            )
        print("Alice got", first.got, "and Bob", second.got)
        print("overtaken quotes:", [*first.overtaken, *second.overtaken])
        net.mine()
        print(net.balances(alice, bob))


if __name__ == "__main__":
    with errors_in_one_line():
        main(*sys.argv[1:2])
