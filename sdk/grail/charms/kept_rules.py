"""Rules E1 to E3 of section 7: what an action may change, take and give, and whom it must pay."""

from __future__ import annotations

from grail.bitcoin.script import classify as script_type
from grail.charms.app import Contract
from grail.charms.case import ACTION, KEPT, MOVE, Case
from grail.charms.classify import Classes
from grail.charms.consent import SIGNER_SCRIPTS
from grail.charms.descriptor import IN, OUT, Action
from grail.charms.rule import refuse, rule
from grail.charms.spell import NO_INPUTS
from grail.charms.state import kind_of


@rule("NotKept", "C2", "C17", "C22")
def not_kept(case: Case) -> None:
    """E1: an app that the action does not declare as changed is kept; other tags never change."""
    for classes, action in case.actions:
        extra = sorted(case.changed[classes.contract].difference(action.changes))
        if extra:
            refuse(
                "NotKept",
                f"{classes.contract}: {extra[0]} changes",
                got=f"changes of {extra}",
                expected=f"at most {list(action.changes)}",
            )


@rule("PortCount", "G4", "G7")
def port_count(case: Case) -> None:
    """E2: ports, args, pays, signers, rows, terms and plain outputs are as the action declares."""
    for contract, classes in case.classes.items():
        action = case.action(contract)
        if action is None:
            _without_action(case, classes)
            continue
        for name, got, expected in _counts(case, classes, action):
            if got != expected:
                refuse("PortCount", f"{contract}: {name}", got=got, expected=expected)
        x = case.x(contract)
        if len(x.rows) > action.rows:
            refuse("PortCount", f"{contract}: rows", got=len(x.rows), expected=f"<= {action.rows}")
        if not action.plain and (classes.plain(IN) or classes.plain(OUT)):
            refuse("PortCount", f"{contract}: plain", got="plain sats", expected="none")


@rule("NftOutside", "C17")
def nft_outside(case: Case) -> None:
    """E2: a state lies on a port unless its kind is free.

    Else an action could leave a counterfeit state at an ordinary output, and a simple transfer
    would carry it to the guarded address later.
    """
    for contract in case.need_bundle:
        if case.standing(contract) == MOVE:
            continue  # rule E6 keeps every state where it is, by its own name
        bundle, classes = case.bundle(contract), case.classes[contract]
        ports = {place.index for places in classes.ports_out.values() for place in places}
        for index, output in enumerate(case.outputs):
            if contract.nft not in output.charms or index in ports:
                continue
            number = kind_of(output.charms[contract.nft])
            kind = bundle.kinds.get(number) if bundle is not None and number is not None else None
            if kind is None or not kind.free:
                refuse("NftOutside", f"output {index}", got=f"kind {number}", expected="a port")


@rule("NotFresh", "C18")
def not_fresh(case: Case) -> None:
    """E2: an action that takes no port gives ports, or mints unbacked units, at creation alone."""
    for classes, action in case.actions:
        contract = classes.contract
        if action.ports_in or case.fresh(contract):
            continue
        bundle = case.bundle(contract)
        backed = bundle is not None and bundle.backed is not None
        if classes.ports_out or (case.minted(contract) and not backed):
            what = "a port" if classes.ports_out else "supply"
            refuse(
                "NotFresh",
                f"{contract}: {what} without the outpoint that gives its identity",
                got=str(case.tx.inputs[0].outpoint),
                expected="the outpoint whose hash is the identity, as input 0",
            )


@rule("GuardUndeclaredCharm", "G7")
def port_token_unnamed(case: Case) -> None:
    """Section 6: a port given holds no charm that no appref of the action names."""
    for classes, action in case.actions:
        allowed = {case.resolve(ref, classes) for ref in action.named} | {classes.contract.nft}
        for places in classes.ports_out.values():
            for place in places:
                for app in place.holds.charms:
                    if app not in allowed:
                        refuse(
                            "GuardUndeclaredCharm",
                            f"token on port output {place.index}",
                            got=app,
                            expected="an app that the action names",
                        )


@rule("RowPayee", "G3", "S5")
def row_payee(case: Case) -> None:
    """E3: each row's payout is an ordinary output below n_outs with the owner's script."""
    for classes in case.classes.values():
        for placed in classes.rows:
            index, owner = placed.row.output, placed.row.owner_script
            if index >= len(case.outputs):
                refuse("RowPayee", f"output {index}", got="past n_outs", expected="a spell output")
            if case.outputs[index].script != owner:
                got = case.outputs[index].script.hex()
                refuse("RowPayee", f"output {index}", got=got, expected=owner.hex())
            _ordinary("RowPayee", case, index)


@rule("RowCharm", "G7", "C9")
def row_charm(case: Case) -> None:
    """E3: an escrow that is settled holds no token that the action does not name."""
    for classes, action in case.actions:
        allowed = {case.resolve(ref, classes) for ref in action.named}
        for escrow in classes.escrows:
            for app in escrow.holds.charms:
                if app not in allowed:
                    refuse(
                        "RowCharm",
                        f"input {escrow.index}",
                        got=app,
                        expected="an app that the action names",
                    )


@rule("PayInvalid", "S5")
def pay_invalid(case: Case) -> None:
    """Section 4: a pay is an ordinary output below n_outs."""
    for contract in case.contracts:
        for index in case.x(contract).pays:
            if index >= len(case.outputs):
                refuse("PayInvalid", f"output {index}", got="past n_outs", expected="below it")
            _ordinary("PayInvalid", case, index)


@rule("SignerInvalid", "S9", "Z6")
def signer_invalid(case: Case) -> None:
    """Section 6: a signer is a user's input that exists, in a transaction that the quorum signs.

    No txid covers a witness, so a verdict rests on none; that the quorum signed says that it saw
    the signer's. A row does not count, as its owner may spend it by himself in the end, nor does an
    epoch whose time is over.
    """
    signers = [(contract, i) for contract in case.contracts for i in case.x(contract).signers]
    signed = {place.index for classes in case.classes.values() for place in classes.signed}
    for _, index in signers:
        if index >= len(case.prevouts) or index in signed:
            got = "an input that the quorum signs" if index in signed else "no such input"
            refuse("SignerInvalid", f"input {index}", got=got, expected="a user's input")
    if signers and not any(_in_time(case, classes) for classes in case.classes.values()):
        refuse(
            "SignerInvalid",
            f"{signers[0][0]}: nobody saw that input {signers[0][1]} agrees",
            got="no guarded input of a roster that counts",
            expected="a port or a plain guarded input beside it",
        )


@rule("SignerSighash", "S5", "Z6")
def signer_sighash(case: Case) -> None:
    """Section 6: a signer's script is unlocked by one key: P2TR or P2WPKH.

    Whether that key signed all of the transaction is asked at signing: `grail.charms.consent`.
    """
    for contract in case.contracts:
        for index in case.x(contract).signers:
            kind = script_type(case.prevouts[index].script)
            if kind not in SIGNER_SCRIPTS:
                refuse("SignerSighash", f"input {index}", got=kind.value, expected="P2TR or P2WPKH")


def _in_time(case: Case, classes: Classes) -> bool:
    reigns = (case.record.reign(place.epoch) for place in classes.inputs)
    return any(reign is not None and reign.counts(case.height, grace=True) for reign in reigns)


def _counts(case: Case, classes: Classes, action: Action) -> list[tuple[str, object, object]]:
    x = case.x(classes.contract)
    ports = [
        (
            f"ports_{name}",
            {kind: len(places) for kind, places in classes.ports(side).items()},
            dict(action.ports(side)),
        )
        for side, name in ((IN, "in"), (OUT, "out"))
    ]
    terms = [("terms of a row", len(row.terms), action.terms) for row in x.rows[: action.rows]]
    return [
        *ports,
        ("args", len(x.args), action.args),
        ("pays", len(x.pays), action.pays),
        ("signers", len(x.signers), action.signers),
        *terms,
    ]


def _without_action(case: Case, classes: Classes) -> None:
    contract: Contract = classes.contract
    if case.standing(contract) == ACTION:
        return  # the action does not exist, which has a rule of its own
    if case.x(contract) != NO_INPUTS:
        refuse("PortCount", f"{contract}: x without an action", got="x", expected="null")
    if case.standing(contract) == KEPT and classes.plain(OUT):
        refuse("PortCount", f"{contract}: plain", got="plain outputs", expected="an action")


def _ordinary(name: str, case: Case, index: int) -> None:
    if index in case.guarded_outputs:
        refuse(name, f"output {index}", got="a guarded address", expected="an ordinary output")
