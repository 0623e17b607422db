"""Mainnet's rules on mainnet's own headers, from 822,528 over the retarget at 824,544.

tests/vectors/mainnet-headers.bin: the first header whole, then of each of the next 2,036 its
version, Merkle root, time and nonce; what it links to and its target follow from those before it.
Facts of the public chain, and nobody has to vouch for them: each header has its work.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from made_chain import mine

from grail.bitcoin.network import MAINNET, Network
from grail.bitcoin.spv import (
    HEADER_SIZE,
    MAX_HEADERS,
    Header,
    HeaderChain,
    PinnedHeader,
    bits_from_target,
    target_from_bits,
    work_of,
)
from grail.crypto.schnorr import KeyPair
from grail.errors import Incorrect, InvalidInput
from grail.operators import frames
from grail.operators.configuration import Configuration
from grail.operators.frames import Frame, Status
from grail.types import OutPoint, Txid
from grail_enclave.enclave import Enclave

FILE = Path(__file__).parents[2] / "vectors" / "mainnet-headers.bin"
START, BOUNDARY = 822_528, 824_544
OLD, NEW = 0x1703E8B3, 0x1703D869
"""The bits before and after: difficulty rose by 1.6 percent."""
SHORT = 44


@cache
def headers() -> tuple[Header, ...]:
    raw = FILE.read_bytes()
    found = [Header.parse(raw[:HEADER_SIZE])]
    for at in range(HEADER_SIZE, len(raw), SHORT):
        short = raw[at : at + SHORT]
        bits = OLD if START + len(found) < BOUNDARY else NEW
        middle = found[-1].hash + short[4:36] + short[36:40] + bits.to_bytes(4, "little")
        found.append(Header.parse(short[:4] + middle + short[40:]))
    return tuple(found)


def chain_to(height: int) -> HeaderChain:
    """Own headers up to a height."""
    chain = HeaderChain(MAINNET, PinnedHeader(START, headers()[0]))
    extend(chain, headers()[1 : height - START + 1])
    return chain


def extend(chain: HeaderChain, wanted: Sequence[Header]) -> None:
    for first in range(0, len(wanted), MAX_HEADERS):
        chain.extend(wanted[first : first + MAX_HEADERS])


@pytest.fixture(scope="module")
def before() -> HeaderChain:
    """Everything below the boundary; the tests add headers that are refused, and nothing else."""
    return chain_to(BOUNDARY - 1)


def at(height: int) -> Header:
    return headers()[height - START]


def test_S10_mainnets_headers_over_a_retarget() -> None:
    chain = chain_to(START + len(headers()) - 1)
    assert chain.tip.height == BOUNDARY + 20
    assert str(chain.tip.hash) == "000000000000000000033812ef9ffc2dc316d8300222e75356bc7e9be51880f4"
    assert (chain.header_at(BOUNDARY - 1).bits, chain.header_at(BOUNDARY).bits) == (OLD, NEW)
    assert chain.tip.work == 2_015 * work_of(OLD) + 21 * work_of(NEW)
    # Times are not in order on the real chain: the rule is the median's, not the parent's.
    times = [header.time for header in headers()]
    assert any(later <= earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    "bits", [MAINNET.pow_limit_bits, 0x207FFFFF, OLD, NEW + 1, NEW - 1, 0x1700FFFF]
)
def test_S10_mainnet_wrong_bits_at_the_boundary(before: HeaderChain, bits: int) -> None:
    """Minimum difficulty, regtest's, no retarget at all, one step beside the right one."""
    false = replace(at(BOUNDARY), bits=bits)
    with pytest.raises(Incorrect, match=f"bits {bits:08x}, expected {NEW:08x}"):
        before.extend([false])
    assert before.tip.height == BOUNDARY - 1


def test_S10_mainnet_chain_at_minimum_difficulty(before: HeaderChain) -> None:
    """Real work of an easy kind, with true links, from the pinned header and from the boundary."""
    for height in (START, START + 1_000, BOUNDARY - 1):
        chain = before if height == BOUNDARY - 1 else chain_to(height)
        tip, easy = chain.tip, []
        parent = at(height)
        for step in range(3):
            made = Header(4, parent.hash, bytes([step]) * 32, parent.time + 600, 0x207FFFFF, 0)
            easy.append(mine(made))
            parent = easy[-1]
        with pytest.raises(Incorrect, match="bits 207fffff"):
            chain.extend(easy)
        with pytest.raises(Incorrect, match="bits 1d00ffff"):
            chain.extend([replace(easy[0], bits=MAINNET.pow_limit_bits)])
        assert chain.tip == tip


def test_S10_mainnet_right_bits_without_work(before: HeaderChain) -> None:
    """One bit of a real header changed: its hash is no longer below the target."""
    real = at(BOUNDARY)
    root = bytearray(real.merkle_root)
    root[0] ^= 1
    for changes in (
        {"nonce": real.nonce ^ 1},
        {"merkle_root": bytes(root)},
        {"time": real.time + 1},
        {"version": real.version ^ 4},
    ):
        with pytest.raises(Incorrect, match="not below its target"):
            before.extend([replace(real, **changes)])
    before_tip = before.tip
    with pytest.raises(Incorrect, match="parent"):
        before.extend([replace(real, previous=type(real.previous)(bytes(32)))])
    assert before.tip == before_tip


def test_S10_mainnet_off_by_one_period(before: HeaderChain) -> None:
    """The span is that of 2,015 intervals; a period of one block more or less gives other bits."""
    wanted = 2_016 * 600
    first, last = at(START), at(BOUNDARY - 1)

    def bits(since: Header, until: Header) -> int:
        return bits_from_target(target_from_bits(OLD) * (until.time - since.time) // wanted)

    assert bits(first, last) == NEW
    for since, until in ((first, at(BOUNDARY - 2)), (at(START + 1), last), (first, at(BOUNDARY))):
        wrong = bits(since, until)
        assert wrong != NEW
        with pytest.raises(Incorrect, match=f"bits {wrong:08x}, expected {NEW:08x}"):
            before.extend([replace(at(BOUNDARY), bits=wrong)])
    # and under rules of another period the real chain is refused, at the height they ask for
    for interval, stops in ((2_015, BOUNDARY - 1), (2_017, BOUNDARY)):
        other = dataclasses.replace(MAINNET, retarget_interval=interval)
        pinned = PinnedHeader(interval * 408, headers()[0])
        chain = HeaderChain(other, pinned)
        extend(chain, headers()[1 : stops - START])
        with pytest.raises(Incorrect, match="bits"):
            chain.extend(headers()[stops - START : stops - START + 1])


def test_S10_mainnet_retarget_inside_a_period() -> None:
    """The new bits one block early, or a pinned header from which they could not be followed."""
    chain = chain_to(BOUNDARY - 2)
    with pytest.raises(Incorrect, match=f"bits {NEW:08x}, expected {OLD:08x}"):
        chain.extend([replace(at(BOUNDARY - 1), bits=NEW)])
    with pytest.raises(InvalidInput, match="multiple of 2016"):
        HeaderChain(MAINNET, PinnedHeader(START + 1, headers()[1]))


def test_S10_mainnets_headers_at_the_enclave() -> None:
    """An enclave that pins 822,528 takes the real chain, and no easy one in its place."""
    network = Network(MAINNET, OutPoint(Txid(bytes([1] * 32)), 0))
    configuration = Configuration(network, PinnedHeader(START, headers()[0]), bytes(32))
    enclave = Enclave(configuration, KeyPair(bytes([3]) * 32))

    def teach(made: list[Header]) -> str:
        body = [header.serialize() for header in made]
        reply = enclave.reply(Frame(frames.HEADERS, body).serialize())
        return "" if reply.refusal is None else reply.refusal.rule

    def height() -> int:
        told = enclave.reply(Frame(frames.STATUS).serialize())
        return Status.from_fields(told.unwrap()).best.height

    assert teach(list(headers()[1:1_500])) == ""
    parent = at(START + 1_499)
    easy = mine(Header(4, parent.hash, bytes(32), parent.time + 600, 0x207FFFFF, 0))
    assert teach([easy]) == "HeadersInvalid"
    assert teach([replace(at(START + 1_500), nonce=1)]) == "HeadersInvalid"
    assert height() == START + 1_499
    assert teach(list(headers()[1_500:])) == ""
    assert height() == BOUNDARY + 20
