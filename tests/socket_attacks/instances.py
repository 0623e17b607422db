"""Rules 6 and 7 of section 10: instances that are new, rolled back or cloned; and the alarm."""

from __future__ import annotations

from enclave_world import KEYS, ask, hello_body, vote

from grail.operators import frames
from grail.operators.epochs import Epochs
from grail.operators.frames import Frame
from grail.operators.grants import Grant, Hello
from grail.operators.rounds import Acceptor
from grail.types import Txid
from grail_enclave.audit import Audit
from grail_enclave.enclave import Enclave
from socket_attacks.registry import STATELESS, Target, answering, attack, patched, voted
from socket_attacks.scene import Scene
from socket_attacks.voting import Rivals


@attack(
    "NotRecovered",
    "P1",
    "S16",
    gains="an operator's host: starts its enclave again to have it vote for the rival too",
    out=patched(Epochs, "check_recovered", answering()),
)
def a_vote_of_an_enclave_that_forgot(scene: Scene) -> Target:
    return voted(Rivals.of(scene).second, handed_over=True)


@attack(
    "NotReplaced",
    "K1",
    gains="a host: has the newest instance ask for its own state, and so give up its votes",
    out=patched(Epochs, "recovered", new=False),
)
def the_newest_instance_asked_to_begin_anew(scene: Scene) -> Target:
    return Target(Frame(frames.HELLO, hello_body(scene.enclaves(1)[0], 2)))


def hello_of(scene: Scene, index: int) -> bytes:
    """A new instance of an operator asks for epoch 2."""
    new = scene.new_instance(index)
    raw = ask(new, frames.HELLO, hello_body(new, 2)).unwrap()
    assert isinstance(raw, bytes)
    return raw


@attack(
    "EpochTaken",
    "K1",
    "S16",
    gains="a host: two clones of its enclave with one epoch, each of which counts",
    out=STATELESS,
)
def a_clone_that_asks_for_the_same_epoch(scene: Scene) -> Target:
    first, clone = hello_of(scene, 0), hello_of(scene, 0)

    def granted(enclave: Enclave) -> None:
        ask(enclave, frames.GRANT, [first, None]).unwrap()

    return Target(Frame(frames.GRANT, [clone, None]), prepare=granted, index=1)


@attack(
    "HelloInvalid",
    "R17",
    "S16",
    gains="Mallory, an operator: asks in another's name, so that nobody counts that one any more",
    out=patched(Hello, "verify", answering()),
)
def a_question_in_anothers_name(scene: Scene) -> Target:
    stolen = Hello.parse(hello_of(scene, 0)).signed(KEYS[5]).serialize()
    return Target(Frame(frames.GRANT, [stolen, None]), index=1)


@attack(
    "NotGranted",
    "K1",
    gains="a host: the answers to one clone of its enclave make the other one vote too",
    out=patched(Grant, "answers", answering(value=True)),
)
def a_recovery_by_the_answers_to_a_clone(scene: Scene) -> Target:
    clones = hello_of(scene, 0)
    others = scene.enclaves(10)[1:]
    grants = [ask(each, frames.GRANT, [clones, None]).unwrap() for each in others]
    return Target(
        Frame(frames.RECOVER, [grants, []]),
        prepare=lambda enclave: ask(enclave, frames.HELLO, hello_body(enclave, 2)).unwrap(),
        handed_over=True,
    )


@attack(
    "NotLacking",
    "S33",
    gains="Mallory: has an enclave check the same megabytes again and again outside the rounds",
    out=patched(Acceptor, "_bare", answering(value=True)),
)
def a_body_that_is_not_lacking(scene: Scene) -> Target:
    request = Rivals.of(scene).first
    return Target(
        Frame(frames.RESTORE, [[], request.serialize()]),
        prepare=lambda enclave: vote(enclave, request).unwrap(),
        empty=True,
    )


@attack(
    "AnchorContradicted",
    "G13",
    gains="Mallory: goes on with what a quorum once signed by mistake",
    out=patched(Audit, "require_none", answering()),
)
def a_request_after_the_alarm(scene: Scene) -> Target:
    def alarmed(enclave: Enclave) -> None:
        """As a full check of the history leaves it: tests/grail_enclave/test_full_history.py."""
        enclave._audit.alarm = Txid(bytes([1]) * 32)

    return voted(scene.house_use().request(), prepare=alarmed)
