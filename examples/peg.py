"""From bitcoin to zkBTC and back, and a deposit that nobody serves.

Needs a network: `grail devnet up`, then `python examples/peg.py`.
"""

from __future__ import annotations

import sys

import grail
from grail.commands.terminal import errors_in_one_line


def main(network: str | None = None) -> None:
    """Tell the story."""
    with grail.connect(network) as net:
        alice = net.wallet("alice")
        net.faucet(alice, 2_000_000)

        # Who shows an address may lie; the SDK derives it from your key and the chain's roster.
        deposit = alice.deposit(1_000_000)
        print("deposit address:", deposit.deposit.address)
        try:
            deposit.deposit.check_address(net.wallet("mallory").address)
        except grail.GrailError as refusal:
            print("refused:", refusal)

        # Six blocks later the operators serve it: as many zkBTC as sats enter the vault.
        try:
            alice.peg_in(deposit)
        except grail.GrailError as refusal:
            print("too early:", refusal)
        net.mine(6)
        print(alice.peg_in(deposit))
        net.mine()

        # And back: units are burned, the vault pays.
        print(alice.peg_out(250_000))
        net.mine()

        # What nobody serves goes back to its owner by her own key, after the delay she chose.
        unserved = alice.deposit(100_000, delay=144)
        net.mine(144)
        print(alice.recover(unserved))
        net.mine()
        print(alice.balance())


if __name__ == "__main__":
    with errors_in_one_line():
        main(*sys.argv[1:2])
