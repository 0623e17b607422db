"""A network whose operators attest to each other: who gets in, what a partition does, what is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_world import first_of

import grail
from grail.connection.connection import Connection
from grail.errors import InvalidInput
from grail_devnet.devnet import Devnet
from grail_devnet.image.measure import measure

pytestmark = pytest.mark.devnet


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(operators=4, quorum=3, progress=lambda _: None) as made:
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


def test_all_are_attested_alive_and_in_step(net: Devnet, connection: Connection) -> None:
    until(lambda: all(member.in_step for member in connection.roster.members))
    roster = connection.roster
    assert [member.name for member in roster.members] == [f"operator-0{n}" for n in range(1, 5)]
    assert roster.state.images == (tuple(measure(net.folder.image).pcrs[n] for n in range(3)),)
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
