"""What a hostile spell may cost: whoever writes one pays by the byte, whoever checks it by the step."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import spellbook as book
from spellbook import NETWORK, POOL, ROSTERS, ZKBTC, label, outpoint

from grail.bitcoin import addresses
from grail.bitcoin.addresses import Roster
from grail.bitcoin.tx import Tx, TxIn
from grail.charms import case as cases
from grail.charms import classify, rules
from grail.charms import spell as spells
from grail.charms.app import App, Contract, Data, canonical
from grail.charms.record import roster_state
from grail.charms.rules import CheckedTx, Prevout
from grail.charms.spell import ContractProof, Spell
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import TxOut

PLAIN = TxOut(330, b"\x51")


def contract(n: int) -> Contract:
    return Contract(label(f"{n}"), label(f"v{n}"))


def judged(
    spell: Spell, prevouts: Sequence[Prevout], outputs: Sequence[TxOut] | None = None
) -> CheckedTx:
    """The verdict on a transaction that holds this spell, all its proofs taken for good."""
    made = [PLAIN] * len(spell.outs) if outputs is None else outputs
    tx = Tx(
        2,
        tuple(TxIn(outpoint(f"in {i}")) for i in range(len(prevouts))),
        (*made, TxOut(0, spell.op_return())),
    )
    return rules.correct(
        tx,
        prevouts,
        book.BUNDLES,
        book.FIRST,
        150,
        NETWORK,
        confirmed=True,
        rules=book.RULES,
        verify=book.yes,
    )


def refusal(*args: object) -> str:
    with pytest.raises(SpellIncorrect) as caught:
        judged(*args)  # type: ignore[arg-type]
    return caught.value.rule


def fake(n: int) -> Roster:
    return Roster.of(1, [book.key(f"fake {n}")], 1)


def rosters(count: int, *others: App, proven: bool) -> tuple[Spell, list[TxOut]]:
    """A spell whose outputs name as many rosters, each at its own address."""
    made = [fake(n) for n in range(count)]
    bare = Spell(
        tuple(sorted([ZKBTC.nft, *others])),
        tuple({ZKBTC.nft: roster_state(roster)} for roster in made),
    )
    proof = ContractProof(bare.contracts.index(ZKBTC), 2, bytes(128))
    gid = ZKBTC.gid(NETWORK)
    outputs = [TxOut(330, addresses.guard(roster, gid).script_pubkey) for roster in made]
    return replace(bare, proofs=(proof,) if proven else ()), outputs


@pytest.mark.parametrize(("proven", "epochs"), [(False, 1), (True, 2)])
def test_S33_states_of_rosters_are_not_epochs_to_look_for(
    proven: bool, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only an action of zkBTC makes a roster, and one at most: addresses are computed for each
    contract and for the epochs that are, not for those that a spell talks of."""
    asked: list[tuple[int, bytes]] = []
    guard = addresses.guard

    def counted(roster: Roster, gid: bytes) -> object:
        asked.append((roster.epoch, gid))
        return guard(roster, gid)

    spell, outputs = rosters(100, *(contract(n).token for n in range(30)), proven=proven)
    held = [Prevout(330, b"\x51", {app: 1}) for app in spell.apps if app.tag == "t"]
    classify.guard_scripts.cache_clear()
    monkeypatch.setattr(addresses, "guard", counted)
    with pytest.raises(SpellIncorrect):
        judged(spell, held, outputs)
    assert 31 <= len(asked) <= 31 * epochs + 1


def test_S33_a_second_roster_in_one_spell() -> None:
    """Refused at the second one, before 500 addresses are computed."""
    spell, outputs = rosters(2, proven=True)
    port = Prevout(10_000, book.guard(ZKBTC), {ZKBTC.nft: roster_state(ROSTERS[0])})
    assert refusal(spell, [port], outputs) == "RosterInvalid"


def test_C20_contracts_and_apps_of_a_spell_are_capped() -> None:
    """As many as allowed pass, one more is refused: listed by a spell, or held by its inputs."""

    def listed(apps: Sequence[App]) -> Spell:
        return Spell(tuple(sorted(apps)), tuple({app: 1} for app in sorted(apps)))

    def kept(spell: Spell) -> list[Prevout]:
        return [Prevout(330, b"\x51", {app: 1}) for app in spell.apps]

    many = [contract(n).app(tag) for n in range(spells.MAX_CONTRACTS) for tag in "tz"]
    assert len(many) == spells.MAX_APPS
    assert judged(listed(many), kept(listed(many)))
    for more in (contract(0).app("y"), contract(99).token):
        full = many[1:] if more.contract == contract(99) else many
        too_many = listed([*full, more])
        assert refusal(too_many, kept(too_many)) == "SpellInvalid"
        # The same apps on inputs: a spell that must list them cannot be correct.
        small = listed([many[0]])
        assert refusal(small, kept(too_many)) == "SpellInvalid"
        with pytest.raises(InvalidInput, match="at most"):
            Spell.build(too_many.outs)


def test_C20_each_charm_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is found in one pass over all charms, not in one pass for each app."""
    looked: list[Data] = []

    def counted(data: Data) -> bytes:
        looked.append(data)
        return canonical(data)

    monkeypatch.setattr(cases, "canonical", counted)
    apps = sorted(contract(n).app(tag) for n in range(30) for tag in "tz")
    outs: list[Mapping[App, Data]] = [{apps[n % len(apps)]: 1} for n in range(900)]
    held = [Prevout(330, b"\x51", charms) for charms in outs]
    judged(Spell(tuple(apps), tuple(outs)), held)
    assert len(looked) == 900  # 450 of tag z, on both sides


def test_C20_the_largest_spell_of_all() -> None:
    """31 contracts, 62 apps, 9,000 outputs, all correct: more than nodes relay."""
    apps = sorted(contract(n).app(tag) for n in range(31) for tag in "tz")
    outs: list[Mapping[App, Data]] = [{apps[n % len(apps)]: 1} for n in range(9_000)]
    sums = {app: sum(app in charms for charms in outs) for app in apps}
    held = [Prevout(330, b"\x51", {a: n}) for a, n in sums.items() if a.tag == "t"]
    held += [
        Prevout(330, b"\x51", {a: 1}) for a, n in sums.items() if a.tag == "z" for _ in range(n)
    ]
    spell = Spell(tuple(apps), tuple(outs))
    started = time.process_time()
    judged(spell, held)
    assert time.process_time() - started < 2


def test_C12_a_listed_app_without_a_charm_is_named_first() -> None:
    """Before anything is asked of its contract."""
    draft = book.swap()
    draft.acts = {}
    draft.apps = tuple(sorted([*draft.spell.apps, contract(1).token]))
    with pytest.raises(SpellIncorrect, match="AppExtra"):
        draft.check()


def test_C20_a_spell_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has read it hands it on; a verdict that starts from bytes reads them once."""
    draft = book.swap()
    tx = draft.tx()
    known = spells.parse(tx)
    assert known is not None
    read: list[int] = []
    real = spells.read

    def counted(tx: Tx, index: int, raw: bytes) -> Spell:
        read.append(index)
        return real(tx, index, raw)

    monkeypatch.setattr(spells, "read", counted)
    draft.check()
    assert len(read) == 1
    prevouts = [prevout for _, prevout in draft.inputs]
    checked = rules.correct(
        tx,
        prevouts,
        book.BUNDLES,
        draft.record,
        draft.height,
        NETWORK,
        rules=book.RULES,
        verify=book.yes,
        spell=known,
    )
    assert len(read) == 1
    assert checked.contract(POOL).action is not None
