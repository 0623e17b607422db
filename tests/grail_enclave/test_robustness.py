"""Any bytes in, a typed refusal out: process alive, state unchanged, nothing told, bounded work."""

from __future__ import annotations

import ast
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from enclave_world import KEYS, World, rule, sign, vote
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import grail_enclave
from grail import codec
from grail.errors import Incorrect, InvalidInput, Refused
from grail.operators import frames
from grail.operators.evidence import SigningRequest, TxEvidence
from grail.operators.frames import Frame
from grail.operators.rounds import Acceptor
from grail.types import OutPoint, Txid
from grail_enclave import checks, keys
from grail_enclave.case import Case
from grail_enclave.checks import RULES, Rule, Stage, admit, conclude
from grail_enclave.enclave import Enclave

PACKAGE = Path(grail_enclave.__file__).parent


@pytest.fixture(scope="module")
def request_(shared: World) -> SigningRequest:
    return shared.request(shared.peg_in(*shared.paid()))


@pytest.fixture(scope="module")
def target(shared: World, request_: SigningRequest) -> Enclave:  # noqa: ARG001
    """One enclave that takes all the hostile bytes of this module."""
    return shared.enclave()


def hostile(enclave: Enclave, raw: bytes) -> str:
    """The rule that refuses the bytes; the state stays, and no secret is in the reply."""
    before = enclave.state_hash()
    reply = enclave.reply(raw)
    answer = reply.serialize()
    assert enclave.state_hash() == before
    assert KEYS[0]._secret.secret not in answer
    return "" if reply.refusal is None else reply.refusal.rule


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.binary(max_size=80)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=st.binary(max_size=300))
def test_A14_any_bytes_as_a_frame(target: Enclave, raw: bytes) -> None:
    assert hostile(target, raw) == "FrameInvalid"


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kind=st.sampled_from(frames.KINDS), body=values)
def test_A14_any_value_as_a_body(target: Enclave, kind: str, body: object) -> None:
    """Well-formed CBOR of every shape in every kind of frame."""
    try:
        raw = Frame(kind, body).serialize()
    except InvalidInput:
        return
    name = hostile(target, raw)
    assert name != "InternalError"
    harmless = {(frames.STATUS, ""), (frames.HEADERS, ""), (frames.BODY, "")}
    assert name or (kind, name) in harmless


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_A14_good_request_with_bytes_changed(
    target: Enclave, request_: SigningRequest, data: st.DataObject
) -> None:
    """Flips, cuts and repeats inside a good vote frame: refused by name, never an internal error."""
    raw = bytearray(Frame(frames.VOTE, request_.serialize()).serialize())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "repeat", "zero"])):
            case "flip":
                raw[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 40))]
            case "repeat":
                raw[at:at] = raw[at : at + data.draw(st.integers(1, 40))]
            case _:
                raw[at : at + 8] = bytes(len(raw[at : at + 8]))
        if not raw:
            return
    if bytes(raw) == Frame(frames.VOTE, request_.serialize()).serialize():
        return
    enclave = target
    before = enclave.state_hash()
    reply = enclave.reply(bytes(raw))
    if reply.refusal is None:
        # A change that no rule reads, such as another witness of the deposit's own parent.
        assert enclave.state_hash() != before or reply.body is not None
        return
    assert reply.refusal.rule != "InternalError"
    assert enclave.state_hash() == before


def test_A14_next_request_is_served(target: Enclave, request_: SigningRequest) -> None:
    """After all of the above."""
    for raw in (b"", b"\xff" * 1_000, b"\x82", codec.encode(["vote", None]), b"\x9f" * 5_000):
        assert hostile(target, raw) == "FrameInvalid"
    assert vote(target, request_).refusal is None


def test_A14_deep_nesting(target: Enclave) -> None:
    assert hostile(target, b"\x81" * 100_000 + b"\x00") == "FrameInvalid"
    assert hostile(target, b"\x82\x64vote" + b"\x81" * 1_000 + b"\x00") == "FrameInvalid"


def test_S34_state_after_each_refusal(shared: World, request_: SigningRequest) -> None:
    """A request that fails at any rule, late ones included, leaves the state as it was."""

    @dataclass(frozen=True)
    class Failing:
        inner: Rule

        @property
        def name(self) -> str:
            return self.inner.name

        @property
        def step(self) -> int:
            return self.inner.step

        @property
        def threats(self) -> tuple[str, ...]:
            return self.inner.threats

        @property
        def stages(self) -> frozenset[Stage]:
            return self.inner.stages

        def check(self, case: Case) -> object:
            self.inner.check(case)
            raise Refused(self.name, "made to fail")

    votes = shared.voted(request_)
    for index, inner in enumerate(RULES):
        broken = (*RULES[:index], Failing(inner), *RULES[index + 1 :])
        enclave = shared.enclave()
        enclave._rules = broken
        before = enclave.state_hash()
        if Stage.SIGN in inner.stages:
            assert rule(sign(enclave, request_, votes)) == inner.name
            assert enclave.state_hash() == before
        if Stage.ADMIT in inner.stages and inner.step < checks.VOTING_STEP:
            assert rule(vote(enclave, request_)) == inner.name
            assert enclave.state_hash() == before


@pytest.mark.parametrize(
    "fault",
    [RuntimeError("boom"), KeyError("x"), AssertionError(), ZeroDivisionError(), MemoryError()],
)
@pytest.mark.parametrize("index", range(len(RULES)))
def test_S35_check_that_raises_is_no_check_that_passed(
    shared: World, request_: SigningRequest, index: int, fault: Exception
) -> None:
    """Whatever a check raises, and if it returns nothing: no vote, no signature."""

    class Raising:
        def __init__(self, inner: Rule) -> None:
            self.name, self.step = inner.name, inner.step
            self.threats, self.stages = inner.threats, frozenset(Stage)

        def check(self, case: Case) -> object:  # noqa: ARG002
            raise fault

    class Silent(Raising):
        def check(self, case: Case) -> object:  # noqa: ARG002
            return None

    case = Case(request_, shared.enclave().anchors())
    for kind in (Raising, Silent):
        rules = (*RULES[:index], kind(RULES[index]), *RULES[index + 1 :])
        with pytest.raises(Exception):  # noqa: B017, PT011
            run_all(case, rules)


def run_all(case: Case, rules: tuple[Rule, ...]) -> None:
    fresh = Case(case.request, case.anchors)
    admit(fresh, Stage.ADMIT, rules)
    conclude(fresh, Stage.ADMIT, rules)
    conclude(fresh, Stage.SIGN, rules)


def test_S35_check_that_is_left_out(shared: World, request_: SigningRequest) -> None:
    """Without a rule, what it establishes is missing: either a later one refuses, or the start did."""
    enclave = shared.enclave()
    votes = shared.voted(request_)
    for index, left in enumerate(RULES):
        enclave = shared.enclave()
        enclave._rules = (*RULES[:index], *RULES[index + 1 :])
        reply = sign(enclave, request_, votes)
        needed = {"Parsed", "Shaped", "Spent", "Placed", "Spelled", "Charmed", "CheckedTx", "Fee"}
        if left.check.__annotations__["return"] in {*needed, "Decision"} and left.step != 6:
            assert rule(reply) in {"Unchecked", "NotDecided"}, left.name


def test_S35_internal_fault_is_a_refusal_without_words(
    shared: World, request_: SigningRequest
) -> None:
    """An exception that nobody foresaw becomes a signed refusal that holds its type alone."""

    class Broken:
        name, step, threats, stages = "PsbtInvalid", 1, (), frozenset(Stage)

        def check(self, case: Case) -> object:
            raise RuntimeError(f"secret of {case.request.psbt.hex()}")

    enclave = shared.enclave()
    enclave._rules = (Broken(), *RULES[1:])
    reply = vote(enclave, request_)
    assert rule(reply) == "InternalError"
    assert reply.refusal is not None
    assert reply.refusal.message == "RuntimeError"


def test_S3_every_rule_runs_at_every_enclave(shared: World, request_: SigningRequest) -> None:
    """A vote runs steps 1 to 17, a signature 1 to 14 and 18; the trace shows it."""
    seen: list[tuple[str, str]] = []
    enclave = shared.enclave()

    def trace(_digest: bytes, name: str, verdict: str, _ns: int) -> None:
        seen.append((name, verdict))

    enclave._trace = trace
    vote(enclave, request_).unwrap()
    passed = [name for name, verdict in seen if verdict == "passed"]
    assert passed == [each.name for each in RULES if Stage.ADMIT in each.stages]
    assert {each.step for each in RULES if Stage.ADMIT in each.stages} == {
        1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17,
    }  # fmt: skip
    assert {each.step for each in RULES if Stage.SIGN in each.stages} == {
        1, 2, 3, 4, 6, 7, 8, 13, 14, 18,
    }  # fmt: skip


def test_S33_costly_requests_are_cheap_to_refuse(shared: World, request_: SigningRequest) -> None:
    """A megabyte of evidence that leads nowhere costs less than a hundred honest votes."""
    enclave = shared.enclave()
    filler = tuple(
        TxEvidence(replace(shared.deploy, locktime=n).serialize()) for n in range(1, 200)
    )
    started = time.process_time()
    honest = vote(enclave, request_)
    one = time.process_time() - started
    assert honest.refusal is None
    enclave = shared.enclave()
    started = time.process_time()
    vote(enclave, replace(request_, evidence=(*request_.evidence, *filler)))
    assert time.process_time() - started < 100 * one + 0.5


def test_A15_no_debug_verbs() -> None:
    """The kinds of frames are these; none dumps, resets or configures."""
    assert set(frames.KINDS) == {
        "status",
        "headers",
        "first_roster/sign",
        "first_roster/accept",
        "next_roster/sign",
        "next_roster/agree",
        "link/dial",
        "link/answer",
        "link/carry",
        "tick",
        "roster/say",
        "roster/expect",
        "roster/images",
        "roster/leave",
        "roster/view",
        "record",
        "vote",
        "open",
        "promise",
        "ballot",
        "sign",
        "body",
        "spent",
        "history",
        "hello",
        "grant",
        "newest",
        "recover",
        "restore",
    }


def test_I8_secrets_have_no_text_form() -> None:
    """Neither the key, nor the sealer, nor the enclave shows a secret when printed or pickled."""
    sealer = keys.MemorySealer()
    pair = keys.draw(sealer)
    secret = pair._secret.secret
    for thing in (pair, sealer):
        assert secret.hex() not in repr(thing)
        assert str(secret) not in repr(thing)
    ticket = sealer.seal("name", b"first")
    assert sealer.open("name", ticket) == b"first"
    second = sealer.seal("name", b"second")
    for stale in (ticket, b"", bytes(32)):
        with pytest.raises(Incorrect):
            sealer.open("name", stale)
    assert sealer.open("name", second) == b"second"
    with pytest.raises(Incorrect):
        sealer.open("other", second)


def test_A12_two_starts_draw_two_keys() -> None:
    drawn = {keys.draw(keys.MemorySealer()).public for _ in range(20)}
    assert len(drawn) == 20


WALL_CLOCK = re.compile(
    r"\b(time\.(time|time_ns|localtime|gmtime|ctime|strftime|sleep)|datetime|from time import|calendar|CLOCK_REALTIME|CLOCK_TAI)\b"
)


def test_R16_no_wall_clock_in_the_package() -> None:
    """Host time decides nothing here: the package names no wall clock, only monotonic ones."""
    for path in PACKAGE.rglob("*.py"):
        assert not WALL_CLOCK.search(path.read_text()), path.name
    assert WALL_CLOCK.search("x = time.time()")


def test_no_environment_decides_anything() -> None:
    """No setting comes in by environment or by an import that is not the protocol's (A13)."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"environ", "getenv", "environb"}, path.name


def test_refusals_are_signed_over_the_frame(shared: World) -> None:
    """A refusal names the very frame it answers and verifies for no other."""
    enclave = shared.enclave()
    raw = Frame(frames.VOTE, b"junk").serialize()
    refusal = enclave.reply(raw).refusal
    assert refusal is not None
    refusal.verify(shared.network.id, KEYS[0].public, Frame.parse(raw).subject)
    with pytest.raises(Incorrect):
        refusal.verify(shared.network.id, KEYS[0].public, bytes(32))
    with pytest.raises(Incorrect):
        replace(refusal, rule="Other").verify(
            shared.network.id, KEYS[0].public, Frame.parse(raw).subject
        )


def test_I12_the_state_is_of_every_roster_that_was_on_record(
    shared: World, request_: SigningRequest
) -> None:
    """What was voted for under a record that a reorganisation took away is part of it, too."""
    enclave = shared.enclave()
    vote(enclave, request_).unwrap()
    (acting,) = enclave._acceptors.values()
    other = replace(acting.scope, roster=OutPoint(Txid(bytes(32)), 0))
    enclave._acceptors[other] = Acceptor(other, KEYS[0], enclave._spent_log())
    before = enclave.state_hash()
    acting.memory.release(next(iter(acting.memory.known)))
    assert enclave.state_hash() != before
