"""Where the operator's key comes from: sources that fail are found, and one that is sound suffices."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from math import comb

import coincurve
import pytest
from link_world import module

from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair
from grail.errors import SourceUnfit
from grail_enclave import __main__ as process
from grail_enclave import entropy, keys

Source = Callable[[], bytes]


def counter(start: int = 0) -> Source:
    """Bytes that look perfect, and that anybody can foresee."""
    numbers = itertools.count(start)
    return lambda: b"".join(
        hashlib.sha256(b"%d %d" % (number, part)).digest()
        for number in [next(numbers)]
        for part in range(8)
    )


def foreseen(size: int) -> bytes:
    source = counter(9)
    return b"".join(source() for _ in range(size // 256))


def patched(sample: bytes, at: int, with_: bytes) -> list[bytes]:
    raw = sample[:at] + with_ + sample[at + len(with_) :]
    return [raw[start : start + 256] for start in range(0, len(raw), 256)]


SOUND = foreseen(1_024)
OFTEN = bytes(SOUND[0] if at % 32 == 0 else byte for at, byte in enumerate(SOUND[:512]))

STUCK = {
    "zeros": [bytes(256)] * 4,
    "one answer again and again": [SOUND[:256]] * 4,
    "one of the answers again": [SOUND[:256], SOUND[256:512], SOUND[512:768], SOUND[256:512]],
    "a byte five times in a row": patched(SOUND, 700, b"\x07" * 5),
    "a byte in every thirty-second place": [OFTEN[:256], OFTEN[256:], SOUND[512:768], SOUND[768:]],
    "too little": [SOUND[:256], SOUND[256:512], SOUND[512:768]],
    "nothing": [b""] * entropy.MAX_QUESTIONS,
    "a bit that is stuck": [bytes(each & 0x0F for each in SOUND[at : at + 256]) for at in range(0, 1_024, 256)],
}  # fmt: skip


@pytest.mark.parametrize("name", STUCK)
def test_A12_a_source_that_stopped_working_is_found(name: str) -> None:
    with pytest.raises(SourceUnfit, match="the source: got"):
        entropy.check("the source", STUCK[name])


def test_A12_a_sound_source_passes() -> None:
    entropy.check("the source", [SOUND[at : at + 256] for at in range(0, 1_024, 256)])
    entropy.check("the source", patched(SOUND, 700, b"\x07" * 4))
    for _ in range(50):
        entropy.check("the kernel", [os.urandom(256) for _ in range(4)])


def test_A12_the_cutoffs_are_those_of_the_standard() -> None:
    """NIST SP 800-90B, sections 4.4.1 and 4.4.2, by exact arithmetic."""
    assert entropy.REPEATS == 1 + -(-entropy.ALARM // entropy.ENTROPY) == 5
    p, total, least = Fraction(1, 2**entropy.ENTROPY), Fraction(0), -1
    while total < 1 - Fraction(1, 2**entropy.ALARM):
        least += 1
        total += comb(entropy.WINDOW, least) * p**least * (1 - p) ** (entropy.WINDOW - least)
    assert 1 + least == entropy.PROPORTION


def test_A12_no_key_from_a_stuck_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start is refused, before there is a key, whichever source it is."""
    with pytest.raises(SourceUnfit, match="security module"):
        keys.draw(keys.MemorySealer(), lambda: SOUND[:256])
    with pytest.raises(SourceUnfit, match="kernel"):
        entropy.seed(counter(), kernel=bytes)

    async def run(*_: object, **__: object) -> None:
        keys.draw(keys.MemorySealer(), lambda: bytes(256))

    monkeypatch.setattr(process, "harden", lambda: None)
    monkeypatch.setattr(process, "forbid_programs", lambda: None)
    monkeypatch.setattr(process, "read_configuration", lambda _: (None, b""))
    monkeypatch.setattr(process, "run", run)
    assert process.main(["--socket", "s", "--config", "c"]) == 1
    assert "security module's random source" in capsys.readouterr().err


@pytest.mark.parametrize("sound", ["module", "kernel", "processor"])
def test_A12_one_source_that_nobody_knows_is_enough(
    sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two starts from one snapshot, with all sources but one fed by whoever made it."""
    if sound != "processor":
        monkeypatch.setattr(entropy, "jitter", lambda: bytes(32))
    kernel = os.urandom if sound == "kernel" else foreseen
    drawn = {
        entropy.seed(module().random if sound == "module" else counter(), kernel) for _ in range(3)
    }
    assert len(drawn) == 3


def test_A12_what_is_mixed_is_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy, "jitter", lambda: bytes(32))
    assert entropy.seed(counter(), foreseen) == entropy.seed(counter(), foreseen)
    assert entropy.seed(counter(), foreseen) != entropy.seed(None, foreseen)


@pytest.mark.skipif(sys.platform != "linux", reason="a snapshot is a fork here")
def test_A12_two_starts_from_one_snapshot_draw_two_keys_and_two_nonces() -> None:
    """All of this process's memory, twice: what is drawn then differs."""
    digest, found = bytes([7]) * 32, set()
    for _ in range(3):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            pair = keys.draw(keys.MemorySealer())
            os.write(writer, bytes(pair.public) + KeyPair(bytes([1]) * 32).sign(digest)[:32])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            found.add(said.read())
        os.waitpid(child, 0)
    assert {len(each) for each in found} == {64}
    assert len({each[:32] for each in found}) == len({each[32:] for each in found}) == 3


def test_A12_nonces_are_hedged_with_key_and_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a random source that gives one value for ever, no nonce serves two messages or keys."""
    monkeypatch.setattr(schnorr.secrets, "token_bytes", bytes)
    one, two = KeyPair(bytes([1]) * 32), KeyPair(bytes([2]) * 32)
    digests = [bytes([at]) * 32 for at in range(8)]
    signed = [pair.sign(digest) for pair in (one, two) for digest in digests]
    assert len({signature[:32] for signature in signed}) == 16
    schnorr.verify(one.public, digests[0], signed[0])


def test_A12_a_signature_has_its_own_randomness() -> None:
    """So a fault in one of two signatures of a message gives its nonce away in neither."""
    pair, digest = KeyPair(bytes([1]) * 32), bytes([3]) * 32
    assert len({pair.sign(digest)[:32] for _ in range(4)}) == 4
    plain = coincurve.PrivateKey(bytes([1]) * 32).sign_schnorr(digest, bytes(32))
    assert pair.sign(digest)[:32] != plain[:32]
