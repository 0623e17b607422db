"""Every refusal at the enclave's socket: bytes in, a signed refusal out, by exactly one rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from socket_attacks import attacks_of_all_steps, names
from socket_attacks.page import PAGE, page
from socket_attacks.registry import Attack, Removal, Target, removed
from socket_attacks.scene import Scene, scene
from socket_attacks.sockets import Sockets, ask_socket, sockets

from grail.operators.configuration import SIGNING_RULES
from grail.operators.frames import Reply
from grail_enclave.enclave import Enclave


@pytest.fixture(scope="module")
def servers() -> Iterator[Sockets]:
    with sockets() as made:
        yield made


ATTACKS = attacks_of_all_steps()


def prepared(world: Scene, target: Target, out: Sequence[Removal] = ()) -> Enclave:
    """An enclave in the state that the bytes are sent to, unless its state is what is taken out."""
    others = [each.index for each in out if each.index is not None]
    index = others[0] if others else target.index
    world = target.scene or world
    if target.bare:
        enclave = world.bare(index)
    elif target.handed_over:
        enclave = world.new_instance(index)
    else:
        enclave = world.enclave_of(index, **target.configuration)
    if all(each.state for each in out):
        target.prepare(enclave)
    return enclave


def answered(servers: Sockets, enclave: Enclave, target: Target) -> Reply:
    """The reply at the socket; a refusal is signed by this enclave for this very frame."""
    with servers.serving(enclave) as path:
        reply = Reply.parse(ask_socket(path, target.frame.serialize()))
    if reply.refusal is not None:
        key = enclave._key.public
        reply.refusal.verify(enclave.network_id, key, target.frame.subject)
    return reply


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attack(servers: Sockets, attack: Attack) -> None:
    """Refused by its one rule, state unchanged; with that rule out the same bytes pass."""
    world = scene()
    target = attack.build(world)
    enclave = prepared(world, target)
    before = enclave.state_hash()
    reply = answered(servers, enclave, target)
    assert reply.refusal is not None, "not refused"
    assert reply.refusal.rule == attack.rule, reply.refusal
    assert enclave.state_hash() == before
    out: list[Removal] = [attack.removal]
    for behind in attack.behind:
        assert passes(servers, world, target, out) == behind.rule
        out.append(behind.removal)
    assert passes(servers, world, target, out) == ""


def passes(servers: Sockets, world: Scene, target: Target, out: list[Removal]) -> str:
    """The rule that still refuses with these taken out, or nothing."""
    enclave = prepared(world, target, out)
    with removed(enclave, out):
        reply = answered(servers, enclave, target)
    if reply.refusal is None:
        assert reply.body is not None or target.empty
        return ""
    return f"{reply.refusal.rule}"


def test_every_refusal_has_an_attack() -> None:
    """Of the names in the protocol and in the code, none is left out without a reason."""
    attacked = {attack.rule for attack in ATTACKS}
    for known in (names.of_the_protocol(), names.of_the_code()):
        assert sorted(known - attacked - names.EXCEPTED.keys()) == []
    assert sorted(attacked - names.of_the_code()) == []
    assert sorted(attacked & names.EXCEPTED.keys()) == []


def test_every_shipped_rule_is_known_by_a_name() -> None:
    """What an operator's configuration lists is among the names that are looked for."""
    assert set(SIGNING_RULES) - {"DepositDepth"} <= names.of_the_code()
    assert names.EXCEPTED.keys() <= names.of_the_code()


def test_the_page_is_what_the_attacks_say() -> None:
    assert PAGE.read_text() == page(), "run python tests/socket_attacks/page.py"
