"""Compiled apps: proofs bind every public input, the cache may be damaged, the protocol's vectors hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from circuits import DIGEST, SHIPPED, compiled, ordered, pool_step

from grail.apps.compiler import compile_app
from grail.apps.pool import Pool, PoolState, quote_remove
from grail.apps.token import Token
from grail.apps.zkapp import Transaction, ZkApp, action, trace
from grail.apps.zkbtc import ZkBtc
from grail.charms.descriptor import Bundle
from grail.charms.facts import chain
from grail.errors import InvalidInput, ProofInvalid
from grail.zk import groth16
from grail.zk.field import MODULUS

APPS: dict[str, type[ZkApp]] = {"zkBTC": ZkBtc, "TOK": Token, "POOL": Pool}
ISSUED = [1, 7, 0, 7]


@pytest.fixture(scope="session")
def golden(vectors: Path) -> list[tuple[type[ZkApp], str, list[int], int | None]]:
    """App, action, facts and F of every transaction of the protocol's vectors that our apps have."""
    file = json.loads((vectors / "protocol" / "facts.json").read_text())
    found: list[tuple[type[ZkApp], str, list[int], int | None]] = []
    for case in file["expansions"]:
        app, name = APPS.get(case["contract"]), case["action_name"]
        if app is None or name not in compiled(app).circuits:
            continue
        facts = [int(fact["value"]) for fact in case["facts"]]
        if app is Token:  # ours states the supply as an argument, the vectors' token does not
            found.append((app, name, [facts[0], facts[2], *facts[1:]], None))
        else:
            found.append((app, name, facts, int(case["F"])))
    # the story takes nothing out of its pool again: a step of our own
    pool = PoolState(bytes([1] * 32), bytes([2] * 32), 150_000, 600_000_000, 9_486_832)
    removed = quote_remove(pool, 1_000)
    step = pool_step(pool, removed.after, burned=1_000)
    found.append((Pool, "remove", ordered(Pool, "remove", step), None))
    return found


def publics(facts: list[int]) -> list[int]:
    halves = [int.from_bytes(half, "big") for half in (DIGEST[:16], DIGEST[16:])]
    return [*halves, chain(facts)]


def test_Z5_proofs_of_the_protocols_story_bind_every_public_input(
    golden: list[tuple[type[ZkApp], str, list[int], int | None]],
) -> None:
    """Each transaction of the vectors is proven; change any one public input and it fails."""
    proven = set()
    for app, name, facts, expected in golden:
        circuit = compiled(app).circuits[name]
        proof = compiled(app).prove(name, DIGEST, facts, {"a_to_b": 1} if name == "swap" else {})
        given = publics(facts)
        if expected is not None:
            assert given[2] == expected
        groth16.verify(circuit.vk, given, proof)
        proven.add((app, name))
        for i in range(3):
            for wrong in ((given[i] + 1) % MODULUS, 0, given[i] ^ 1):
                changed = [*given]
                changed[i] = wrong
                with pytest.raises(ProofInvalid):
                    groth16.verify(circuit.vk, changed, proof)
    assert proven == {(app, name) for app in SHIPPED for name in compiled(app).circuits}


def test_Z1_shipped_circuits_have_no_free_signal(
    golden: list[tuple[type[ZkApp], str, list[int], int | None]],
) -> None:
    seen = set()
    for app, name, facts, _ in golden:
        if (app, name) in seen:
            continue
        seen.add((app, name))
        (spec,) = (spec for spec in app.actions() if spec.name == name)
        traced = trace(app, spec)
        inputs = traced.inputs(DIGEST, facts, {"a_to_b": 1} if name == "swap" else {})
        assert traced.circuit.free_signals(inputs) == ()


def test_the_bundle_says_what_the_apps_declare() -> None:
    for app in SHIPPED:
        done = compiled(app)
        again = Bundle.parse(done.bundle.serialize())
        assert again.vk == done.vk == done.bundle.vk
        assert again.setup.single_party
        for spec in app.actions():
            described = again.action(spec.name)
            assert described.facts == spec.facts
            assert described.vk == done.circuits[spec.name].vk
            groth16.check_key(described.vk, 3)
    assert compiled(ZkBtc).bundle.backed == "t"
    assert compiled(Pool).bundle.backed is None


@pytest.mark.parametrize("contract", ["zkBTC", "POOL"])
def test_descriptors_agree_with_the_protocols_vectors(vectors: Path, contract: str) -> None:
    """Kinds, actions, facts and counts are those of the second model, keys aside."""
    file = json.loads((vectors / "protocol" / "facts.json").read_text())
    (cbor,) = (b["cbor"] for b in file["bundles"] if b["name"] == contract)
    theirs = Bundle.parse(bytes.fromhex(cbor))
    ours = compiled(APPS[contract]).bundle
    assert ours.kinds == theirs.kinds
    assert ours.backed == theirs.backed
    for number, mine in ours.actions.items():
        other = theirs.actions[number].to_cbor()
        assert {**mine.to_cbor(), "vk": b""} == {**other, "vk": b""}


def test_the_figures_of_the_design_hold() -> None:
    swap = compiled(Pool).circuits["swap"]
    assert len(swap.facts) == 24
    assert swap.constraints < 4_096
    settle = compiled(ZkBtc).circuits["settle"]
    assert len(settle.facts) == 101
    assert settle.constraints < 12_000


def test_Z21_two_proofs_of_one_witness_differ() -> None:
    first, second = (compiled(Token).prove("issue", DIGEST, ISSUED) for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("digest", "facts", "private"),
    [
        (bytes(31), ISSUED, {}),
        (bytes(33), ISSUED, {}),
        (DIGEST, ISSUED[:3], {}),
        (DIGEST, [*ISSUED, 0], {}),
        (DIGEST, [1, MODULUS + 7, 0, 7], {}),
        (DIGEST, [1, -7, 0, 7], {}),
        (DIGEST, ISSUED, {"unknown": 1}),
        (DIGEST, ISSUED, {"many": [1, 2]}),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    digest: bytes, facts: list[int], private: dict[str, int | list[int]]
) -> None:
    for ask in (compiled(Token).prove, compiled(Token).check):
        with pytest.raises(InvalidInput):
            ask("issue", digest, facts, private)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected"):
        compiled(Token).prove("burn", DIGEST, ISSUED)


# ------------------------------------------------------------------ on disk


def test_a_second_compile_reads_what_the_first_wrote(tmp_path: Path) -> None:
    first = compile_app(Token, cache=tmp_path)
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    second = compile_app(Token, cache=tmp_path)
    assert second.bundle == first.bundle
    assert second.circuits["issue"].facts == first.circuits["issue"].facts
    second.prove("issue", DIGEST, ISSUED)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    assert tmp_path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["cut", "bent", "gone", "empty"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    vk = compile_app(Token, cache=tmp_path).vk
    for path in tmp_path.iterdir():
        raw = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            bent = bytes([*raw[:-1], raw[-1] ^ 1])
            path.write_bytes({"cut": raw[: len(raw) // 2], "bent": bent, "empty": b""}[damage])
    again = compile_app(Token, cache=tmp_path)
    assert again.vk == vk
    proof = again.prove("issue", DIGEST, ISSUED)
    groth16.verify(again.circuits["issue"].vk, publics(ISSUED), proof)


def test_parts_that_vanish_after_loading_are_made_again(tmp_path: Path) -> None:
    compile_app(Token, cache=tmp_path)
    loaded = compile_app(Token, cache=tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    groth16.verify(
        loaded.circuits["issue"].vk, publics(ISSUED), loaded.prove("issue", DIGEST, ISSUED)
    )


def test_a_folder_that_cannot_be_written_to_is_no_fault(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    assert compile_app(Token, cache=blocked / "circuits").vk == compiled(Token).vk


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Planted circuits would make contracts of somebody else's."""
    tmp_path.chmod(0o755)
    with pytest.raises(InvalidInput, match="expected 0700"):
        compile_app(Token, cache=tmp_path)
    elsewhere = tmp_path / "link"
    elsewhere.symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="a link"):
        compile_app(Token, cache=elsewhere)


def test_another_seed_makes_another_contract(tmp_path: Path) -> None:
    other = compile_app(Token, setup_seed=b"another", cache=tmp_path)
    assert other.vk != compiled(Token).vk
    assert other.circuits["issue"].vk != compiled(Token).circuits["issue"].vk
    proof = other.prove("issue", DIGEST, ISSUED)
    with pytest.raises(ProofInvalid):
        groth16.verify(compiled(Token).circuits["issue"].vk, publics(ISSUED), proof)


def test_an_app_of_ones_own_is_traced_anew(tmp_path: Path) -> None:
    """What a foreign module depends on is unknown, so its circuits are never taken from a manifest."""

    def made(limit: int) -> type[ZkApp]:
        class Limited(ZkApp):
            @action(0, changes="t", args=1, fresh=True)
            def issue(self, tx: Transaction) -> None:
                tx.fresh.assert_true()
                tx.supply_in.assert_equal(0)
                tx.arg(0).assert_at_most(limit)
                tx.supply_out.assert_equal(tx.arg(0))

        return Limited

    vks = {compile_app(made(limit), cache=tmp_path).vk for limit in (10, 11, 10)}
    assert len(vks) == 2
    assert not list(tmp_path.glob("*.app"))
