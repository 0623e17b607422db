"""Plain mutations of seeds, a function of a number: what tests run where there is no fuzzer."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

EDGES = (0, 1, 0x17, 0x18, 0x7F, 0x80, 0xFC, 0xFD, 0xFE, 0xFF)
LENGTHS = (1 << 16, 1 << 28, (1 << 31) - 1, (1 << 32) - 1, (1 << 64) - 1)


def inputs(seeds: Sequence[bytes], count: int, number: int, most: int) -> Iterator[bytes]:
    """The seeds as they are, then changed ones, `count` in all."""
    chance = random.Random(number)
    short = [seed for seed in seeds if len(seed) <= most]
    yield from short[:count]
    for _ in range(count - len(short)):
        raw = bytearray(chance.choice(short) if short else b"")
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            _change(raw, chance, short)
        yield bytes(raw[:most])


def _change(raw: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(raw) + 1)
    match chance.randrange(8):
        case 0 if raw:
            raw[at % len(raw)] ^= 1 << chance.randrange(8)
        case 1 if raw:
            raw[at % len(raw)] = chance.choice(EDGES)
        case 2:
            del raw[at:]
        case 3:
            del raw[at : at + chance.randrange(1, 40)]
        case 4:
            raw[at:at] = chance.randbytes(chance.randrange(1, 40))
        case 5:
            width = chance.choice((1, 2, 4, 8))
            length = chance.choice(LENGTHS) % (1 << (8 * width))
            raw[at : at + width] = length.to_bytes(width, chance.choice(("little", "big")))
        case 6:
            piece = raw[at : at + chance.randrange(1, 64)]
            raw[at:at] = piece * chance.choice((1, 2, 50))
        case _ if seeds:
            other = chance.choice(seeds)
            cut = chance.randrange(len(other) + 1)
            raw[at:] = other[cut : cut + 2_000]
