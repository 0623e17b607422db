"""The first roster, agreed on by enclaves in this process; and the faucet's key."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import httpx
import pytest

from grail.bitcoin.network import MAINNET, REGTEST, Network
from grail.bitcoin.node import Node
from grail.bitcoin.spv import Header, PinnedHeader
from grail.crypto.schnorr import NUMS, KeyPair
from grail.errors import InvalidInput, SignatureInvalid, Unavailable
from grail.operators.configuration import Configuration
from grail.operators.frames import Frame
from grail.operators.transport import Fault, MemoryTransport
from grail.types import OutPoint, Txid
from grail.wallet.account import Account
from grail_devnet import genesis
from grail_devnet.faucet import KEY_FILE, Faucet
from grail_enclave.enclave import started

GENESIS = Header.parse(
    bytes.fromhex(
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2"
        "7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000"
    )
)
CONFIGURATION = Configuration(
    Network(REGTEST, OutPoint(Txid(b"\x01" * 32), 0)),
    PinnedHeader(0, GENESIS),
    bytes(32),
    operators=4,
    quorum=3,
    single_party=True,
)


def enclaves(configurations: Sequence[Configuration]) -> MemoryTransport:
    """Real enclaves, asked by function call in place of a socket."""

    def peer(configuration: Configuration):
        answer = started(configuration, KeyPair.generate()).answer

        async def ask(frame: bytes) -> bytes:
            return answer(frame)

        return ask

    return MemoryTransport([peer(configuration) for configuration in configurations])


def agree(transport: MemoryTransport):
    async def run():
        found = await genesis.statuses(transport, 4)
        keys = [status.key for status in found]
        roster = await genesis.agree_on_roster(transport, CONFIGURATION, keys)
        return roster, await genesis.statuses(transport, 4)

    return anyio.run(run)


def test_the_pinned_header_of_these_tests_is_regtests_own() -> None:
    assert GENESIS.hash == REGTEST.genesis_hash


def test_all_sign_and_all_accept() -> None:
    roster, after = agree(enclaves([CONFIGURATION] * 4))
    assert (roster.epoch, roster.quorum, roster.internal_key) == (0, 3, NUMS)
    assert roster.keys == tuple(sorted(status.key for status in after))
    assert all(status.keys == roster.keys for status in after)
    assert [roster.keys[status.index] for status in after] == [status.key for status in after]


@pytest.mark.parametrize(
    "change",
    [
        {"quorum": 4},
        {"max_fee": 1},
        {"single_party": False},
        {"network": replace(CONFIGURATION.network, k=1)},
        {"network": replace(CONFIGURATION.network, staleness=1)},
        {"zkbtc_vk": b"\x01" * 32},
    ],
)
def test_A13_an_enclave_of_another_policy_gets_into_no_roster(change) -> None:
    odd = replace(CONFIGURATION, **change)
    transport = enclaves([CONFIGURATION, odd, CONFIGURATION, CONFIGURATION])
    with pytest.raises((SignatureInvalid, Unavailable)):
        agree(transport)
    after = anyio.run(genesis.statuses, transport, 4)
    assert [status.keys for status in after] == [()] * 4


def test_A13_the_same_with_the_same_policy_is_accepted() -> None:
    # What makes the test above fail is the policy and nothing else.
    agree(enclaves([replace(CONFIGURATION) for _ in range(4)]))


def test_an_operator_that_is_down_is_named() -> None:
    transport = enclaves([CONFIGURATION] * 4)
    transport.faults[2] = Fault(dead=True)
    with pytest.raises(Unavailable, match=r"operator-03: status: .*connection refused"):
        agree(transport)


def test_several_errors_name_the_first_and_count_the_others() -> None:
    transport = enclaves([CONFIGURATION] * 4)
    transport.faults.update({i: Fault(dead=True) for i in (1, 2, 3)})
    with pytest.raises(Unavailable, match=r"^operator-02: .*\(and 2 more\)$"):
        anyio.run(genesis.ask_all, transport, 4, Frame("status"))


def faucet(folder: Path) -> Faucet:
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    return Faucet.create(Node("http://node.test:1", folder / "cookie", transport=transport), folder)


def test_A17_every_devnet_draws_its_own_faucet_key(tmp_path) -> None:
    secrets = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        faucet(folder)
        assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
        secrets.add(json.loads((folder / KEY_FILE).read_text())["secret"])
    assert len(secrets) == 2


def test_A17_D14_a_devnets_key_is_loaded_on_no_other_chain(tmp_path) -> None:
    faucet(tmp_path)
    Account.load(tmp_path / KEY_FILE, REGTEST)
    with pytest.raises(InvalidInput):
        Account.load(tmp_path / KEY_FILE, MAINNET)
