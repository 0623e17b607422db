"""The bundle of an app: its kinds of state, its actions with their facts and verifying keys, its setup.

Section 5 of the protocol. The SHA-256 of the canonical bytes is the app's vk, so a bundle is
identified by what it says. Every fault is `SpellIncorrect` with rule DescriptorInvalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from grail.charms.app import App

IN = 0
OUT = 1

OwnToken: TypeAlias = str
"""The appref "t": the contract's own token."""


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The appref ["field", kind, j, field]: the token whose appfe that state field holds."""

    kind: int
    j: int
    field: int


AppRef: TypeAlias = str | FieldRef | App
"""Which token a fact counts: "t" (own), "zkbtc", a state field, or an app in full."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its number in section 6 and its arguments, apprefs read."""

    number: int
    args: tuple[int | AppRef, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of state: whether it may lie at ordinary outputs, and its fields (name, type)."""

    free: bool
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What one action takes, gives and shows, and the key that its proofs verify under."""

    number: int
    name: str
    ports_in: tuple[tuple[int, int], ...]
    ports_out: tuple[tuple[int, int], ...]
    plain: bool
    rows: int
    terms: int
    pays: int
    signers: int
    args: int
    changes: tuple[str, ...]
    facts: tuple[Fact, ...]
    vk: bytes


@dataclass(frozen=True, slots=True)
class Setup:
    """Where the keys come from: the powers of tau file's hash, the contributions, how many parties."""

    ptau: bytes
    contributions: tuple[bytes, ...]
    single_party: bool


@dataclass(frozen=True)
class Bundle:
    """A descriptor with its keys. `parse` is the only way in for bytes from others."""

    kinds: Mapping[int, Kind]
    actions: Mapping[int, Action]
    setup: Setup
    backed: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Bundle:
        """Read canonical bytes and check the whole grammar. Raises `SpellIncorrect`."""
        raise NotImplementedError

    def serialize(self) -> bytes:
        """The canonical bytes."""
        raise NotImplementedError

    @cached_property
    def vk(self) -> bytes:
        """SHA-256 of the canonical bytes: the vk of the app's contract."""
        raise NotImplementedError

    def action(self, name: str) -> Action:
        """The action of this name. Raises `InvalidInput`."""
        raise NotImplementedError
