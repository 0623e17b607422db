"""A process with 64 MiB to spare: every length and count of every format claims far too much.

`python tests/fuzz/bounded.py` prints how many lies were refused; what is allocated for one ends it.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPARE = 64 << 20
LIES = (1 << 28, (1 << 32) - 1, 1 << 32, (1 << 63) - 1)
"""2^28 constraints; 4 GiB and what is around it; what is negative once signed."""


def claimed(raw: bytes, order: str) -> Iterator[bytes]:
    """The bytes with a lie of four or of eight bytes at each place of their first 200."""
    for at in range(min(len(raw), 200)):
        for lie in LIES:
            width = 4 if lie < 1 << 32 else 8
            yield raw[:at] + lie.to_bytes(width, order) + raw[at + width :]  # type: ignore[arg-type]


def main() -> None:
    """Tell all lies."""
    sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "enclave", "devnet", "tests")]
    from sample_circuit import R1CS, WTNS
    from sample_psbt import fields, funded, write

    from fuzz import seeds
    from grail import native
    from grail.bitcoin import psbt_v2
    from grail.bitcoin.psbt import Psbt
    from grail.bitcoin.tx import Tx
    from grail.codec import decode, encode
    from grail.errors import GrailError, TooLarge
    from grail.operators.frames import announced
    from grail.zk import snarkjs

    zkey = (seeds.MULTIPLIER / "circuit.zkey").read_bytes()
    ptau = seeds.ptaus()[-1]
    psbt = funded()
    program = b"GWP1" + b"".join(n.to_bytes(4, "little") for n in (1, 0, 0, 1, 0))
    cases: list[tuple[Callable[[bytes], object], bytes, str]] = [
        (snarkjs.read_r1cs, R1CS, "little"),
        (snarkjs.read_wtns, WTNS, "little"),
        (snarkjs.Zkey, zkey, "little"),
        (native.ptau_info, ptau, "little"),
        (lambda raw: native.program_run(raw, [0]), program, "little"),
        (Tx.parse, psbt.tx.serialize(), "little"),
        (Psbt.parse, psbt.serialize(), "little"),
        (psbt_v2.parse, write(*fields(psbt)), "little"),
        (lambda raw: decode(raw), encode([b"x" * 70_000, {"a": ["b"]}]), "big"),
        (lambda raw: decode(raw, free_keys=True), encode([b"x" * 70_000, {"a": ["b"]}]), "big"),
    ]
    for read, raw, _ in cases:  # threads of the crate and caches of Python are there from now on
        _refused(read, raw, GrailError)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, used + SPARE))
    told = refused = 0
    for read, raw, order in cases:
        for lie in claimed(raw, order):
            told += 1
            refused += _refused(read, lie, GrailError)
    for size in (*LIES, (1 << 32) - 1):
        told += 1
        refused += _refused(
            lambda raw: announced(raw), (size % (1 << 32)).to_bytes(4, "little"), TooLarge
        )
    # CBOR's own heads of eight bytes, for every type that has a length
    for major in (2, 3, 4, 5):
        for lie in LIES:
            told += 1
            refused += _refused(
                decode, bytes([major << 5 | 27]) + lie.to_bytes(8, "big"), GrailError
            )
    print(told, refused)


def _refused(read: Callable[[bytes], object], raw: bytes, kind: type[Exception]) -> bool:
    try:
        read(raw)
    except kind:
        return True
    return False


if __name__ == "__main__":
    main()
