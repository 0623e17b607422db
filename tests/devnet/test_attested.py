"""A network whose operators attest to each other: who gets in, what a partition does, what is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

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
NAME = f"attested-{os.getpid()}"


def shell(*arguments: str) -> tuple[int, str, str]:
    """The command in a process of its own: exit code, stdout, stderr."""
    code = "from grail.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def devnet(verb: str, *arguments: str) -> Any:
    """What a verb of `grail devnet` says of this network, as JSON; nothing beside it."""
    code, out, err = shell("devnet", verb, *arguments, "--name", NAME, "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out)


def members() -> dict[str, dict[str, Any]]:
    """What `grail roster` says of each member."""
    code, out, err = shell("roster", "--network", NAME, "--json")
    assert (code, err) == (0, ""), err
    return {member["name"]: member for member in json.loads(out)["members"]}


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    """From the shell, as a user has it; its manager is a process of its own."""
    try:
        up = devnet("up", "--operators", "4", "--quorum", "3", "--rogue", ROGUE)
        assert up["rogues"] == [ROGUE]
        with Devnet.attach(NAME) as made:
            yield made
    finally:
        shell("devnet", "down", "--name", NAME)


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
        assert member.image == images[member.name == ROGUE].pcrs[0]
    assert roster.largest == {"owner": 1, "account": 1, "zone": 1}
    until(lambda: len(connection.graph().edges) == 6)


def test_the_table_from_the_shell(net: Devnet) -> None:
    """`grail roster`, in text and in JSON: whose seat, which build, and whether it is in step."""
    images = [
        measure(folder).pcrs[0].hex() for folder in (net.folder.image, net.folder.rogue(ROGUE))
    ]
    code, out, err = shell("roster", "--network", NAME)
    assert (code, err) == (0, "")
    assert "3 of 4 sign" in out
    assert "largest owner 1 of 4, account 1 of 4, zone 1 of 4" in out
    rows = [line for line in out.splitlines() if line.startswith("operator-")]
    assert len(rows) == 4
    found = members()
    for row, (name, member) in zip(rows, found.items(), strict=True):
        assert row.startswith(name)
        assert row.endswith("in step")
        image = images[name == ROGUE]
        assert member["image"] == image
        for word in (member["owner"], member["account"], member["zone"], image[:12]):
            assert f"  {word}  " in row
    code, _, err = shell("roster", "--network", "no-such-one")
    assert code == 4
    assert "hint: start it" in err


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
    told = devnet("impostor", "--operator", "operator-04")
    assert (told["operator"], told["rule"]) == ("operator-04", "PcrUnaccepted")
    assert told["pcr0"] != image.pcrs[0].hex()
    code, out, _ = shell("devnet", "impostor", "--name", NAME)
    assert code == 0
    assert out.startswith("turned away by operator-01: PcrUnaccepted: ")
    assert not (net.folder.path / "run" / "im").exists()


def test_impostors_of_nothing_are_said_to_be_none(net: Devnet) -> None:
    with pytest.raises(InvalidInput, match="no operator"):
        net.impostor("operator-99")
    with pytest.raises(InvalidInput, match="the image has no"):
        net.impostor("operator-01", "../configuration.json")
    code, out, err = shell("devnet", "impostor", "--operator", "operator-99", "--name", NAME)
    assert (code, out) == (2, "")
    assert err.startswith("grail: no operator")


def test_R8_a_partition_shows_and_heals(net: Devnet, connection: Connection) -> None:
    """By the verbs of the shell; who is cut off has no line in the picture, the others keep theirs."""
    assert devnet("partition", "operator-04") == {"groups": [["operator-04"]]}
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
    rest = ["operator-01", "operator-02", "operator-03"]
    until(lambda: connection.graph().edges == tuple(combinations(rest, 2)))
    assert "no link to operator-04" in str(connection.graph())
    assert members()["operator-04"]["last_seen"] > members()["operator-01"]["last_seen"]
    with pytest.raises(InvalidInput, match="no operator"):
        net.partition(["operator-09"])
    with pytest.raises(InvalidInput, match="two groups"):
        net.partition(["operator-01"], ["operator-01", "operator-02"])
    code, out, err = shell("devnet", "partition", "operator-01,operator-09", "--name", NAME)
    assert (code, out) == (2, "")
    assert "no operator is called 'operator-09'" in err
    assert devnet("heal") == {"healed": True}
    healed = time.monotonic()
    until(lambda: all(lived_since(healed).values()))
    until(lambda: all(member.in_step for member in connection.roster.members))
    until(lambda: len(connection.graph().edges) == 6)


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
    code, out, err = shell("devnet", "equivocate", "operator-01", "--name", NAME)
    assert (code, out) == (3, "")
    assert "ViewStale" in err
    assert "--rogue" in err
    assert not any(member.guilty for member in connection.roster.members)

    two = devnet("equivocate", ROGUE)
    assert (two["operator"], two["number"], len(set(two["states"]))) == (ROGUE, 0, 2)
    key = next(o.key for o in net.file.operators if o.name == ROGUE)
    assert two["key"] == str(key)
    others = [o for o in net.file.operators if o.name != ROGUE]
    until(lambda: all(seen.guilty == (key,) and seen.links == 2 for seen in views(others)), 60)
    said = {member.name: said_of(member) for member in connection.roster.members}
    assert said.pop(ROGUE) == "expelled: two words for one number"
    assert set(said.values()) == {"in step"}
    assert [name for name, member in members().items() if member["guilty"]] == [ROGUE]
    until(lambda: len(connection.graph().edges) == 3)
    assert all(ROGUE not in edge for edge in connection.graph().edges)

    alice, bob = connection.wallet("alice"), connection.wallet("bob")
    connection.faucet(alice, 500_000)
    alice.deposit(200_000)
    connection.mine(connection.session.network.k)
    (pending,) = alice.deposits()
    assert alice.peg_in(pending).signers >= 3
    connection.mine()
    alice.transfer(connection.zkbtc, 50_000, bob)
    assert bob.balance().units(connection.zkbtc) == 50_000
