"""A document with another value at one byte: each must be refused, by a rule that is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from grail.attestation.attested import attested
from grail.attestation.chain import Root
from grail.errors import AttestationInvalid


def one_bit(raw: bytes) -> Callable[[int], tuple[int]]:
    """For `refused_at`: a bit of each byte, another bit from one byte to the next."""
    return lambda place: (raw[place] ^ 1 << place % 8,)


def refused_at(
    raw: bytes, root: Root, values: Callable[[int], Iterable[int]], places: range | None = None
) -> Counter[str]:
    """How often each rule refused. Raises `AssertionError` naming a byte whose change passes."""
    attested(raw, root, allow_debug=True)
    rules: Counter[str] = Counter()
    for place in range(len(raw)) if places is None else places:
        for value in values(place):
            assert value != raw[place]
            changed = bytearray(raw)
            changed[place] = value
            try:
                attested(bytes(changed), root, allow_debug=True)
            except AttestationInvalid as exc:
                rules[exc.rule] += 1
            else:
                raise AssertionError(f"byte {place} may be {value:#04x}")
    return rules
