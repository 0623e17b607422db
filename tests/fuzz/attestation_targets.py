"""What attests and what links: documents, certificates, the module's two sides, identities."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from fuzz.target import Target
from grail.attestation import nsm
from grail.attestation.attested import attested
from grail.attestation.chain import Link, Root
from grail.attestation.cose import Signed
from grail.attestation.document import Document
from grail.codec import decode_any_form
from grail.errors import AttestationInvalid, DecodeError, InvalidInput, LinkInvalid, Unavailable
from grail.links import identity
from grail.links.identity import Own, identified
from grail.native import Ends
from grail_devnet.nsm.module import EmulatedModule

TIME = datetime(2026, 6, 1, tzinfo=UTC)
ENDS = Ends(bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32)


@cache
def _own() -> Own:
    from link_world import own

    return own()


@cache
def _root() -> Root:
    from link_world import POLICY

    return POLICY.root


def document(raw: bytes) -> None:
    """A whole document: what is taken was signed."""
    attested(raw, _root())
    assert Signed.parse(raw).payload == Signed.parse(_documents()[0]).payload, "others' words"


def payload(raw: bytes) -> None:
    """What a module signs, whoever signed it."""
    Document.parse(raw)


def certificate(raw: bytes) -> None:
    """One certificate, and what it says of itself."""
    link = Link(raw, "here")
    assert link.name is not None
    link.check_issued_by(link)
    link.check(signs=True, below=1, time=TIME)


def module_answer(raw: bytes) -> None:
    """What a module says, read as the answer to each question."""
    for name in ("Attestation", "DescribePCR", nsm.DESCRIBE, nsm.RANDOM):
        try:
            fields = nsm.answer(raw, name)
        except DecodeError:
            continue
        if name == nsm.DESCRIBE:
            nsm.description(fields)
        return
    raise InvalidInput("no answer")


def module_request(raw: bytes) -> None:
    """The devnet's module: any bytes have an answer that is one."""
    answer = _module().answer(raw)
    said = decode_any_form(answer, max_bytes=nsm.MAX_ANSWER, max_depth=nsm.MAX_DEPTH)
    assert isinstance(said, dict | str), "no answer"
    if isinstance(said, dict) and "Error" in said:
        assert said["Error"] in nsm.ERRORS, "an unknown error"
        raise InvalidInput(said["Error"])


@cache
def _module() -> EmulatedModule:
    from forged_documents import PCRS
    from link_world import AUTHORITY

    return EmulatedModule.draw(AUTHORITY, PCRS)


def named(raw: bytes) -> None:
    """Who says to be at the other end of a link: only who is."""
    from link_world import POLICY

    found = identified(raw, _other(), ENDS, POLICY, initiator=False)
    assert found.key == _own().keys.public, "another's key"


@cache
def _other() -> Own:
    from link_world import own

    return own()


@cache
def _documents() -> Sequence[bytes]:
    return [_own().module.document(bytes(32), bytes(32), bytes(32))]


def _payloads() -> Sequence[bytes]:
    return [Signed.parse(raw).payload for raw in _documents()]


def _certificates() -> Sequence[bytes]:
    found = Document.parse(_payloads()[0])
    return [*found.cabundle, found.certificate]


def _requests() -> list[bytes]:
    return [
        nsm.request(nsm.DESCRIBE),
        nsm.request(nsm.RANDOM),
        nsm.attestation(bytes(32), bytes(32), bytes(64)),
        nsm.attestation(None, None, None),
        nsm.describe_pcr(3),
        nsm.extend_pcr(17, b"more"),
        nsm.lock_pcr(18),
        nsm.lock_pcrs(3),
    ]


def _answers() -> list[bytes]:
    return [_module().answer(raw) for raw in [*_requests(), b"junk"]]


def _identities() -> list[bytes]:
    theirs = Ends(ENDS.remote, ENDS.own, ENDS.transcript)
    return [_own().identity(theirs, initiator=False)]


TARGETS = (
    Target("nitro document", document, _documents, (AttestationInvalid,), most=8_192),
    Target("document payload", payload, _payloads, (AttestationInvalid,), most=8_192),
    Target("certificate", certificate, _certificates, (AttestationInvalid,)),
    Target("module answer", module_answer, _answers, (DecodeError, InvalidInput, Unavailable)),
    Target("module request", module_request, _requests),
    Target(
        "link identity",
        named,
        _identities,
        (LinkInvalid, AttestationInvalid),
        most=identity.MAX_IDENTITY,
    ),
)
