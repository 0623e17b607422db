"""The successor, the whole way: named, 2,016 blocks later units go over, and the books are exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, ROSTER, ask, prove, rule, sign, vote
from kernel import verify_spend
from succession_world import Heirs, mended

from grail.charms.app import units
from grail.charms.index import CharmIndex
from grail.charms.record import SUCCESSOR_DELAY, roster_state
from grail.draft.assembled import Assembled
from grail.errors import InvalidInput
from grail.operators import frames
from grail.operators.full_history import ancestors, parts


@pytest.fixture(scope="module")
def heirs() -> Heirs:
    """A world in which the heir is named and counts."""
    world = Heirs()
    world.first = world.vault_coin(), world.heirs_vault()  # type: ignore[attr-defined]
    world.name_heir()
    world.chain.mine_many(world.successor_from - world.chain.height)
    return world


def index_of(world: Heirs) -> CharmIndex:
    """A fresh scan of the whole chain."""
    bundles = {app.bundle.vk: app.bundle for app in (world.app, mended())}
    index = CharmIndex(world.network, world.zkbtc, bundles)
    for height, block in enumerate(world.chain.blocks):
        index.apply_block(height, block.header.hash, block.txs)
    return index


def books(world: Heirs, index: CharmIndex) -> dict[str, int]:
    """Units outside and sats in the vault, of zkBTC and of its heir."""
    coins = [coin for _, coin in index.unspent()]
    found: dict[str, int] = {}
    for name, contract in (("old", world.zkbtc), ("new", world.heir)):
        guard = world.context.guard(contract, ROSTER).script_pubkey
        found[f"S {name}"] = sum(units(coin.charms or {}, contract.token) for coin in coins)
        found[f"V {name}"] = sum(
            coin.sats for coin in coins if coin.script == guard and not coin.charms
        )
    return found


def test_Z26_the_whole_way_at_sixteen_enclaves(heirs: Heirs) -> None:
    """Named by a quorum, 2,016 blocks, 200,000 units over: every sat and unit is accounted for."""
    (vault, held), (new_vault, _) = heirs.first  # type: ignore[attr-defined]
    assert heirs.named is not None
    before = index_of(heirs)
    (reign,) = before.record.reigns
    assert reign.successor == heirs.heir.gid(heirs.network)
    assert reign.successor_from == heirs.successor_from
    assert reign.successor_from >= heirs.named_at + SUCCESSOR_DELAY
    assert reign.roster == ROSTER
    old = books(heirs, before)
    assert (old["S old"], old["S new"]) == (old["V old"], old["V new"])

    built = heirs.succession(vault, new_vault, held, 200_000)
    tx = heirs.signed_by_quorum(built, ALICE)
    verify_spend(tx.serialize(), built.spent_outputs)
    heirs.confirm(tx)
    after = books(heirs, index_of(heirs))
    assert {name: after[name] - old[name] for name in old} == {
        "S old": -200_000,
        "V old": -200_000,
        "S new": 200_000,
        "V new": 200_000,
    }


def test_the_naming_is_a_transaction_that_nodes_take(heirs: Heirs) -> None:
    assert heirs.named is not None
    spent = [
        heirs.transactions[txin.outpoint.txid].outputs[txin.outpoint.vout]
        for txin in heirs.named.inputs
    ]
    verify_spend(heirs.named.serialize(), spent)


def test_an_enclave_that_was_not_shown_the_naming(heirs: Heirs) -> None:
    """Its record ends before: it signs no succession, and takes the record when it comes."""
    built = succession(heirs)
    request = heirs.request(built, ALICE)
    behind = super(Heirs, heirs).enclaves(1)[0]
    before = behind.anchors().record
    assert rule(vote(behind, request)) == "ProofMissing"
    answer = ask(behind, frames.RECORD, heirs.naming_record().to_value()).unwrap()
    assert answer == [0, heirs.deploy.outpoint(0).serialize()]
    assert behind.anchors().record != before
    assert vote(behind, request).refusal is None
    # The deploy again, and the naming again, change nothing.
    state = behind.state_hash()
    for record in (heirs.deploy_record(), heirs.naming_record()):
        assert ask(behind, frames.RECORD, record.to_value()).unwrap() == answer
    assert behind.state_hash() == state


def succession(heirs: Heirs) -> Assembled:
    """Units of a deposit of their own go over."""
    vault, held = heirs.vault_coin()
    new_vault, _ = heirs.heirs_vault()
    return heirs.succession(vault, new_vault, held, 100_000)


def test_S11_rounds_keep_their_scope(heirs: Heirs) -> None:
    """Votes from before the naming was on record decide after it: the roster's id is the epoch's."""
    deposit, coin = heirs.paid()
    request = heirs.request(heirs.peg_in(deposit, coin))
    unaware = super(Heirs, heirs).enclaves(12)
    votes = [vote(enclave, request) for enclave in unaware]
    (aware,) = heirs.enclaves(1)
    assert sign(aware, request, votes).refusal is None


def test_S12_a_reorganisation_takes_the_naming_away() -> None:
    """Without its block nothing is named; with another block that holds it, it is again."""
    world = Heirs()
    world.name_heir()
    (enclave,) = world.enclaves(1)
    named = enclave.anchors().record
    assert named.reigns[0].successor
    rival = world.chain.fork(world.named_at - 1)
    rival.mine_many(world.chain.height - rival.height + 1)
    ask(enclave, frames.HEADERS, [h.serialize() for h in rival.headers]).unwrap()
    assert not any(enclave.anchors().record.reigns[0].successor)
    world.chain = rival
    world.confirm(world.named)  # type: ignore[arg-type]
    world.feed(enclave)
    record = world.naming_record().to_value()
    assert rule(ask(enclave, frames.RECORD, record)) == "NotConfirmed"
    world.chain.mine_many(world.network.k - 1)
    world.feed(enclave)
    ask(enclave, frames.RECORD, record).unwrap()
    later = enclave.anchors().record.reigns[0]
    assert later.successor == named.reigns[0].successor


def test_R13_records_that_are_no_naming(heirs: Heirs) -> None:
    """A spend of something else, a state of another successor's, no block: refused, no change."""
    assert heirs.named is not None
    (enclave,) = super(Heirs, heirs).enclaves(1)
    record = heirs.naming_record()
    state = enclave.state_hash()
    other = heirs.vault_coin()[0]
    stranger = heirs.transactions[other.outpoint.txid]
    unrelated = replace(
        record, raw=stranger.serialize(), inclusion=heirs.chain.prove(stranger.txid)
    )
    heirs.feed(enclave)
    state = enclave.state_hash()
    assert rule(ask(enclave, frames.RECORD, unrelated.to_value())) == "RosterFixed"
    elsewhere = replace(record, inclusion=heirs.chain.prove(stranger.txid))
    assert rule(ask(enclave, frames.RECORD, elsewhere.to_value())) == "NotConfirmed"
    bare = replace(record, evidence=())
    assert rule(ask(enclave, frames.RECORD, bare.to_value())) == "HistoryMissing"
    assert enclave.state_hash() == state


def test_R13_a_naming_that_breaks_a_rule_is_no_record() -> None:
    """A confirmed spend of the NFT whose proof is another's: the record stays as it was."""
    world = Heirs()
    honest = world.naming()
    assert honest.spell is not None
    broken = honest.with_proofs([replace(honest.spell.proofs[0], proof=bytes(128))])
    tx = broken.signed_by(ALICE)
    world.confirm(tx)
    world.chain.mine_many(world.network.k - 1)
    (enclave,) = world.enclaves(1)
    state = enclave.state_hash()
    world.named = tx
    assert rule(ask(enclave, frames.RECORD, world.naming_record().to_value())) == "ProofInvalid"
    assert enclave.state_hash() == state


def test_Z26_a_draft_names_once_and_in_time(heirs: Heirs) -> None:
    """What the operators would refuse, the SDK does not draft."""
    with pytest.raises(InvalidInput, match="counts from"):
        heirs.naming(counts_from=heirs.context.height + SUCCESSOR_DELAY - 1)
    state = roster_state(ROSTER, heirs.heir.gid(heirs.network), heirs.successor_from)
    assert heirs.named is not None
    nft = heirs.coin(heirs.named, 0, {heirs.zkbtc.nft: state})
    with pytest.raises(InvalidInput, match="already"):
        heirs.naming(nft=nft)
    (vault, held), (new_vault, _) = heirs.first  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="more than 0"):
        heirs.succession(vault, new_vault, held, 0)
    early = Heirs()
    with pytest.raises(InvalidInput, match="no such successor"):
        early.succession(vault, new_vault, held, 1)
    early.named, early.successor_from = heirs.named, early.chain.height + 100
    with pytest.raises(InvalidInput, match="from height"):
        early.succession(vault, new_vault, held, 1)


def test_Z26_units_go_over_in_no_block_below_the_height(heirs: Heirs) -> None:
    """A reorganisation could put the signed transaction there, where its spell is incorrect."""
    (vault, held), (new_vault, _) = heirs.vault_coin(), heirs.heirs_vault()
    built = heirs.succession(vault, new_vault, held, 100_000)
    assert built.tx.locktime == heirs.successor_from - 1
    (enclave,) = heirs.enclaves(1)
    for locktime in (0, heirs.successor_from - 2):
        early = prove(replace(built, tx=replace(built.tx, locktime=locktime)))
        assert rule(vote(enclave, heirs.request(early, ALICE))) == "HeightStale"
    assert vote(enclave, heirs.request(built, ALICE)).refusal is None


def test_G13_a_naming_that_was_not_shown_is_no_contradiction(heirs: Heirs) -> None:
    """An enclave without the naming on record learns of a succession: unknown, and no alarm."""
    built = succession(heirs)
    tx = heirs.signed_by_quorum(built, ALICE)
    heirs.confirm(tx)
    known = heirs.known
    bundles = [app.bundle.serialize() for app in (heirs.app, mended())]
    order = [txid for txid in ancestors([tx.txid], known) if txid in known.inclusions]
    (behind,) = super(Heirs, heirs).enclaves(1)
    *before, last = parts(order, known, bundles, 1)
    for part in before:
        assert ask(behind, frames.HISTORY, part.to_value()).unwrap()[1] is None
    assert rule(ask(behind, frames.HISTORY, last.to_value())) == "HistoryInvalid"
    ask(behind, frames.RECORD, heirs.naming_record().to_value()).unwrap()
    for part in (*before, last):
        assert ask(behind, frames.HISTORY, part.to_value()).unwrap() == [1, None]
