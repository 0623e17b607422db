"""Step 9 of section 9: every guarded output is accounted for, every contract stands on a proof.

Section 4. Contracts come in the order of their bytes.
"""

from __future__ import annotations

from grail.bitcoin import addresses
from grail.charms import state
from grail.charms.case import UNPROVEN, Case
from grail.charms.classify import UNDECLARED, guard_scripts
from grail.charms.record import read_state
from grail.charms.rule import refuse, rule


@rule("GuardUndeclaredCharm", "G1", "G7", "S9")
def guard_undeclared_charm(case: Case) -> None:
    """What lies at a guarded address is a port or plain, on both sides."""
    for classes in case.classes.values():
        for side, places in (("input", classes.inputs), ("output", classes.outputs)):
            for place in places:
                if place.role == UNDECLARED:
                    apps = ", ".join(sorted(app.tag for app in place.holds.charms))
                    refuse(
                        "GuardUndeclaredCharm",
                        f"{side} {place.index} is neither a port nor plain",
                        got=f"apps of tags {apps}",
                        expected="one state of a declared kind, or no charms",
                    )


@rule("RowUnknown", "S9", "S20", "G2", "G3")
def row_unknown(case: Case) -> None:
    """Every row's escrow, rebuilt from contract, owner, terms and key, is its input's script."""
    for classes in case.classes.values():
        for placed in classes.rows:
            if placed.escrow is None:
                refuse(
                    "RowUnknown",
                    f"input {placed.row.input} is no escrow of these terms in any epoch",
                    got=_script(case, placed.row.input),
                    expected="escrow(K, e)",
                )


@rule("OutputClaimedTwice", "G4")
def output_claimed_twice(case: Case) -> None:
    """No output answers two rows or pays: one payment is shown to one contract, once."""
    claimed: set[int] = set()
    for contract in case.contracts:
        x = case.x(contract)
        for index in (*(row.output for row in x.rows), *x.pays):
            if index in claimed:
                refuse(
                    "OutputClaimedTwice", f"output {index}", got="two claims", expected="one claim"
                )
            claimed.add(index)


@rule("ProofMissing", "G1")
def proof_missing(case: Case) -> None:
    """A contract that guards an input, gives a port or does not keep an app has a proof."""
    for contract in case.contracts:
        if case.standing(contract) == UNPROVEN:
            refuse("ProofMissing", str(contract), got="no proof", expected="one proof, or a move")


@rule("ProofExtra", "C22")
def proof_extra(case: Case) -> None:
    """A contract that needs no action has no proof."""
    for contract in case.contracts:
        if contract in case.proofs and not case.needs_action(contract):
            refuse("ProofExtra", str(contract), got="a proof", expected="none: nothing changes")


@rule("ActionUnknown", "C22")
def action_unknown(case: Case) -> None:
    """The proof names an action that the bundle has."""
    for contract, entry in case.proofs.items():
        bundle = case.bundle(contract)
        if bundle is not None and entry.action not in bundle.actions:
            numbers = sorted(bundle.actions)
            refuse("ActionUnknown", str(contract), got=entry.action, expected=numbers)


@rule("AppMissing", "C9", "G1")
def app_missing(case: Case) -> None:
    """Every app on an input is listed in the spell."""
    missing = sorted(case.spent_apps.difference(case.spell.apps))
    if missing:
        refuse("AppMissing", "an app on an input is not listed", got=missing[0], expected="listed")


@rule("AppExtra", "C12")
def app_extra(case: Case) -> None:
    """Nothing is listed but apps on inputs and outs, and tag t of a contract that only acts."""
    on_outs = {app for output in case.outputs for app in output.charms}
    present = case.spent_apps | on_outs
    contracts = {app.contract for app in present}
    for app in case.spell.apps:
        acts = app.contract in case.proofs and app.contract not in contracts
        if app not in present and not (acts and app == app.contract.token):
            refuse("AppExtra", "an app without a charm is listed", got=app, expected="not listed")


@rule("StateInvalid", "C3", "C17")
def state_invalid(case: Case) -> None:
    """Every state of a contract, in the outputs and at its ports, is of a kind and its types."""
    for contract in case.need_bundle:
        bundle = case.bundle(contract)
        if bundle is None:
            continue
        ports = (place for places in case.classes[contract].ports_in.values() for place in places)
        for holder in (*(place.holds for place in ports), *case.outputs):
            if contract.nft in holder.charms:
                state.check(bundle.kinds, holder.charms[contract.nft])


@rule("RosterInvalid", "R3", "R13", "S8")
def roster_invalid(case: Case) -> None:
    """The Grail NFT's new state is a roster, of the next epoch, at that roster's own address.

    Or it is the roster of the record, which may name a successor once.
    """
    nft = case.zkbtc.nft
    gid = case.zkbtc.gid(case.network)
    scripts = guard_scripts(case.record.rosters, gid)
    for index, output in enumerate(case.outputs):
        if nft not in output.charms:
            continue
        roster, successor, _ = read_state(output.charms[nft])
        case.known_record.extended(output.charms[nft], case.height, case.network)
        reign = case.record.reign(roster.epoch)
        if reign is None or (reign.roster, reign.successor) != (roster, successor):
            refuse("RosterInvalid", f"output {index}", got="a second roster", expected="one")
        if scripts.get(output.script, (None,))[0] != roster.epoch:
            refuse(
                "RosterInvalid",
                f"output {index} is not at the address of the roster that its state names",
                got=output.script.hex(),
                expected=addresses.guard(roster, gid).script_pubkey.hex(),
            )


def _script(case: Case, index: int) -> str:
    return case.prevouts[index].script.hex() if index < len(case.prevouts) else "no such input"
