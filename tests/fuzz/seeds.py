"""Real objects for the fuzzers to start from, made when they are asked for.

What others published is read beside the repository where it lies there, and left out elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import ptau_file
import sample_circuit
import sample_psbt
import simulator
import spellbook
from enclave_world import (
    QUORUM,
    World,
    ask,
    ballot,
    open_round,
    promise,
    sign,
    vote,
    zkbtc_app,
)
from roster_world import OTHER_IMAGE, Network, following
from society_world import IMAGE, NEXT, Towns

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.crypto import babyjub
from grail.draft.assembled import Assembled
from grail.operators import frames as kinds
from grail.operators import messages as signed
from grail.operators.configuration import Configuration
from grail.operators.evidence import HistoryPart, SigningRequest, TxEvidence
from grail.operators.frames import Frame, Reply
from grail.operators.grants import Claim, Grant, Hello, Promised, paged
from grail.operators.link_frames import Sealed, carry_frame, images_frame
from grail.operators.roster import NextRoster, next_roster_fields, roster_fields
from grail_enclave.enclave import Enclave

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "vectors"
MULTIPLIER = ROOT / "examples" / "multiplier"
"""A circuit of circom with snarkjs' keys, which is part of the repository."""
LARGEST = 40_000
"""Bytes of a published seed: what is larger is too slow to be changed a million times."""


# --------------------------------------------------------------------------------- an operator


@cache
def world() -> World:
    """A chain with zkBTC on it."""
    return World.begun()


@cache
def peg_in() -> Assembled:
    """A proven peg-in."""
    return world().peg_in(*world().paid())


@cache
def request() -> SigningRequest:
    """What a client asks for."""
    return world().request(peg_in())


def configuration() -> Configuration:
    """The operators' configuration."""
    return world().configuration


@cache
def _asked() -> tuple[list[Frame], list[bytes]]:
    """Frames of every kind that a request goes through, and what was answered."""
    raw = request().serialize()  # first, since it makes blocks that enclaves are to know
    enclaves = world().enclaves(QUORUM)
    opened = open_round(enclaves[1], 1, request())
    promises = [promise(each, opened, request()) for each in enclaves]
    later = [ballot(each, promises, request()) for each in enclaves]
    signatures = sign(enclaves[0], request(), later)
    again = vote(enclaves[0], request())
    status = ask(enclaves[0], kinds.STATUS)
    votes = [signed.Vote.parse(reply.unwrap()) for reply in later]
    asked = [
        Frame(kinds.STATUS),
        Frame(kinds.VOTE, raw),
        kinds.open_frame(1, raw),
        kinds.promise_frame(signed.Open.parse(opened.unwrap()), raw),
        kinds.ballot_frame([signed.Promise.parse(reply.unwrap()) for reply in promises], raw),
        kinds.sign_frame(votes, raw),
        kinds.restore_frame(votes, raw),
        Frame(kinds.BODY, votes[0].family),
        Frame(kinds.HEADERS, [header.serialize() for header in world().chain.headers[:5]]),
        Frame(kinds.FIRST_ROSTER_SIGN, roster_fields(world().first_roster.roster)),
        Frame(kinds.FIRST_ROSTER_ACCEPT, world().first_roster.fields()),
        Frame(kinds.RECORD, world().deploy_record().to_value()),
        Frame(kinds.HELLO, [2, bytes(36)]),
        Frame(kinds.NEWEST, [1, bytes(36)]),
        kinds.spent_frame(world().deploy.serialize(), world().chain.prove(world().deploy.txid), []),
        Frame(kinds.HISTORY, _history().to_value()),
        *_next_roster(),
        *_granting(),
        *linked()[0],
        *(Frame(kind, None) for kind in kinds.KINDS),
    ]
    replies = [opened, promises[0], later[0], signatures, again, status]
    return asked, [reply.serialize() for reply in replies]


def _history() -> HistoryPart:
    deploy = world().deploy
    shown = TxEvidence(deploy.serialize(), world().chain.prove(deploy.txid))
    return HistoryPart((zkbtc_app().bundle.serialize(),), (shown,))


def _next_roster() -> list[Frame]:
    """The first roster once more, in the next epoch."""
    first = world().first_roster
    after = replace(first.roster, epoch=1)
    signed_by_all = NextRoster(after, first.signatures)
    return [
        Frame(kinds.NEXT_ROSTER_SIGN, next_roster_fields(after)),
        Frame(kinds.NEXT_ROSTER_AGREE, signed_by_all.fields()),
    ]


def _granting() -> list[Frame]:
    """What a new instance goes through, of a simulated roster."""
    hello, grant = Hello.parse(messages()[3]), Grant.parse(messages()[4])
    pages = messages()[6:]
    return [
        kinds.grant_frame(hello),
        kinds.grant_frame(hello, 0),
        kinds.recover_frame([grant], pages),
    ]


def frames() -> list[Frame]:
    """Frames as hosts send them."""
    return _asked()[0]


def replies() -> list[bytes]:
    """Replies as enclaves give them, and a refusal with what stands in the way."""
    standing = signed.Standing("InTheWay", 3)
    refused = kinds.Reply(None, _refusal(), standing).serialize()
    return [*_asked()[1], refused, *linked()[1]]


def scope() -> signed.Scope:
    """What simulated messages are good for."""
    return simulator.scope()


def _refusal() -> signed.Refusal:
    key = simulator.keys(16)[3]
    made = signed.Refusal(
        simulator.NETWORK, simulator.CONFIGURATION, key.public, bytes(32), "Rule", "no", "a", "b"
    )
    return made.signed(key)


@cache
def messages() -> list[bytes]:
    """Every kind of signed message, of a simulated roster."""
    key, of = simulator.keys(16)[3], simulator.proposal("T", "ab")
    network, configured = simulator.NETWORK, simulator.CONFIGURATION
    head = signed.Head(network, simulator.NFT, configured, 3, (1,) * 16, simulator.TIP)
    reports = (
        signed.Report(of.outpoints[0], 0, None),
        signed.Report(of.outpoints[1], 2, of.family),
    )
    hello = Hello(head, 1, key.public, bytes(32)).signed(key)
    made: Sequence[signed.Message] = (
        signed.Vote(head, 0, of.family, of.outpoints).signed(key),
        signed.Open(head, 3, of.family).signed(key),
        signed.Promise(head, 3, of.family, reports).signed(key),
        hello,
        Grant(head, 3, 1, key.public, bytes(32), (bytes(32),), (hello,)).signed(key),
    )
    claim = Claim(of.family, of.txid, of.outpoints, 3, decided=True)
    pages = paged([claim], [Promised(of.outpoints[0], 2, of.family)])
    return [*(each.serialize() for each in made), _refusal().serialize(), *pages]


# ------------------------------------------------------------------- enclaves among each other


@cache
def _towns() -> Towns:
    """Four attested operators that agree on a state of the roster."""
    made = Towns.of(4)
    made.start()
    return made


def attested() -> Enclave:
    """One of them."""
    return _towns().stations[0].enclave


@cache
def linked() -> tuple[list[Frame], list[bytes]]:
    """Frames by which hosts carry links and change the roster, and what was answered."""
    towns = _towns()
    here, there = towns.stations[2:]
    dial, tick, view = Frame(kinds.LINK_DIAL), Frame(kinds.TICK, 16), Frame(kinds.ROSTER_VIEW)
    ticked, shown = here.ask(tick), here.ask(view)
    begun = Sealed.from_fields(here.ask(dial))
    answer = Frame(kinds.LINK_ANSWER, begun.messages[0])
    answered = Sealed.from_fields(there.ask(answer))
    carry = carry_frame(begun.number, answered.messages[0])
    asked = [
        dial,
        answer,
        carry,
        tick,
        Frame(kinds.ROSTER_SAY, towns.first_state().serialize()),
        Frame(kinds.ROSTER_EXPECT, [bytes(key) for key in towns.roster.keys]),
        images_frame((IMAGE, NEXT)),
        Frame(kinds.ROSTER_LEAVE, body=True),
        view,
    ]
    bodies = (answered.fields(), here.ask(carry), ticked, shown)
    return asked, [Reply(body).serialize() for body in bodies]


def gossips() -> Network:
    """Members that agree on a state; one of them would have another follow."""
    made = Network.of(4)
    first = made.agreed_first()
    for member in made.members:
        member.beat()
    made.members[0].says(following(first, images=(OTHER_IMAGE,)))
    return made


@cache
def gossip() -> list[bytes]:
    """What one that knows nothing and one that knows all say, whichever begins."""
    net, told = gossips(), []
    for begins in (0, 1):
        ends, at = (net.members[0], net.join(net.members[1].pair)), begins
        message: bytes | None = ends[at].gossip.begin()
        while message is not None:
            told.append(message)
            at = 1 - at
            message = ends[at].gossip.take(message)
    return told


# ------------------------------------------------------------------------------------ Bitcoin


@cache
def transactions() -> list[Tx]:
    """With witnesses and without, of our own and published ones."""
    return [world().deploy, peg_in().tx, *spelled(), *upstream()]


@cache
def psbts() -> list[Psbt]:
    """Of version 0."""
    return [sample_psbt.funded(), world().psbt(peg_in()), sample_psbt.funded(1)]


def psbts_2() -> list[bytes]:
    """Of version 2."""
    return [sample_psbt.write(*sample_psbt.fields(sample_psbt.funded(n))) for n in (1, 2)]


# ------------------------------------------------------------------------------------- Charms


@cache
def spelled() -> list[Tx]:
    """A transaction of each kind with a spell of ours."""
    drafts = (
        spellbook.deploy,
        spellbook.peg_in,
        spellbook.peg_out,
        spellbook.transfer,
        spellbook.issue,
        spellbook.create,
        spellbook.swap,
        spellbook.batch,
        spellbook.pay,
        spellbook.new_roster,
    )
    return [draft().tx() for draft in drafts]


@cache
def upstream() -> list[Tx]:
    """Published transactions with spells of Charms."""
    from upstream_real import names, raw

    if not (PUBLISHED / "charms").is_dir():
        return []
    return [Tx.parse(raw(PUBLISHED, name)) for name in names(PUBLISHED)]


def payloads() -> list[bytes]:
    """Spells of ours with their proofs."""
    from grail.charms import envelope

    return [envelope.payload(tx, envelope.spell_outputs(tx)[0]) for tx in spelled()]


def bundles() -> list[bytes]:
    """Descriptors with keys."""
    found = [each.serialize() for each in spellbook.BUNDLES.values()]
    return sorted(found, key=len)[:6]


# ------------------------------------------------------------------------------------- proofs


@cache
def proof() -> bytes:
    """A proof of the sample circuit."""
    return sample_circuit.proved().proof


def circuits(name: str) -> list[bytes]:
    """Files of this name: the sample circuit's own, the example's and the published ones."""
    own = {"circuit.r1cs": sample_circuit.R1CS, "witness.wtns": sample_circuit.WTNS}
    found = [own[name]] if name in own else []
    found.append((MULTIPLIER / name).read_bytes())
    published = [path.read_bytes() for path in sorted(PUBLISHED.glob(f"circom/*/{name}"))]
    found += [raw for raw in published if len(raw) <= LARGEST]
    return list(dict.fromkeys(found))  # the example is published too


def ptaus() -> list[bytes]:
    """The smallest powers of tau, cut from the published ones, with and without phase 2."""
    found = [b"ptau\x01\x00\x00\x00\x0b\x00\x00\x00"]
    if ptau_file.PUBLISHED.exists():
        raw = ptau_file.PUBLISHED.read_bytes()
        found += [ptau_file.cut(raw, 1, prepared=prepared) for prepared in (True, False)]
    return found


def programs() -> list[bytes]:
    """Witness programs: one of every operation, and that of a compiled app's action."""
    operations = b"".join(
        code.to_bytes(1, "little") + b"".join(n.to_bytes(4, "little") for n in (0, 1, 2))
        for code in range(13)
    )
    constants = b"".join(value.to_bytes(32, "little") for value in (0, 1))
    raw = b"GWP1" + b"".join(n.to_bytes(4, "little") for n in (1, 2)) + constants
    raw += (13).to_bytes(4, "little") + operations
    raw += (2).to_bytes(4, "little") + b"".join(n.to_bytes(4, "little") for n in (2, 15))
    return [raw]


def gnark_proofs() -> list[bytes]:
    """Proofs of SP1 in published transactions: 256 bytes after four of a header."""
    from grail.charms.upstream import proof as spells

    found = [spells.read(tx) for tx in upstream()]
    return [each.proof[-256:] for each in found if each is not None] or [bytes(256)]


def gnark_keys() -> list[bytes]:
    """Keys of Charms where they lie; their points are those of any such key."""
    from grail.charms.upstream import keys

    return sorted(keys.read(keys.folders()).values(), key=len)[:4] or [bytes(300)]


def babyjub_points() -> list[bytes]:
    """Packed points: the base, another, the identity."""
    base = babyjub.BASE
    return [point.pack() for point in (base, base.times(7), babyjub.Point(0, 1))]


def noise() -> list[bytes]:
    """For each place of a link a message of the length that is due there."""
    return [
        bytes([place]) + b"\x01" * size
        for place, size in enumerate((32, 32 + 48 + 16, 48 + 16, 16))
    ]


def addresses() -> list[bytes]:
    """Of every kind of output that the made chain has."""
    from grail import native
    from grail.errors import InvalidInput

    found = []
    for out in (out for tx in transactions() for out in tx.outputs):
        try:
            found.append(native.address_encode(out.script, "bcrt").encode())
        except InvalidInput:
            continue
    return found
