"""What one entry of the list says, and the ids that the list must cover."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LETTERS = "ARSCGZD"
_RANGES = {
    "A": (range(1, 21), set()),
    "R": (range(1, 19), set()),
    "S": (range(1, 36), {17, 23}),
    "C": (range(1, 23), {15, 16}),
    "G": (range(1, 16), set()),
    "Z": (range(2, 27), {8, 9, 15, 16, 17, 20}),
    "D": (range(1, 19), {5, 7, 13, 14, 15, 16}),
}


def issue_rows() -> tuple[str, ...]:
    """The rows of the threat model that this list answers, in order: 137 of them.

    Left out are rows of sealed storage, key shares and the bridge service, which are not there yet.
    """
    return tuple(
        f"{letter}{number}"
        for letter in LETTERS
        for number in _RANGES[letter][0]
        if number not in _RANGES[letter][1]
    )


def part(threat: str) -> str:
    """Which part of the work a row belongs to, by the letters and rows that it is made of."""
    if threat[0] in "AR" or threat in {"S11", "S31", "G8"}:
        return "A, R, S11, S31, G8"
    return "C5, C6" if threat in {"C5", "C6"} else "S, C, G, Z, D"


@dataclass(frozen=True, slots=True)
class Patch:
    """One snippet of one file (relative to the root), which stands there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Defence:
    """A guard against a threat, how to take it out narrowly, and the tests that must notice.

    `tests` are `path::name` below tests/, with a parameter in brackets where one case is enough.
    `also` are second guards that would catch the same attack, and go off at the same time.
    """

    threat: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[Patch, ...] = field(default=())

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All that is changed, in order."""
        return (Patch(self.file, self.old, self.new), *self.also)

    @property
    def native(self) -> bool:
        """Whether the crate must be built anew."""
        return any(patch.file.endswith(".rs") for patch in self.patches)

    @property
    def place(self) -> str:
        """Where the guard stands, for people: the file and the snippet's line."""
        text = (ROOT / self.file).read_text()
        line = text[: max(text.find(self.old), 0)].count("\n") + 1
        return f"{self.file}:{line}"
