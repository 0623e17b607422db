"""Steps 6 and 8 of section 9: one spell of ours, and bundles that are what they are called."""

from __future__ import annotations

from functools import lru_cache

from grail.charms import envelope
from grail.charms.case import Case
from grail.charms.rule import refuse, rule
from grail.charms.spell import Spell, check_counts
from grail.errors import GrailError, SpellIncorrect
from grail.zk import groth16

PUBLIC_INPUTS = 3
"""Two halves of the digest, and the chain over the facts."""

DEVELOPMENT_CHAINS = ("regtest",)
"""Chains on which keys made by a single party are taken: their coins are worth nothing."""


@rule("TwoSpells", "C13")
def two_spells(case: Case) -> None:
    """At most one output begins with OP_RETURN and a push of "spell"."""
    envelope.one_spell(case.tx)


@rule("ForeignSpell", "C4", "C5", "C6")
def foreign_spell(case: Case) -> None:
    """The proof begins with our magic; a spell of another format is nothing that we judge."""
    if isinstance(case.reading, Spell):
        return  # what was read begins with our magic
    try:
        raw = case.payload
    except SpellIncorrect:
        return  # no envelope of ours: the next rule says what is wrong with it
    envelope.refuse_foreign(raw)


@rule("SpellInvalid", "C3", "C10", "C11", "C12", "C15", "C16", "C20", "G15", "G4")
def spell_invalid(case: Case) -> None:
    """The spell is canonical and has exactly the parts of section 2.

    It must list what its inputs hold, so they cannot hold more apps than a spell may list.
    """
    _ = case.spell
    check_counts(case.spent_apps)


@rule("BundleMismatch", "Z10", "C18")
def bundle_mismatch(case: Case) -> None:
    """A bundle that hashes to vk is there for each contract that acts, guards or has a state."""
    for contract in case.need_bundle:
        bundle = case.bundle(contract)
        if bundle is None:
            refuse(
                "BundleMismatch", f"no bundle of {contract}", got="none", expected=contract.vk.hex()
            )
        if bundle.vk != contract.vk:
            refuse(
                "BundleMismatch", "another bundle", got=bundle.vk.hex(), expected=contract.vk.hex()
            )


@rule("KeyUnsafe", "Z7", "Z11", "Z12")
def key_unsafe(case: Case) -> None:
    """Every verifying key of those bundles is one for which nobody can forge by its form."""
    for contract in case.need_bundle:
        bundle = case.bundle(contract)
        for action in bundle.actions.values() if bundle is not None else ():
            fault = _key_fault(action.vk)
            if fault:
                refuse("KeyUnsafe", f"action {action.name}: {fault}", got=fault, expected="safe")


@rule("SingleParty", "Z8")
def single_party(case: Case) -> None:
    """Outside development no key comes from one party alone."""
    if case.network.chain.name in DEVELOPMENT_CHAINS:
        return
    for contract in case.need_bundle:
        bundle = case.bundle(contract)
        if bundle is not None and bundle.setup.single_party:
            refuse("SingleParty", f"the keys of {contract}", got="one party", expected="several")


@lru_cache(maxsize=4096)
def _key_fault(vk: bytes) -> str:
    """Why the key is unsafe, or nothing: a key is judged once, whoever brings it."""
    try:
        groth16.check_key(vk, PUBLIC_INPUTS)
    except GrailError as exc:
        return str(exc) or type(exc).__name__
    return ""
