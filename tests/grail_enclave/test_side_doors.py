"""Whatever is sent to an enclave, nothing that it says or writes holds a secret (threat A15)."""

from __future__ import annotations

import base64
import logging
import random
import traceback
from collections.abc import Iterable, Iterator

import pytest
from enclave_world import KEYS
from society_world import Station, Towns, module

from grail.codec import encode
from grail.errors import GrailError, Incorrect, InvalidInput, Refused, Unavailable
from grail.operators import frames
from grail.operators.frames import Frame, Reply
from grail.operators.link_frames import carry_frame
from grail.operators.roster import roster_fields
from grail_enclave import entropy, keys

PART = 12
"""So many bytes of a secret in a row are a leak; by chance they stand nowhere."""


def forms(secret: bytes) -> Iterator[bytes]:
    """What a secret may look like where somebody wrote it down."""
    yield from (secret, secret[::-1])
    for text in (secret.hex(), secret.hex().upper(), secret[::-1].hex(), str(list(secret))[1:-1]):
        yield text.encode()
    for shift in range(3):  # wherever it begins in what was encoded
        yield base64.b64encode(bytes(shift) + secret)[4:-4]
    for number in (int.from_bytes(secret, "big"), int.from_bytes(secret, "little")):
        yield str(number).encode()
        yield f"{number:x}".encode()
    yield repr(secret)[2:-1].encode()


def leaks(said: bytes, secrets: Iterable[bytes]) -> bool:
    """Whether a part of a secret, in any of its forms, stands in what was said."""
    for secret in secrets:
        for form in forms(secret):
            size = PART * len(form) // len(secret)
            if any(form[at : at + size] in said for at in range(len(form) - size + 1)):
                return True
    return False


def scalar(holder) -> bytes:
    return holder.key.private_numbers().private_value.to_bytes(48, "big")


def known_secrets(station: Station) -> list[bytes]:
    """The enclave's key, and its module's: what signs documents, and what issues that."""
    device = station.enclave._society.dates._own.module._exchange.__self__
    device.answer(b"")
    return [station.key._secret.secret, scalar(device.instance), scalar(device._leaf)]


def hostile(towns: Towns, rng: random.Random) -> Iterator[bytes]:
    """Frames of every kind: junk, bodies of other kinds, and honest ones with bytes changed."""
    station = towns.stations[0]
    number, _ = station.ask(Frame(frames.LINK_DIAL))
    open_link = station.links[1][0] if 1 in station.links else number
    honest = [
        Frame(frames.FIRST_ROSTER_SIGN, roster_fields(towns.roster)),
        Frame(frames.ROSTER_SAY, towns.first_state().serialize()),
        Frame(frames.TICK, 3),
        Frame(frames.ROSTER_EXPECT, [bytes(KEYS[0].public)]),
        carry_frame(number, rng.randbytes(48)),
        carry_frame(open_link, rng.randbytes(100)),
        Frame(frames.LINK_ANSWER, rng.randbytes(32)),
    ]
    bodies = [None, 0, -1, 1 << 64, b"", bytes(32), "text", [], [[]], [b"x"] * 20, {1: 2}, True]
    bodies += [frame.body for frame in honest]
    for kind in sorted(frames.KINDS):
        for body in bodies:
            yield encode([kind, body], any_order=True)
            yield Frame(kind, body).serialize()
    for frame in honest:
        raw = frame.serialize()
        for _ in range(20):
            at = rng.randrange(len(raw))
            yield raw[:at] + rng.randbytes(rng.randrange(4)) + raw[at + rng.randrange(3) :]
    for _ in range(100):
        yield rng.randbytes(rng.randrange(200))


def test_A15_no_reply_and_no_log_of_hostile_frames_holds_a_secret(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    towns = Towns.of(operators=3, quorum=3)
    towns.start()
    station, rng = towns.stations[0], random.Random(15)
    secrets = [each for one in towns.stations for each in known_secrets(one)]
    said, replies, refused = [], 0, set()
    for raw in hostile(towns, rng):
        reply = station.enclave.reply(raw)
        replies += 1
        if reply.refusal is not None:
            refused.add(reply.refusal.rule)
        said += [reply.serialize(), repr(reply).encode()]
    assert replies > 1_000
    assert {"FrameInvalid", "NotOpen", "MessageForged"} <= refused
    written = capfd.readouterr()
    said += [written.out.encode(), written.err.encode(), caplog.text.encode()]
    said += [repr(thing).encode() for thing in (station.enclave, station.enclave._society)]
    assert not leaks(b"".join(said), secrets)


def faults(station: Station) -> list[Exception]:
    """Faults of ours, whose text was made of what lay in memory."""
    pair, secret = station.key, station.key._secret.secret
    return [
        ValueError(f"cannot use {secret.hex()}"),
        KeyError(secret),
        RuntimeError("state", {"key": secret, "pair": pair}),
        MemoryError(base64.b64encode(secret)),
    ]


def typed(station: Station) -> list[GrailError]:
    """Errors whose text is passed on: they name things, and things show no secret."""
    own = station.enclave._society.dates._own
    sealer = keys.MemorySealer()
    sealer.seal(keys.KEY_NAME, station.key._secret.secret)
    named = f"{station.key!r} {station.key} {own} {sealer} {vars(own)}"
    return [kind(named) for kind in (InvalidInput, Incorrect, Unavailable)] + [
        Refused("InternalError", named, got=repr(station.key), expected=str(own))
    ]


def test_A15_faults_are_told_by_their_type_alone() -> None:
    """An error message made of memory, at every handler: its text goes nowhere."""
    towns = Towns.of(operators=2, quorum=2)
    station = towns.stations[0]
    secret = station.key._secret.secret
    handlers = station.enclave._handlers
    for fault in faults(station):

        def fails(_body: object, fault: Exception = fault) -> None:
            raise fault

        assert leaks(str(fault).encode(), [secret])  # or the scan would show nothing
        for kind in handlers:
            honest, handlers[kind] = handlers[kind], fails
            raw = station.enclave.answer(Frame(kind).serialize())
            handlers[kind] = honest
            refusal = Reply.parse(raw).refusal
            assert refusal is not None
            assert (refusal.rule, refusal.message) == ("InternalError", type(fault).__name__)
            assert not leaks(raw, [secret])


def test_A15_things_with_a_secret_show_none() -> None:
    towns = Towns.of(operators=2, quorum=2)
    station = towns.stations[0]
    secret = station.key._secret.secret
    for fault in typed(station):

        def fails(_body: object, fault: Exception = fault) -> None:
            raise fault

        station.enclave._handlers[frames.STATUS] = fails
        raw = station.enclave.answer(Frame(frames.STATUS).serialize())
        assert b"KeyPair(public=" in raw
        assert not leaks(raw, [secret])
        assert not leaks("".join(traceback.format_exception(fault)).encode(), [secret])


def test_A15_a_start_that_fails_says_no_byte_of_what_was_drawn() -> None:
    """A source that is refused may have given others the same bytes."""
    block = module(Towns.of(operators=2, quorum=2).configuration).random()
    with pytest.raises(Unavailable) as caught:
        entropy.check("the security module's random source", [block] * 4)
    text = "".join(traceback.format_exception(caught.value))
    assert not leaks(text.encode(), [block[at : at + 32] for at in range(0, 256, 32)])


def test_a_scan_finds_what_it_looks_for() -> None:
    secret = bytes(range(100, 132))
    for form in forms(secret):
        assert leaks(b"before" + form + b"after", [secret])
    assert leaks(b"x" + secret[5 : 5 + PART] + b"y", [secret])
    assert not leaks(b"x" + secret[5 : 4 + PART] + b"y", [secret])
