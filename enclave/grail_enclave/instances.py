"""Which instance of its operator an enclave is, and how it answers another (rules 6 and 7)."""

from __future__ import annotations

from grail.operators.frames import MAX_LACKING, Instance
from grail.operators.grants import Hello
from grail.operators.messages import BestHeader
from grail.operators.rounds import Acceptor


def instance_of(acceptor: Acceptor) -> Instance:
    """What the status says of it."""
    epochs = acceptor.epochs
    lacking = acceptor.lacking()[:MAX_LACKING]
    return Instance(epochs.epoch, epochs.floor, epochs.recovered, lacking)


def answer_hello(
    acceptor: Acceptor, hello: Hello, page: int | None, best: BestHeader
) -> bytes | None:
    """A grant, or a page of it; null to a Hello of the own operator, which may stop this instance.

    Raises `Refused`.
    """
    if hello.head.sender == acceptor.index:
        acceptor.superseded(hello)
        return None
    if page is None:
        return acceptor.grant(hello, best).grant.serialize()
    return acceptor.page(hello, page)
