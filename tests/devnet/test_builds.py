"""Operators move to another build while the network signs, with real images and a real node."""

from __future__ import annotations

import pytest

from grail.attestation.verifier import Verifier
from grail.connection.connection import connect
from grail.errors import InvalidInput
from grail_devnet.devnet import Devnet
from grail_enclave.nsm import Module

pytestmark = pytest.mark.devnet


def pcr0(network: Devnet, number: int) -> bytes:
    """What an operator's module says of the build that runs there."""
    verifier = Verifier(network.policy())
    nonce = verifier.nonce()
    module = Module.at(network.folder.module_socket(f"operator-{number:02}"))
    return verifier.check(module.document(nonce, None, None), nonce).pcrs[0]


def test_A16_R13_a_dead_operator_is_replaced_by_one_that_runs_the_next_build(
    network: Devnet,
) -> None:
    """Killed for good: its word is missed by nobody, neither for the build nor for the roster."""
    with connect(network.file, progress=False) as net:
        alice = net.wallet("alice")
        net.faucet(alice, 500_000)
        pending = alice.deposit(120_000)
        network.kill("operator-05")
        with pytest.raises(InvalidInput, match="the image has no"):
            network.accept_build("app/none.py")
        state = network.accept_build()
        assert (state.number, state.epoch, len(state.images)) == (1, 0, 2)
        net.mine(net.session.network.k)
        alice.peg_in(pending)
        net.mine()
        network.ask_to_leave("operator-04")
        with pytest.raises(InvalidInput, match="operator-77"):
            network.ask_to_leave("operator-77")
        changed = network.change_roster(remove=["operator-05"], add=1)
        assert (changed.joined, changed.left) == (("operator-06",), ("operator-05",))
        with connect(network.file, progress=False) as later:  # whose file names the newcomer
            roster = later.roster
            leaving = [member.name for member in roster.members if member.leaving]
        assert (roster.state.number, roster.state.images) == (2, state.images)
        assert {member.name for member in roster.members} == {
            *(f"operator-{at:02}" for at in (1, 2, 3, 4, 6))
        }
        assert leaving == ["operator-04"]
        # The newcomer's own document says that it runs the new build, and the others' the old one.
        (old,) = {image[0] for image in network.configuration.attesting.images}
        (new,) = {image[0] for image in state.images} - {old}
        assert {at: pcr0(network, at) for at in (1, 6)} == {1: old, 6: new}
        assert all(member.attested is not None for member in roster.members)
        alice.peg_out(100_000)
        net.mine()
        found = net.books()
        assert found.supply == found.vault
