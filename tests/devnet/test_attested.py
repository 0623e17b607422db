"""A network whose operators attest to each other: who gets in, what a partition does, what is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from image_world import first_of

import grail
from grail.connection.connection import Connection
from grail.connection.roster_view import said_of
from grail.errors import InvalidInput, Refused
from grail.network_file import Operator
from grail.operators.frames import ROSTER_VIEW, Frame
from grail.roster.shown import RosterShown
from grail_devnet.devnet import Devnet
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.genesis import ask_all
from grail_devnet.image.measure import measure

pytestmark = pytest.mark.devnet


ROGUE = "operator-03"
"""Runs a build with a fault, which this network accepts; it does no harm before the last test."""


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(operators=4, quorum=3, rogue=ROGUE, progress=lambda _: None) as made:
        yield made


@pytest.fixture(scope="module")
def connection(net: Devnet) -> Iterator[Connection]:
    with grail.connect(net.name) as made:
        yield made


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.2)


def views(operators: Sequence[Operator]) -> list[RosterShown]:
    """What these operators' enclaves show of the roster."""
    sockets = SocketTransport([operator.socket for operator in operators])

    async def ask() -> list[RosterShown]:
        answers = await ask_all(sockets, len(operators), Frame(ROSTER_VIEW))
        return [RosterShown.from_fields(answer) for answer in answers]

    return anyio.run(ask)


def test_all_are_attested_alive_and_in_step(net: Devnet, connection: Connection) -> None:
    until(lambda: all(member.in_step for member in connection.roster.members))
    roster = connection.roster
    assert [member.name for member in roster.members] == [f"operator-0{n}" for n in range(1, 5)]
    images = [measure(folder) for folder in (net.folder.image, net.folder.rogue(ROGUE))]
    assert roster.state.images == tuple(sorted(image.registers for image in images))
    assert images[0].pcrs[1] == images[1].pcrs[1]
    assert images[0].pcrs[2] != images[1].pcrs[2]
    assert roster.shares["zone"] == {"zone-a": 1, "zone-b": 1, "zone-c": 1, "zone-d": 1}
    for member in roster.members:
        assert member.attested is not None
        assert member.alive is not None
        assert member.alive < 30
    assert len(connection.graph().edges) == 6


def test_A2_R1_changed_code_is_not_let_in(net: Devnet) -> None:
    """One line more in the enclave, in a dependency, in the standard library."""
    image = measure(net.folder.image)
    for changed in (
        "app/grail_enclave/signer.py",
        first_of(image, "/errors.py", "app/grail/"),
        first_of(image, ".py", "app/cbor2"),
    ):
        turned = net.impostor("operator-02", changed)
        assert turned.rule == "PcrUnaccepted"
        assert turned.pcr0 != image.pcrs[0]
        assert turned.changed in str(turned)
    assert not (net.folder.path / "run" / "im").exists()


def test_impostors_of_nothing_are_said_to_be_none(net: Devnet) -> None:
    with pytest.raises(InvalidInput, match="no operator"):
        net.impostor("operator-99")
    with pytest.raises(InvalidInput, match="the image has no"):
        net.impostor("operator-01", "../configuration.json")


def test_R8_a_partition_shows_and_heals(net: Devnet, connection: Connection) -> None:
    net.partition(["operator-04"])
    parted = time.monotonic()

    def lived_since(moment: float) -> dict[str, bool]:
        """Of each member: whether it is known to have lived after a moment."""
        members, now = connection.roster.members, time.monotonic()
        return {m.name: m.alive is not None and m.alive < now - moment for m in members}

    def shows() -> bool:
        settled = parted + 2.0  # what was under way when the cut came may have arrived
        return [name for name, alive in lived_since(settled).items() if not alive] == [
            "operator-04"
        ]

    until(shows)
    with pytest.raises(InvalidInput, match="no operator"):
        net.partition(["operator-09"])
    with pytest.raises(InvalidInput, match="two groups"):
        net.partition(["operator-01"], ["operator-01", "operator-02"])
    net.heal()
    healed = time.monotonic()
    until(lambda: all(lived_since(healed).values()))
    until(lambda: all(member.in_step for member in connection.roster.members))


def test_D16_the_folder_names_what_is_believed(net: Devnet) -> None:
    attesting = net.configuration.attesting
    assert attesting is not None
    assert attesting.root == net.policy().root.sha256
    assert Path(net.folder.root).exists()


def test_D16_a_build_with_a_fault_is_shown_wherever_the_network_is(net: Devnet) -> None:
    assert f"{ROGUE} runs a build with a fault" in repr(net)
    assert net.status().rogues == (ROGUE,)
    with pytest.raises(InvalidInput, match="operator-04"):
        Devnet(operators=3, quorum=3, rogue="operator-04")


def test_R5_a_member_that_signs_two_states_is_expelled_by_all(
    net: Devnet, connection: Connection
) -> None:
    """Half of its peers hear the second state, over real links; the two words go on from there."""
    with pytest.raises(InvalidInput, match="no operator"):
        net.equivocate("operator-09")
    with pytest.raises(Refused, match="ViewStale") as refused:
        net.equivocate("operator-01")
    assert "--rogue" in refused.value.hint
    assert not any(member.guilty for member in connection.roster.members)

    two = net.equivocate(ROGUE)
    others = [o for o in net.file.operators if o.name != ROGUE]
    until(lambda: all(seen.guilty == (two.key,) and seen.links == 2 for seen in views(others)), 60)
    said = {member.name: said_of(member) for member in connection.roster.members}
    assert said.pop(ROGUE) == "expelled: two words for one number"
    assert set(said.values()) == {"in step"}
    assert len(connection.graph().edges) == 3

    alice, bob = connection.wallet("alice"), connection.wallet("bob")
    connection.faucet(alice, 500_000)
    alice.deposit(200_000)
    connection.mine(connection.session.network.k)
    (pending,) = alice.deposits()
    assert alice.peg_in(pending).signers >= 3
    connection.mine()
    alice.transfer(connection.zkbtc, 50_000, bob)
    assert bob.balance().units(connection.zkbtc) == 50_000
