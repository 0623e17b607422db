"""The scene after a roster change: what was guarded before it, and who signs for which epoch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from enclave_world import ALICE, KEYS, MALLORY, ROSTER, N, World, ask, prove
from reigns_world import Rosters, fresh_key

from grail.bitcoin.addresses import QUORUM as QUORUM_LEAF
from grail.bitcoin.addresses import guard
from grail.bitcoin.psbt import Psbt
from grail.bridge.peg_in import draft_peg_in
from grail.charms import move_rules, vault_rules
from grail.charms.app import Contract
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.operators.roster import next_roster_fields
from grail_enclave import quorums
from grail_enclave.enclave import Enclave
from grail_enclave.membership import Membership
from socket_attacks.registry import Target, answering, attack, patched, spell_rule, voted
from socket_attacks.scene import Heist, Scene


@dataclass
class ChangedScene(Rosters, Scene):
    """Hostile circuits, everything guarded by epoch 0, and epoch 1 rules."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.change(self.replaced())

    def enclaves(self, count: int = N) -> list[Enclave]:
        """Enclaves of the first roster that were told of the change."""
        made = World.enclaves(self, count)
        for enclave in made:
            for record in self.story()[1:]:
                ask(enclave, frames.RECORD, record.to_value()).unwrap()
        return made

    def after_the_grace(self) -> ChangedScene:
        """The same world, 1,008 blocks after the old roster's last."""
        other = ChangedScene.__new__(ChangedScene)
        other.__dict__.update(self.__dict__)
        other.chain, other.lives = self.chain.fork(self.chain.height), {}
        other.transactions = dict(self.transactions)
        end = self.record.reigns[0].end or 0
        other.chain.mine_many(end + 1_008 - other.chain.height)
        return other

    def old_guard(self, contract: Contract) -> bytes:
        """The contract's guarded script under epoch 0."""
        return guard(ROSTER, contract.gid(self.network)).script_pubkey

    def moving(self, sats: int = 1_000, count: int = 0, units: int = 200_000) -> SigningRequest:
        """The house's port moved to the ruling roster: unchanged, unless told otherwise."""
        port = self.ports[0]
        charms = {self.house.nft: self.state(count), self.zkbtc.token: units}
        rest = {self.zkbtc.token: 200_000 - units}
        outs = [(sats, self.guard(self.house), charms)]
        outs += [(1_000, MALLORY.script, rest)] if units < 200_000 else []
        return Heist(self, [port, self.give(MALLORY, 60_000)], outs).request()


@cache
def changed_scene() -> ChangedScene:
    """Epoch 1 rules."""
    return ChangedScene()


@cache
def late_scene() -> ChangedScene:
    """The old roster's grace is over."""
    return changed_scene().after_the_grace()


@attack(
    "RetiredRoster",
    "S27",
    "R13",
    gains="who finds old keys years later: units from a deposit to the old address, and its sats",
    out=spell_rule(vault_rules.retired_roster),
)
def a_mint_by_the_old_quorum_after_its_grace(scene: Scene) -> Target:
    assert scene
    late = late_scene()
    deposit = replace(late.deposit(MALLORY), roster=ROSTER)
    coin = late.give(deposit.script, 500_000)
    late.chain.mine_many(late.network.k - 1)
    earlier = replace(late.context, height=late.record.reigns[1].start)
    built = prove(draft_peg_in(earlier, late.app, deposit, coin, 2))
    return voted(late.request(built), scene=late)


@attack(
    "RetiredRoster",
    "S27",
    "R14",
    gains="an operator that was expelled: the vault stays where he is asked for it",
    out=spell_rule(vault_rules.retired_roster),
)
def the_vaults_change_paid_to_the_roster_before(scene: Scene) -> Target:
    assert scene
    world = changed_scene()
    vault = world.vaults[0]
    outs = [(vault.sats, world.old_guard(world.zkbtc), {})]
    heist = Heist(
        world,
        [vault, world.give(MALLORY, 60_000)],
        outs,
        {world.zkbtc: (world.app, "settle")},
    )
    return voted(heist.request(), scene=world)


@attack(
    "MoveNotEqual",
    "G8",
    "R14",
    gains="Mallory, who asks for the move: its fee comes out of what is moved",
    out=spell_rule(move_rules.move_not_equal),
)
def a_port_that_arrives_with_fewer_sats(scene: Scene) -> Target:
    assert scene
    return voted(changed_scene().moving(sats=600), scene=changed_scene())


@attack(
    "MoveNotEqual",
    "G8",
    gains="Mallory: writes the state of a house that is not hers, without its circuit",
    out=spell_rule(move_rules.move_not_equal),
)
def a_state_that_changes_on_the_way(scene: Scene) -> Target:
    assert scene
    return voted(changed_scene().moving(count=7), scene=changed_scene())


@attack(
    "MoveNotEqual",
    "G8",
    gains="Mallory: tokens of the house, which its own rules would not let go",
    out=spell_rule(move_rules.move_not_equal),
)
def tokens_that_are_lost_on_the_way(scene: Scene) -> Target:
    assert scene
    return voted(changed_scene().moving(units=150_000), scene=changed_scene())


@attack(
    "TxShape",
    "S16",
    "S17",
    gains="Mallory: the new roster decides for what the old one never signs, and nobody gets on",
    out=patched(quorums, "_check_signed", answering()),
)
def an_older_rosters_signatures_made_up(scene: Scene) -> Target:
    assert scene
    world = changed_scene()
    first, second = world.vaults[:2]
    moved = world.signed_in_turn(world.move(0, second), ALICE)
    world.confirm(moved)
    new = world.coin(moved, 0)
    heist = Heist(
        world,
        [first, new, world.give(MALLORY, 60_000)],
        [(first.sats + new.sats, world.guard(world.zkbtc), {})],
        {world.zkbtc: (world.app, "settle")},
    )
    request = heist.request()
    leaf = guard(ROSTER, world.zkbtc.gid(world.network)).leaf(QUORUM_LEAF)
    made_up = leaf.witness([bytes([1]) * 64] * 12 + [b""] * 4)
    psbt = Psbt.parse(request.psbt).with_input(0, final_script_witness=made_up)
    return voted(replace(request, psbt=psbt.serialize()), scene=world, index=3)


@attack(
    "NotMember",
    "R13",
    gains="Mallory: a roster with her keys looks as if this operator were in it",
    out=patched(Membership, "_vouches", answering()),
)
def a_next_roster_without_the_own_key(scene: Scene) -> Target:
    assert scene
    keys = [*KEYS[1:], fresh_key(4)]
    roster = replace(ROSTER, epoch=1, keys=tuple(sorted(key.public for key in keys)))
    return Target(frames.Frame(frames.NEXT_ROSTER_SIGN, next_roster_fields(roster)))
