"""Nobody gets a roster of his own choosing signed, whatever proof he brings."""

from __future__ import annotations

from enclave_world import MALLORY, ROSTER, World, prove, rule, vote, zkbtc_app

from grail.bitcoin.addresses import Roster
from grail.bridge.deploy import NFT_SATS
from grail.charms.record import Record, Reign, roster_state
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Act
from grail.draft.draft import Draft, Payment


def test_R13_a_proven_roster_spell_that_nobody_agreed_on(shared: World) -> None:
    """The circuit shows that the next state is well formed; who may follow is not in it.

    Every rule of a correct spell passes, the proof included: the refusal is the operators' own.
    """
    mine = Roster.of(1, [KeyPair(bytes([9, i]) * 16).public for i in range(1, 17)], 12)
    height = shared.context.height
    reigns = shared.context.record.reigns
    after = Record(
        shared.zkbtc,
        (
            Reign(ROSTER, reigns[0].start, height + shared.network.k - 1),
            Reign(mine, height + shared.network.k),
        ),
    )
    nft = shared.coin(shared.deploy, 0, {shared.zkbtc.nft: roster_state(ROSTER)})
    draft = Draft(shared.context)
    draft.spend_guarded(shared.zkbtc, nft)
    draft.spend(shared.give(MALLORY, 90_000))
    guard = shared.context.guard(shared.zkbtc, mine).script_pubkey
    draft.pay(guard, NFT_SATS, {shared.zkbtc.nft: roster_state(mine)})
    draft.change = Payment(MALLORY.script, 85_000)
    draft.act(Act(shared.zkbtc, zkbtc_app(), "roster"))
    built = prove(draft.assemble())
    assert built.check().record.rosters == after.rosters
    reply = vote(shared.enclave(), shared.request(built, MALLORY))
    assert rule(reply) == "RosterInvalid"
