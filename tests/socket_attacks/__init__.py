"""Attacks on an enclave's socket, one module for each group of steps of section 9."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket_attacks.registry import Attack

STEPS = (
    "intake",
    "spells",
    "standing",
    "kept",
    "vault",
    "succession",
    "changed",
    "policy",
    "voting",
    "instances",
    "membership",
)


def attacks_of_all_steps() -> list[Attack]:
    """The attacks in the order of the steps that refuse them."""
    for name in STEPS:
        import_module(f"socket_attacks.{name}")
    return import_module("socket_attacks.registry").ATTACKS  # type: ignore[no-any-return]
