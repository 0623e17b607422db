"""Headers and Merkle proofs: what has no work or no place is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_chain import START, MadeChain, coinbase, merkle_root, mine

from grail.bitcoin import spv
from grail.bitcoin.network import MAINNET, REGTEST, Chain
from grail.bitcoin.spv import Header, HeaderChain, Inclusion, PinnedHeader
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import DecodeError, Incorrect, InvalidInput, TooLarge
from grail.types import OutPoint, Txid, TxOut

GENESIS = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac7"
    "2c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
BLOCK_1 = bytes.fromhex(
    "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe"
    "680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299"
)
SHORT = Chain("short", "bcrt", REGTEST.genesis_hash, 0x207FFFFF, retarget_interval=16)


def payment(number: int, outputs: int = 1) -> Tx:
    """A transaction that differs by its number."""
    spent = OutPoint(Txid(number.to_bytes(32, "big")), 0)
    return Tx(2, (TxIn(spent),), (TxOut(1_000 + number, b"\x00\x14" + bytes(20)),) * outputs, 0)


def followed(chain: MadeChain) -> HeaderChain:
    known = HeaderChain(chain.chain, chain.pinned)
    for at in range(0, len(chain.headers), spv.MAX_HEADERS):
        known.extend(chain.headers[at : at + spv.MAX_HEADERS])
    return known


def test_mainnet_headers_parse_and_link() -> None:
    """The first two headers of mainnet (public constants) are taken as they are."""
    genesis, first = Header.parse(GENESIS), Header.parse(BLOCK_1)
    assert genesis.hash == MAINNET.genesis_hash
    assert genesis.serialize() == GENESIS
    known = HeaderChain(MAINNET, PinnedHeader(0, genesis))
    tip = known.extend([first])
    assert (tip.height, tip.hash, tip.work) == (1, first.hash, spv.work_of(0x1D00FFFF))


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (0x01123456, 0x12),
        (0x02123456, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x1D00FFFF, 0xFFFF << 208),
        (0x207FFFFF, 0x7FFFFF << 232),
    ],
)
def test_compact_targets(bits: int, target: int) -> None:
    assert spv.target_from_bits(bits) == target


@pytest.mark.parametrize("bits", [0, 0x01003456, 0x04923456, 0x01FEDCBA, 0x23000001, 0xFF123456])
def test_S10_targets_that_are_none(bits: int) -> None:
    """Zero, negative and oversized compact targets are refused."""
    with pytest.raises(Incorrect):
        spv.target_from_bits(bits)


@given(st.integers(1, (1 << 255) - 1))
def test_compact_form_rounds_down(target: int) -> None:
    again = spv.target_from_bits(spv.bits_from_target(target))
    assert again <= target
    assert target - again < max(1, target >> 15)


def test_chain_follows_blocks() -> None:
    chain = MadeChain()
    chain.mine_many(30)
    known = followed(chain)
    assert known.tip.height == 30
    assert known.tip.work == 30 * spv.work_of(0x207FFFFF)
    assert known.header_at(7) == chain.blocks[7].header
    assert known.height_of(chain.blocks[9].header.hash) == 9
    assert known.extend(chain.headers).height == 30  # known headers again: nothing changes
    with pytest.raises(InvalidInput):
        known.header_at(31)


def test_S10_headers_without_work() -> None:
    """Links right, bits right, hash above the target: refused, and nothing of the batch is kept."""
    chain = MadeChain()
    chain.mine_many(5)
    known = followed(chain)
    good = [chain.mine().header for _ in range(2)]
    idle = replace(good[1], nonce=0)
    while int.from_bytes(idle.hash, "little") <= spv.target_from_bits(idle.bits):
        idle = replace(idle, nonce=idle.nonce + 1)
    with pytest.raises(Incorrect, match="not below its target"):
        known.extend([good[0], idle])
    assert known.tip.height == 5
    assert known.extend(good).height == 7


def test_S10_first_target_chosen_freely() -> None:
    """A header that claims huge work by its bits, or less work than the rules ask, is refused."""
    chain = MadeChain()
    chain.mine_many(3)
    known = followed(chain)
    for bits in (0x1D00FFFF, 0x207FFFFE, 0x2100FFFF):
        header = replace(chain.blocks[-1].header, previous=known.tip.hash, bits=bits)
        header = replace(header, time=header.time + 600)
        with pytest.raises(Incorrect, match="bits"):
            known.extend([header])


def retargeted(chain: MadeChain, height: int) -> int:
    """Bits that the rules ask of a height, by the plain formula over 16 blocks."""
    if height % 16:
        return chain.blocks[-1].header.bits
    first, last = chain.blocks[-16].header, chain.blocks[-1].header
    span = min(max(last.time - first.time, 16 * 600 // 4), 16 * 600 * 4)
    target = spv.target_from_bits(last.bits) * span // (16 * 600)
    return spv.bits_from_target(min(target, spv.target_from_bits(SHORT.pow_limit_bits)))


def grown(blocks: int, spacing: int) -> MadeChain:
    """A chain that retargets every 16 blocks, with blocks this far apart in time."""
    chain = MadeChain(SHORT, spacing=spacing)
    for _ in range(blocks):
        chain.mine(bits=retargeted(chain, chain.height + 1))
    return chain


def test_S10_retarget_every_16_blocks() -> None:
    """Fast blocks raise the difficulty, slow ones lower it again; both chains are followed."""
    fast = grown(40, spacing=200)
    known = followed(fast)
    assert known.tip.height == 40
    targets = {spv.target_from_bits(h.bits) for h in fast.headers}
    assert len(targets) == 3
    assert known.tip.work > 40 * spv.work_of(SHORT.pow_limit_bits)
    fast.spacing = 4_000
    for _ in range(40):
        fast.mine(bits=retargeted(fast, fast.height + 1))
    assert followed(fast).tip.height == 80


def test_S10_minimum_difficulty_after_a_retarget() -> None:
    """On a made network with 16-block retarget, a chain that stays at minimum difficulty: refused."""
    honest = grown(15, spacing=200)
    known = followed(honest)
    lazy = honest.fork(15)
    lazy.mine()
    with pytest.raises(Incorrect, match="bits"):
        known.extend(lazy.headers)
    assert known.tip.height == 15


def test_S10_pinned_inside_a_period() -> None:
    """A pinned header from which targets could not be followed is no pinned header."""
    chain = MadeChain(SHORT, start=16)
    assert HeaderChain(SHORT, chain.pinned).tip.height == 16
    with pytest.raises(InvalidInput, match="multiple"):
        HeaderChain(SHORT, PinnedHeader(17, chain.blocks[0].header))


def test_S10_time_not_above_the_median() -> None:
    chain = MadeChain()
    chain.mine_many(12)
    known = followed(chain)
    times = sorted(block.header.time for block in chain.blocks[-11:])
    with pytest.raises(Incorrect, match="median"):
        known.extend([chain.fork(12).mine(time=times[5]).header])
    assert known.extend([chain.fork(12).mine(time=times[5] + 1).header]).height == 13


def test_S11_heavier_fork_wins_and_confirmations_follow() -> None:
    """The heaviest chain rules, not the longest seen first; what it lacks is not confirmed."""
    chain = MadeChain()
    chain.mine_many(4)
    paid = payment(1)
    inside = chain.mine(paid)
    known = followed(chain)
    assert known.confirmed(paid, inside.prove(paid.txid)) == 5
    other = chain.fork(4)
    other.mine()
    known.extend(other.headers)
    assert known.tip.hash == inside.header.hash  # equal work: the first seen stays
    other.mine()
    known.extend(other.headers)
    assert known.tip.hash == other.blocks[-1].header.hash
    with pytest.raises(Incorrect, match="not on the heaviest"):
        known.confirmed(paid, inside.prove(paid.txid))
    chain.mine_many(2)
    known.extend(chain.headers)
    assert known.confirmed(paid, inside.prove(paid.txid)) == 5


def test_S33_headers_are_capped() -> None:
    """Too many at once, unknown parents, and forks from far below the tip are refused cheaply."""
    chain = MadeChain()
    chain.mine_many(3)
    known = followed(chain)
    with pytest.raises(TooLarge):
        known.extend(chain.headers * 700)
    with pytest.raises(Incorrect, match="parent"):
        known.extend([MadeChain(spacing=599).mine().header])


def test_S33_fork_from_below_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spv, "FORK_WINDOW", 5)
    monkeypatch.setattr(spv, "MAX_STALE", 4)
    chain = MadeChain()
    chain.mine_many(20)
    known = followed(chain)
    with pytest.raises(Incorrect, match="forks off"):
        known.extend([chain.fork(10).mine().header])
    for _ in range(4):
        known.extend([chain.fork(18).mine().header])
    with pytest.raises(TooLarge):
        known.extend([chain.fork(18).mine().header])
    chain.mine_many(20)
    known.extend(chain.headers)
    assert len(known._nodes) == 41  # what lies below the window was dropped
    assert known.tip.height == 40


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 13])
def test_inclusion_of_every_position(count: int) -> None:
    chain = MadeChain()
    block = chain.mine(*(payment(n) for n in range(count - 1)))
    known = followed(chain)
    for tx in block.txs:
        proof = Inclusion.from_value(block.prove(tx.txid).to_value())
        assert known.confirmed(tx, proof) == 1


def inclusion_of(count: int, index: int) -> tuple[HeaderChain, Tx, Inclusion]:
    chain = MadeChain()
    block = chain.mine(*(payment(n) for n in range(count - 1)))
    tx = block.txs[index]
    return followed(chain), tx, block.prove(tx.txid)


def test_S14_duplicated_last_leaf() -> None:
    """The copy of an odd last leaf has a branch to the same root: its position is refused."""
    known, tx, proof = inclusion_of(3, 2)
    assert known.confirmed(tx, proof) == 1
    with pytest.raises(Incorrect, match="duplicated"):
        known.confirmed(tx, replace(proof, index=3))


def test_S14_index_past_the_end() -> None:
    known, tx, proof = inclusion_of(4, 2)
    for index in (4, 6, 2 + 4, 1 << 20):
        with pytest.raises(Incorrect, match="past the end"):
            known.confirmed(tx, replace(proof, index=index))


def test_S14_equal_siblings_inside_the_tree() -> None:
    """A leaf may be its own sibling only at the end of its level."""
    txids = [payment(n).txid for n in range(2)]
    inner = spv.hash256(bytes(txids[0]) * 2)
    right = spv.hash256(bytes(txids[1]) * 2)
    with pytest.raises(Incorrect, match="ends its level"):
        spv.merkle_root_of(bytes(txids[0]), 0, (bytes(txids[0]), right))
    assert spv.merkle_root_of(bytes(txids[0]), 0, (bytes(txids[0]), inner)) is not None


def sixty_four_bytes() -> Tx:
    """A transaction whose bytes without witnesses are exactly 64."""
    spent = TxIn(OutPoint(Txid(bytes(range(32))), 1), b"", 0xFFFFFFFD)
    return Tx(2, (spent,), (TxOut(1, b"\x51\x51\x51\x51"),), 0)


def test_S13_transaction_of_64_bytes() -> None:
    """A 64-byte transaction in a real block, and an inner node shown as a transaction: refused."""
    fake = sixty_four_bytes()
    assert len(fake.serialize_unsigned()) == 64
    chain = MadeChain()
    block = chain.mine(fake, payment(1))
    with pytest.raises(Incorrect, match="64 bytes"):
        followed(chain).confirmed(fake, block.prove(fake.txid))


def test_S13_inner_node_as_a_transaction() -> None:
    """The leaf pair that equals a 64-byte transaction's bytes makes it "stand" one level higher."""
    fake = sixty_four_bytes().serialize_unsigned()
    # The block's own leaves are the two halves of the fake transaction (a miner chose them so).
    left, right = Txid(fake[:32]), Txid(fake[32:])
    first = coinbase(1)
    other = payment(7)
    txids = [first.txid, other.txid, left, right]
    chain = MadeChain()
    tip = chain.blocks[0].header
    header = mine(Header(4, tip.hash, merkle_root(txids), START + 600, tip.bits, 0))
    known = HeaderChain(REGTEST, chain.pinned)
    known.extend([header])
    above = spv.hash256(bytes(first.txid) + bytes(other.txid))
    proof = Inclusion(
        header.hash, 1, (above,), first.serialize_unsigned(), spv.merkle_branch(txids, 0)
    )
    assert spv.merkle_root_of(spv.hash256(fake), 1, (above,)) == header.merkle_root
    with pytest.raises(Incorrect, match="64 bytes"):
        known.confirmed(Tx.parse(fake), proof)
    # Were its length no tell, the coinbase's depth would be.
    with pytest.raises(Incorrect, match="depth"):
        known.confirmed(payment(8), proof)


def test_S13_depth_must_be_the_coinbases() -> None:
    known, tx, proof = inclusion_of(4, 2)
    with pytest.raises(Incorrect, match="depth"):
        known.confirmed(tx, replace(proof, branch=proof.branch[:-1]))
    not_coinbase = replace(proof, coinbase=payment(0).serialize())
    with pytest.raises(Incorrect, match="coinbase"):
        known.confirmed(tx, not_coinbase)
    foreign = replace(proof, coinbase=coinbase(9).serialize_unsigned())
    with pytest.raises(Incorrect, match="coinbase is not under"):
        known.confirmed(tx, foreign)


def test_S15_proofs_of_two_deposits_swapped() -> None:
    """A genuine proof of another transaction proves nothing: the leaf is the hash of the bytes."""
    chain = MadeChain()
    one, two = payment(1), payment(2)
    block = chain.mine(one, two)
    known = followed(chain)
    with pytest.raises(Incorrect, match="not under block"):
        known.confirmed(one, block.prove(two.txid))
    with pytest.raises(Incorrect, match="duplicated"):
        known.confirmed(two, replace(block.prove(two.txid), index=1))
    with pytest.raises(Incorrect, match="index 0"):
        known.confirmed(one, replace(block.prove(one.txid), index=0))


@settings(max_examples=60)
@given(st.data())
def test_S15_any_changed_byte_of_a_proof(data: st.DataObject) -> None:
    """Each hash of a proof matters."""
    known, tx, proof = inclusion_of(6, data.draw(st.integers(1, 5)))
    at = data.draw(st.integers(0, len(proof.branch) - 1))
    flip = data.draw(st.integers(0, 255))
    changed = bytearray(proof.branch[at])
    changed[flip // 8] ^= 1 << flip % 8
    branch = (*proof.branch[:at], bytes(changed), *proof.branch[at + 1 :])
    with pytest.raises(Incorrect):
        known.confirmed(tx, replace(proof, branch=branch))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [bytes(32), 1, [], b""],
        [bytes(32), -1, [], b"", []],
        [bytes(32), True, [], b"", []],
        [bytes(32), 1 << 40, [], b"", []],
        [bytes(31), 0, [], b"", []],
        [bytes(32), 0, [bytes(31)], b"", []],
        [bytes(32), 0, [0], b"", []],
        [bytes(32), 0, [bytes(32)] * 33, b"", []],
    ],
)
def test_A14_inclusion_of_other_shapes(value: object) -> None:
    with pytest.raises(InvalidInput):
        Inclusion.from_value(value)


def test_header_of_other_lengths() -> None:
    for size in (0, 79, 81):
        with pytest.raises(DecodeError):
            Header.parse(bytes(size))
