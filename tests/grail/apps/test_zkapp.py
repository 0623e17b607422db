"""Apps that are wrong: ten whose constraint fails, each named by its line, and what never compiles."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from grail import native
from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import Kind, Transaction, ZkApp, action, trace
from grail.crypto.poseidon import poseidon as hash_of
from grail.errors import InvalidInput, Unsatisfied
from grail.zk.gadgets.bits import Bool, equal, select, to_bits
from grail.zk.gadgets.integers import divide, select_uint
from grail.zk.gadgets.merkle import assert_member
from grail.zk.gadgets.poseidon import poseidon

BOX = Kind(0, (("n", "u64"), ("open", "bool"), ("wide", "u128"), ("owner", "id"), ("note", "blob")))

# ------------------------------------------------------------------ ten broken apps


class Equality(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_equal(tx.arg(0) + 1)  # BREAKS: one unit too much


class Order(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_less(
            tx.arg(0)  # the call above is the line that counts
        )


class Underflow(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        fee = tx.arg(0) - 1_000  # BREAKS: a fee larger than the amount
        (tx.supply_out - tx.supply_in).assert_at_least(fee)


class Width(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        bits = to_bits(tx.arg(0).field, 8)  # BREAKS: 700 needs ten
        tx.supply_out.field.assert_equal(tx.arg(0).field * bits[2].field)


class Division(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        share, _ = divide(tx.arg(0), tx.supply_in)  # BREAKS: the supply is zero
        share.assert_at_most(tx.supply_out)


class Helper(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        at_most_half(tx)


def at_most_half(tx: Transaction) -> None:
    (tx.supply_out * 2).assert_at_most(tx.arg(0), "more than half")  # BREAKS in a helper


class Choice(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        double = tx.private_bool("double")
        expected = select_uint(double, tx.arg(0) * 2, tx.arg(0))
        tx.supply_out.assert_equal(expected)  # BREAKS: the prover says double


class Nonzero(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_out.assert_equal(tx.arg(0))
        tx.supply_in.assert_nonzero("nothing to burn")  # BREAKS


class Member(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        siblings = tx.private_fields("siblings", 2)
        rights = tx.private_bools("rights", 2)
        root = hash_of([hash_of([hash_of([700]), 1]), 2])
        assert_member(tx.arg(0).field, siblings, rights, root)  # BREAKS: a wrong sibling
        tx.supply_out.assert_equal(tx.arg(0))


class Preimage(ZkApp):
    @action(0, changes="t", args=1, fresh=True)
    def run(self, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        secret = tx.private_field("secret", secret=True)
        for word in (secret, secret + 1):
            answer = poseidon([word, tx.arg(0).field])
            answer.assert_equal(hash_of([31337, 700]))  # BREAKS in the second round
        tx.supply_out.assert_equal(tx.arg(0))


Private = dict[str, int | list[int]]
BROKEN: list[tuple[type[ZkApp], Private, dict[str, int]]] = [
    (Equality, {}, {"supply(out,t)": 700, "(arg(0) + 1)": 701}),
    (Order, {}, {"supply(out,t)": 700, "arg(0)": 700}),
    (Underflow, {}, {"arg(0)": 700, "right": 1_000}),
    (Width, {}, {"arg(0)": 700}),
    (Division, {}, {"arg(0)": 700, "supply(in,t)": 0}),
    (Helper, {}, {"(2 * supply(out,t))": 1_400, "arg(0)": 700}),
    (Choice, {"double": 1}, {"supply(out,t)": 700}),
    (Nonzero, {}, {"supply(in,t)": 0}),
    (Member, {"siblings": [1, 3], "rights": [0, 0]}, {"arg(0)": 700}),
    (Preimage, {"secret": 31337}, {}),
]


def line_that_breaks(app: type[ZkApp]) -> int:
    """The line marked BREAKS, or the one before the mark of a call that spans lines."""
    source = at_most_half if app is Helper else app
    lines, first = inspect.getsourcelines(source)
    for offset, line in enumerate(lines):
        if "# BREAKS" in line:
            return first + offset
        if "# the call above" in line:
            return first + offset - 1
    raise AssertionError(app)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("circuits")


FACTS = {"fresh()": 1, "arg(0)": 700, "supply(in,t)": 0, "supply(out,t)": 700}


def facts_of(compiled: CompiledApp) -> list[int]:
    return [FACTS[label] for label in compiled.circuits["run"].facts]


@pytest.mark.parametrize(
    ("app", "private", "values"), BROKEN, ids=[app.__name__ for app, _, _ in BROKEN]
)
def test_a_failed_constraint_names_file_line_and_values(
    app: type[ZkApp], private: Private, values: dict[str, int], folder: Path
) -> None:
    compiled = compile_app(app, cache=folder)
    for refuse in (compiled.prove, compiled.check):
        with pytest.raises(Unsatisfied) as caught:
            refuse("run", bytes(32), facts_of(compiled), private)
        error = caught.value
        assert error.file == __file__
        assert error.line == line_that_breaks(app)
        assert {name: error.values.get(name) for name in values} == values
        assert f"test_zkapp.py:{error.line}: " in str(error)


def test_Z21_the_secret_of_a_failed_proof_is_not_in_the_error(folder: Path) -> None:
    compiled = compile_app(Preimage, cache=folder)
    with pytest.raises(Unsatisfied) as caught:
        compiled.prove("run", bytes(32), facts_of(compiled), {"secret": 31337})
    assert "31337" not in str(caught.value)
    assert "31337" not in str(caught.value.values)


# ------------------------------------------------------------------ what never compiles

Method = Callable[[ZkApp, Transaction], None]


def app_of(method: Method, **declared: object) -> type[ZkApp]:
    return type("Made", (ZkApp,), {"run": action(0, **declared)(method)})  # type: ignore[arg-type]


def refused(method: Method, match: str, **declared: object) -> InvalidInput:
    app = app_of(method, **declared)
    with pytest.raises(InvalidInput, match=match) as caught:
        trace(app, app.actions()[0])
    assert f"{__file__}:" in str(caught.value)
    return caught.value


def touch_all(tx: Transaction) -> None:
    tx.fresh.assert_true()
    tx.supply_in.assert_equal(0)
    tx.supply_out.assert_equal(tx.arg(0))


ISSUE = {"changes": "t", "args": 1, "fresh": True}


def test_Z5_an_idle_fact_is_a_compile_error() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_equal(5)

    error = refused(run, r"states nothing about arg\(0\)", **ISSUE)
    assert "free(fact, reason)" in error.hint


def test_Z5_a_range_check_alone_leaves_a_fact_idle() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_equal(5)
        _unused = tx.arg(0).field

    refused(run, r"states nothing about arg\(0\)", **ISSUE)


def test_Z5_a_product_that_nothing_uses_leaves_a_fact_idle() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_equal(5)
        _unused = tx.arg(0) * tx.supply_out

    refused(run, r"states nothing about arg\(0\)", **ISSUE)


def test_Z5_a_supply_equal_to_what_the_prover_likes_is_idle() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.arg(0).assert_nonzero()
        tx.supply_out.assert_equal(tx.private_uint("whatever"))

    refused(run, r"states nothing about supply\(out,t\)", **ISSUE)


def test_Z5_a_changed_supply_cannot_be_freed() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.arg(0).assert_nonzero()
        tx.free(tx.supply_out, "whoever likes to")

    refused(run, "a supply that the action changes", **ISSUE)


def test_Z5_the_state_of_a_port_cannot_be_left_free() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.free(tx.port_out(BOX).uint("n"), "nobody reads it")

    refused(
        run, r"state\(out,0,0,n\) is the state that a port is left with", gives={BOX: 1}, fresh=True
    )


def test_Z5_a_port_without_statements_is_refused() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()

    refused(run, r"sats\(out,0,0\), state\(out,0,0,n\)", gives={BOX: 1}, fresh=True)


def test_a_freed_fact_is_reported_with_its_reason(folder: Path) -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        tx.fresh.assert_true()
        tx.supply_in.assert_equal(0)
        tx.supply_out.assert_equal(5)
        tx.free(tx.arg(0), "a note for people")

    compiled = compile_app(app_of(run, **ISSUE), cache=folder)
    assert compiled.circuits["run"].free == (("arg(0)", "a note for people"),)
    report = compiled.report()
    assert "free: arg(0), a note for people" in report
    assert "can forge" in report
    assert compiled.vk.hex() in report


def test_freeing_what_is_constrained_is_refused() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        touch_all(tx)
        tx.free(tx.arg(0), "not true")

    refused(run, "frees arg.* and constrains it too", **ISSUE)


@pytest.mark.parametrize("reason", ["", "  "])
def test_freeing_needs_a_fact_and_a_reason(reason: str) -> None:
    def unexplained(_: ZkApp, tx: Transaction) -> None:
        tx.free(tx.arg(0), reason)

    def no_fact(_: ZkApp, tx: Transaction) -> None:
        tx.free(tx.private_field("x"), "because")

    refused(unexplained, "a fact and a reason", **ISSUE)
    refused(no_fact, "a fact and a reason", **ISSUE)


def test_an_idle_private_input_is_a_compile_error() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        touch_all(tx)
        tx.private_uint("x")

    refused(run, "nothing about its private input x", **ISSUE)


def test_Z19_a_comparison_without_assert_is_a_compile_error() -> None:
    def run(_: ZkApp, tx: Transaction) -> None:
        touch_all(tx)
        _unused = tx.arg(0) >= 5

    error = refused(run, "a comparison whose answer nothing uses", **ISSUE)
    assert "assert_true" in error.hint


def test_Z19_python_control_flow_is_a_compile_error() -> None:
    def branches(_: ZkApp, tx: Transaction) -> None:
        if tx.arg(0) < 5:
            touch_all(tx)

    def asserts(_: ZkApp, tx: Transaction) -> None:
        touch_all(tx)
        assert tx.arg(0) == 700

    for method in (branches, asserts):
        app = app_of(method, **ISSUE)
        with pytest.raises(InvalidInput, match="it has no value yet"):
            trace(app, app.actions()[0])


def test_what_is_not_declared_cannot_be_read() -> None:
    reads: list[Callable[[Transaction], object]] = [
        lambda tx: tx.height,
        lambda tx: tx.arg(1),
        lambda tx: tx.rows,
        lambda tx: tx.pay(0),
        lambda tx: tx.signer(0),
        lambda tx: tx.plain_in,
        lambda tx: tx.net,
        lambda tx: tx.self_id,
        lambda tx: tx.port_in(BOX).sats,
    ]
    for read in reads:

        def run(_: ZkApp, tx: Transaction, read: Callable[[Transaction], object] = read) -> None:
            read(tx)

        app = app_of(run, **ISSUE)
        with pytest.raises(InvalidInput, match="action run"):
            trace(app, app.actions()[0])


def test_two_actions_of_one_number_are_refused() -> None:
    class Twice(ZkApp):
        @action(0, **ISSUE)  # type: ignore[arg-type]
        def one(self, tx: Transaction) -> None:
            touch_all(tx)

        @action(0, **ISSUE)  # type: ignore[arg-type]
        def two(self, tx: Transaction) -> None:
            touch_all(tx)

    with pytest.raises(InvalidInput, match="share a number"):
        Twice.actions()
    with pytest.raises(InvalidInput, match="declares no action"):
        ZkApp.actions()


# ------------------------------------------------------------------ every kind of fact at once


class Everything(ZkApp):
    BOX = BOX

    @action(
        7,
        takes={BOX: 1},
        gives={BOX: 1},
        changes="nt",
        tokens=("zkbtc", BOX.token("owner")),
        plain=True,
        rows=2,
        terms=2,
        row_tokens=("t", "zkbtc"),
        pays=1,
        pay_tokens=("zkbtc",),
        signers=1,
        args=2,
        fresh=True,
        height=True,
        self_id=True,
        net=True,
    )
    def run(self, tx: Transaction) -> None:
        old, new = tx.port_in(BOX), tx.port_out(BOX)
        new.uint("n").assert_equal(old.uint("n") + 1)
        (old.bool("open") & ~new.bool("open")).assert_true()
        new.uint("wide").assert_at_least(old.uint("wide"))
        new.id("owner").assert_equal(tx.signer(0))
        old.id("owner").assert_equal(tx.self_id + tx.net)
        select(new.bool("open"), new.blob("note"), old.blob("note")).assert_equal(55)
        new.blob("note").assert_nonzero()
        for port in (old, new):
            for token in ("t", "zkbtc", BOX.token("owner")):
                port.units(token).assert_equal(3)
            port.sats.assert_equal(1_000)
        pay = tx.pay(0)
        equal(pay.script, tx.signer(0)).assert_true()
        pay.sats.assert_at_least(330)
        pay.units[0].assert_equal(tx.arg(1))
        tx.arg(0).assert_less(tx.height)
        tx.fresh.assert_false()
        (tx.plain_in + tx.supply_out).assert_equal(tx.plain_out + tx.supply_in)
        total = Bool.constant(False).field
        for row in tx.rows:
            total = total + row.present.field
            own, zkbtc = row.units_in
            own.assert_equal(row.units_paid[0])
            zkbtc.assert_equal(row.units_paid[1] + row.terms[1])
            row.sats_in.assert_equal(row.sats_paid + row.terms[0])
        tx.row_count.field.assert_equal(total)


def test_facts_stand_in_the_descriptors_order() -> None:
    """Labels and values of every fact kind, by position, against the protocol's own list."""
    traced = trace(Everything, Everything.actions()[0])
    assert traced.facts == (
        *("fresh()", "height()", "self()", "net()"),
        *("plain(in)", "plain(out)"),
        *("signer(0)", "arg(0)", "arg(1)"),
        *("supply(in,t)", "supply(out,t)"),
        "rows.count",
        *(
            f"row[{i}].{part}"
            for i in range(2)
            for part in (
                "present",
                "sats_in",
                "sats_paid",
                "units_in(t)",
                "units_paid(t)",
                "units_in(zkbtc)",
                "units_paid(zkbtc)",
                "term[0]",
                "term[1]",
            )
        ),
        *("pay(0).script", "pay(0).sats", "pay(0).units(zkbtc)"),
        *("sats(in,0,0)", "sats(out,0,0)"),
        *(f"state({s},0,0,{f})" for s in ("in", "out") for f, _ in BOX.fields),
        *(f"units({s},0,0,{t})" for s in ("in", "out") for t in ("t", "zkbtc", "field(0,0,owner)")),
    )


def test_every_kind_of_fact_is_proven(folder: Path) -> None:
    compiled = compile_app(Everything, cache=folder)
    values = dict.fromkeys(compiled.circuits["run"].facts, 0)
    values |= {
        "height()": 500,
        "self()": 40,
        "net()": 2,
        "arg(0)": 499,
        "arg(1)": 7,
        "signer(0)": 99,
        "pay(0).script": 99,
        "pay(0).sats": 330,
        "pay(0).units(zkbtc)": 7,
        "sats(in,0,0)": 1_000,
        "sats(out,0,0)": 1_000,
        "state(in,0,0,n)": 8,
        "state(out,0,0,n)": 9,
        "state(in,0,0,open)": 1,
        "state(in,0,0,wide)": 1 << 100,
        "state(out,0,0,wide)": 1 << 127,
        "state(in,0,0,owner)": 42,
        "state(out,0,0,owner)": 99,
        "state(in,0,0,note)": 55,
        "state(out,0,0,note)": 1,
        "plain(in)": 5,
        "plain(out)": 2,
        "supply(out,t)": 10,
        "supply(in,t)": 13,
        "rows.count": 1,
        "row[0].present": 1,
        "row[0].sats_in": 9,
        "row[0].sats_paid": 4,
        "row[0].term[0]": 5,
        "row[0].units_in(t)": 6,
        "row[0].units_paid(t)": 6,
        "row[0].units_in(zkbtc)": 8,
        "row[0].units_paid(zkbtc)": 6,
        "row[0].term[1]": 2,
    }
    values |= {name: 3 for name in values if name.startswith("units(")}
    compiled.prove("run", bytes(32), list(values.values()))
    open_above = {"height()", "pay(0).sats", "state(out,0,0,note)"}
    open_above |= {"state(in,0,0,wide)", "state(out,0,0,wide)"}
    circuit = compiled.circuits["run"]
    for name in values.keys() - open_above:
        changed = values | {name: values[name] + (1 << 20)}
        inputs = circuit.inputs(bytes(32), list(changed.values()), {})
        assert native.r1cs_check(circuit.r1cs, circuit.prover.witness(inputs)) is not None


def test_state_by_name() -> None:
    charm = BOX.state(n=1, open=True, wide=1 << 100, owner=bytes(32), note=b"hi")
    assert charm == [0, 1, True, 1 << 100, bytes(32), b"hi"]
    assert BOX.read(charm)["note"] == b"hi"
    with pytest.raises(InvalidInput, match="expected"):
        BOX.state(n=1)
    with pytest.raises(InvalidInput, match="no id"):
        BOX.token("n")
    with pytest.raises(InvalidInput, match="no field"):
        BOX.token("nothing")
