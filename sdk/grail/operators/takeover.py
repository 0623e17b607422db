"""What one memory tells a new instance, and the memory that such an instance starts from."""

from __future__ import annotations

from grail.operators.adoption import Adopted
from grail.operators.certificates import Proposal
from grail.operators.grants import Claim, Promised
from grail.operators.memory import NO_BALLOT, Known, Memory, Place


def remembered(memory: Memory) -> tuple[list[Claim], list[Promised]]:
    """All votes, decisions and promises. A promise that the vote implies is left out."""
    claims, implied = [], set()
    for name, known in sorted(memory.known.items()):
        proposal = known.proposal
        places = memory.places(proposal)
        vote = places[0].vote
        voted = vote is not None and vote[1] == name
        number = vote[0] if vote is not None and voted else None
        if voted or places[0].decided == name:
            claims.append(
                Claim(name, proposal.txid, proposal.outpoints, number, places[0].decided == name)
            )
        if number:
            implied |= {
                outpoint
                for outpoint, place in zip(proposal.outpoints, places, strict=True)
                if place.promised == vote
            }
    promises = [
        Promised(outpoint, *place.promised)
        for outpoint, place in sorted(memory.outpoints.items())
        if place.promised != NO_BALLOT and outpoint not in implied
    ]
    return claims, promises


def taken_over(before: Memory, found: Adopted) -> Memory:
    """What others remember, in place of an older memory of the own, whose decisions are kept.

    A decision proves itself, so what stands against it goes. A vote that is taken over was never
    sent by this instance: there is no message for it, and none is made.
    """
    memory = Memory()
    for known in before.known.values():
        if known.decision and any(
            place.decided == known.proposal.family for place in before.places(known.proposal)
        ):
            memory.known[known.proposal.family] = Known(known.proposal, decision=known.decision)
            for outpoint in known.proposal.outpoints:
                memory.outpoints.setdefault(outpoint, Place()).decided = known.proposal.family
    for outpoint, ballot in found.promised.items():
        memory.outpoints.setdefault(outpoint, Place()).promised = ballot
    for claim in found.votes:
        bare = Proposal(claim.family, claim.outpoints, claim.txid, b"")
        places = memory.places(bare)
        if claim.round is None or any(p.decided not in (None, claim.family) for p in places):
            continue
        earlier = before.known.get(claim.family)
        memory.known.setdefault(claim.family, Known(bare if earlier is None else earlier.proposal))
        for outpoint in claim.outpoints:
            place = memory.outpoints.setdefault(outpoint, Place())
            place.vote = (claim.round, claim.family)
    return memory
