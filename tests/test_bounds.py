"""Lengths that lie cost no memory, in any format; and every codec refuses every cut of its bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz import seeds
from hypothesis import given
from hypothesis import strategies as st
from sample_circuit import R1CS, WTNS, keys

from grail.bitcoin import psbt_v2
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import Header, Inclusion
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.descriptor import Bundle
from grail.codec import decode, encode
from grail.connection.outbox import Sent
from grail.connection.unfinished import Unfinished
from grail.errors import GrailError, InvalidInput
from grail.operators import messages as signed
from grail.operators.evidence import SigningRequest, TxEvidence
from grail.operators.frames import Frame, Reply
from grail.operators.grants import Claim, Grant, Hello, Page, Promised
from grail.types import BlockHash, OutPoint, Txid, TxOut
from grail.zk import groth16, snarkjs

BOUNDED = Path(__file__).with_name("fuzz") / "bounded.py"


def test_A14_A10_Z22_lengths_of_four_gibibytes_and_2_28_constraints() -> None:
    """Each length and count of every format lies, in a process with 64 MiB to spare."""
    # One thread and one arena: each more of them sets address space aside, which is no memory.
    plain = {**os.environ, "RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, BOUNDED], capture_output=True, text=True, check=False, env=plain
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    told, refused = map(int, done.stdout.split())
    assert told > 5_000
    assert refused > 2_000


HASHES = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
U32 = st.integers(0, (1 << 32) - 1)
SATS = st.integers(0, 2_100_000_000_000_000)
OUTPOINTS = st.builds(OutPoint, HASHES.map(Txid), U32)
INPUTS = st.builds(
    TxIn, OUTPOINTS, st.binary(max_size=40), U32, st.lists(st.binary(max_size=80)).map(tuple)
)
OUTPUTS = st.builds(TxOut, SATS, st.binary(max_size=80))
TXS = st.builds(
    Tx,
    U32,
    st.lists(INPUTS, min_size=1, max_size=3).map(tuple),
    st.lists(OUTPUTS, min_size=1, max_size=3).map(tuple),
    U32,
)
INCLUSIONS = st.builds(
    Inclusion,
    HASHES.map(BlockHash),
    st.integers(0, 1_000),
    st.lists(HASHES, max_size=4).map(tuple),
    st.binary(max_size=60),
    st.lists(HASHES, max_size=4).map(tuple),
)
PREVOUTS = st.lists(OUTPUTS, max_size=3).map(tuple)
EVIDENCE = st.builds(
    TxEvidence, st.binary(max_size=60), st.none() | INCLUSIONS, st.none() | PREVOUTS
)
FAMILIES = HASHES.map(signed.Family)
RISING = st.lists(OUTPOINTS, min_size=1, max_size=4, unique=True).map(sorted).map(tuple)
CLAIMS = st.builds(Claim, FAMILIES, HASHES.map(Txid), RISING, U32, st.booleans())
PROMISED = st.builds(Promised, OUTPOINTS, U32, FAMILIES)

MADE: dict[str, tuple[st.SearchStrategy[object], Callable[[bytes], object]]] = {
    "transaction": (TXS, Tx.parse),
    "header": (
        st.builds(
            Header,
            st.integers(-(1 << 31), (1 << 31) - 1),
            HASHES.map(BlockHash),
            HASHES,
            U32,
            U32,
            U32,
        ),
        Header.parse,
    ),
    "request": (
        st.builds(
            SigningRequest,
            st.binary(max_size=60),
            st.lists(st.binary(max_size=20), max_size=3).map(tuple),
            st.lists(EVIDENCE, max_size=3).map(tuple),
        ),
        SigningRequest.parse,
    ),
    "page": (
        st.builds(
            Page,
            st.lists(CLAIMS, max_size=3).map(tuple),
            st.lists(PROMISED, max_size=3).map(tuple),
        ),
        Page.parse,
    ),
    "sent": (
        st.builds(Sent, st.text(max_size=9), TXS, SATS, U32, st.binary(max_size=20)),
        Sent.parse,
    ),
    "unfinished": (
        st.builds(
            Unfinished,
            st.text(max_size=9),
            st.binary(max_size=60),
            SATS,
            U32,
            U32,
            st.lists(st.binary(max_size=34), max_size=3).map(tuple),
            st.binary(max_size=9),
            SATS,
        ),
        Unfinished.parse,
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_read_again_and_no_cut_of_it(name: str) -> None:
    """A round trip of any object; its bytes less some, or more, are no object."""
    objects, parse = MADE[name]

    @given(objects, st.data())
    def holds(made: object, data: st.DataObject) -> None:
        raw = made.serialize()  # type: ignore[attr-defined]
        assert parse(raw) == made
        cut = data.draw(st.integers(0, len(raw) - 1))
        for other in (raw[:cut], raw + b"\x00", b"\x00" + raw):
            with pytest.raises(InvalidInput):
                parse(other)

    holds()


@given(INCLUSIONS)
def test_inclusions_are_read_again(made: Inclusion) -> None:
    assert Inclusion.from_value(decode(encode(made.to_value()))) == made


def seeded() -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    """Real objects of the formats that are not made here."""
    votes, opened, promise, hello, grant, refusal, _page = seeds.messages()
    return {
        "psbt": (Psbt.parse, seeds.psbts()[0].serialize()),
        "psbt version 2": (psbt_v2.parse, seeds.psbts_2()[1]),
        "vote": (signed.Vote.parse, votes),
        "open": (signed.Open.parse, opened),
        "promise": (signed.Promise.parse, promise),
        "hello": (Hello.parse, hello),
        "grant": (Grant.parse, grant),
        "refusal": (signed.Refusal.parse, refusal),
        "frame": (Frame.parse, seeds.frames()[9].raw),
        "reply": (Reply.parse, seeds.replies()[-1]),
        "bundle": (Bundle.parse, seeds.bundles()[0]),
        ".r1cs": (snarkjs.read_r1cs, R1CS),
        ".wtns": (snarkjs.read_wtns, WTNS),
        "proof": (snarkjs.proof_json, seeds.proof()),
        "verifying key": (snarkjs.verification_key_json, keys().vk),
    }


def refused(read: Callable[[bytes], object], raw: bytes) -> bool:
    """Whether it is, by an error of ours."""
    try:
        read(raw)
    except GrailError:
        return True
    return False


def test_every_cut_of_every_format_is_refused() -> None:
    """And a byte more than the whole."""
    for name, (read, raw) in seeded().items():
        read(raw)
        step = max(1, len(raw) // 300)
        for cut in (*range(0, len(raw), step), len(raw) - 1):
            assert refused(read, raw[:cut]), f"{name}: {cut} of {len(raw)} bytes are taken"
        assert refused(read, raw + b"\x00"), f"{name}: a byte too many is taken"
    assert groth16.check_key(keys().vk, 3) is None
