"""Where the operator's key comes from: three sources, looked at before they are used, then mixed.

    key = HKDF-SHA512(cs(module) || cs(kernel) || cs(processor), info "grail/enclave/key/1")

The security module gives its own random bytes, the kernel those of its pool, and the processor the
jitter of its timing. The key is as good as the best of them: whoever feeds or starves two knows
nothing of it (threat A12). The first two are looked at by the tests that NIST SP 800-90B, section
4.4, has for a source that stopped working, over the 1,024 samples that section 4.3 wants at a
start. Jitter is counted for nothing, so nothing is asked of it.

What is drawn after the key (nonces of BIP 340, of links and documents) comes from the kernel. A
signature's nonce is a hash of its random part, the key and the message (BIP 340), so it repeats for
no other message even where the kernel does.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from grail.codec import cs
from grail.errors import SourceUnfit

KEY_BYTES: Final = 32
INFO: Final = b"grail/enclave/key/1"

SAMPLES: Final = 1_024
"""Bytes that are looked at (section 4.3, start-up tests)."""
MAX_QUESTIONS: Final = 64
"""Times that a module is asked for as many; AWS's gives 256 bytes at once."""
ALARM: Final = 30
"""The tests' alpha is 2^-30: of two million starts with sound sources one is refused."""
ENTROPY: Final = 8
"""Bits in a byte, as the two sources claim: what they give went through a DRBG."""
REPEATS: Final = 1 + -(-ALARM // ENTROPY)
"""Equal bytes in a row (section 4.4.1): C = 1 + ceil(-log2(alpha) / H)."""
WINDOW: Final = 512
PROPORTION: Final = 16
"""Times that a window has its first byte (section 4.4.2): C = 1 + critbinom(W, 2^-H, 1 - alpha)."""
JITTER_ROUNDS: Final = 1_024


def seed(module: Callable[[], bytes] | None, kernel: Callable[[int], bytes] = os.urandom) -> bytes:
    """32 bytes for a key; `module` gives random bytes, where there is a security module.

    Raises `SourceUnfit` for a source that repeats itself, `Unavailable` when the module does not
    answer: a process without either does not start.
    """
    told = b"" if module is None else b"".join(_asked(module))
    pool = kernel(SAMPLES)
    check("the kernel's random source", [pool[at : at + 32] for at in range(0, SAMPLES, 32)])
    mixed = cs(told) + cs(pool) + cs(jitter())
    return HKDF(SHA512(), KEY_BYTES, salt=None, info=INFO).derive(mixed)


def _asked(module: Callable[[], bytes]) -> list[bytes]:
    """As many answers of the module as make up the samples, checked."""
    blocks: list[bytes] = []
    while sum(map(len, blocks)) < SAMPLES and len(blocks) < MAX_QUESTIONS:
        blocks.append(module())
    check("the security module's random source", blocks)
    return blocks


def check(source: str, blocks: Sequence[bytes]) -> None:
    """Raise `SourceUnfit` unless these answers look like those of a source that works.

    No test can show that bytes are random. These find what is stuck, cut short or far off balance,
    and a source that gives the same answer again, whose bytes may look perfect.
    """
    samples = b"".join(blocks)
    if len(samples) < SAMPLES:
        raise _unfit(source, f"{len(samples)} bytes in {len(blocks)} answers", f"{SAMPLES}")
    if len(set(blocks)) != len(blocks):
        raise _unfit(source, "the same answer twice", "another each time")
    longest = max(len(list(run)) for _, run in groupby(samples))
    if longest >= REPEATS:
        raise _unfit(source, f"one byte {longest} times in a row", f"fewer than {REPEATS}")
    for start in range(0, len(samples) - WINDOW + 1, WINDOW):
        window = samples[start : start + WINDOW]
        found = Counter(window)[window[0]]
        if found >= PROPORTION:
            raise _unfit(source, f"one byte {found} times in {WINDOW}", f"fewer than {PROPORTION}")


def _unfit(source: str, got: str, expected: str) -> SourceUnfit:
    return SourceUnfit(
        f"{source}: got {got}, expected {expected}",
        hint="no key is drawn from it: start on another machine, and say so to who runs this one",
    )


def jitter() -> bytes:
    """A hash over how long the processor took, again and again, for work that varies a little."""
    state = bytes(32)
    for _ in range(JITTER_ROUNDS):
        begun = time.perf_counter_ns()
        state = hashlib.sha256(state).digest()
        took = time.perf_counter_ns() - begun
        state = hashlib.sha256(state + took.to_bytes(8, "little")).digest()
    return state
