"""Steps 1 to 5: what a request carries, and what the chain says of it."""

from __future__ import annotations

from dataclasses import replace

from enclave_world import MALLORY, N, ballot, open_round, promise
from made_chain import coinbase

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import TxIn
from grail.charms.spell import Inputs
from grail.errors import Refused
from grail.operators.evidence import SigningRequest, TxEvidence
from grail.types import Txid, TxOut
from grail_enclave.case import Case
from grail_enclave.enclave import Enclave
from grail_enclave.established import Deep, ParentsSafe, Parsed, Placed, Spent
from grail_enclave.history import History
from grail_enclave.intake import ConfirmedRule, ParentRule, PrevoutRule, PsbtRule, ShapeRule
from grail_enclave.policy import DepositRule
from socket_attacks.registry import Target, attack, instead, patched, rule_out, voted
from socket_attacks.scene import Heist, Scene


class AnyPsbt(PsbtRule):
    """A reader that stops at the end of what it knows, as many do."""

    def check(self, case: Case) -> Parsed:
        return Parsed(Psbt.parse(case.request.psbt[:-1]))


@attack(
    "PsbtInvalid",
    "S28",
    gains="Mallory: one request of which two readers see two different things",
    out=instead("PsbtInvalid", AnyPsbt()),
)
def a_psbt_with_something_behind_it(scene: Scene) -> SigningRequest:
    request = scene.house_use().request()
    return replace(request, psbt=request.psbt + b"\x00")


class AnyWitness(ShapeRule):
    """Takes users' witnesses as they come."""

    def _check_witness(self, index: int, witness: tuple[bytes, ...]) -> None:
        pass


@attack(
    "TxShape",
    "S6",
    "S7",
    gains="Mallory: after the vote she changes what her signature never covered",
    out=instead("TxShape", AnyWitness()),
)
def a_signature_of_one_input_alone(scene: Scene) -> SigningRequest:
    request = scene.house_use().request()
    psbt = Psbt.parse(request.psbt)
    (signature,) = psbt.inputs[1].final_script_witness or ()
    single = psbt.with_input(1, final_script_witness=(signature[:64] + b"\x83",))
    return replace(request, psbt=single.serialize())


class AnyPrevout(PrevoutRule):
    """Believes what the request says that an input spends."""

    def _prevout(self, index: int, txin: TxIn, items: dict, claimed: TxOut | None) -> TxOut:
        return claimed or super()._prevout(index, txin, items, claimed)


@attack(
    "PrevoutMismatch",
    "S2",
    gains="Mallory: a decision for what can never confirm keeps the port busy",
    out=instead("PrevoutMismatch", AnyPrevout()),
)
def a_coin_said_to_be_larger(scene: Scene) -> SigningRequest:
    coin = scene.give(MALLORY, 2_000)
    larger = replace(coin, output=TxOut(60_000, coin.output.script))
    heist = scene.house_use(inputs=[scene.ports[0], larger])
    return heist.request()


class AnyDepth(DepositRule):
    """Rows as they are placed, however deep."""

    def check(self, case: Case) -> Deep:
        heights = case.got(Placed).heights
        return Deep(tuple((i, h) for i, h in enumerate(heights) if h is not None and i == 1))


def of_a_deposit(scene: Scene, *, blocks: int, **terms: int) -> Heist:
    """Mallory's deposit, so many blocks under the tip, served."""
    deposit = scene.deposit(MALLORY, **terms)
    coin = scene.give(deposit.script, 500_000)
    scene.chain.mine_many(blocks)
    minted = 497_000
    return scene.settle(
        [coin],
        [scene.vault_after(minted), (1_000, MALLORY.script, {scene.zkbtc.token: minted})],
        x={scene.zkbtc: Inputs(rows=(deposit.row(1, 1),))},
    )


@attack(
    "NotConfirmed",
    "S12",
    "S21",
    gains="Mallory: takes her deposit back by a reorganisation once its units are sold",
    out=instead("DepositDepth", AnyDepth()),
)
def a_deposit_that_is_not_deep(scene: Scene) -> SigningRequest:
    # One more block comes with the coin that pays: k - 1 confirmations.
    return of_a_deposit(scene, blocks=scene.network.k - 3).request()


_height = History.height


def height_or_any(self: History, txid: Txid) -> int | None:
    """Where a transaction is confirmed; a proof that fails is as good as one that holds."""
    try:
        return _height(self, txid)
    except Refused:
        return self._anchors.next_height - 10


@attack(
    "NotConfirmed",
    "S13",
    "S14",
    gains="Mallory: a deposit that no block holds is minted",
    out=patched(History, "height", height_or_any),
)
def a_deposit_in_another_block(scene: Scene) -> SigningRequest:
    heist = of_a_deposit(scene, blocks=10)
    request = heist.request()
    txid = heist.inputs[1].outpoint.txid
    other = scene.chain.prove(heist.inputs[0].outpoint.txid)
    return replace(
        request,
        evidence=tuple(
            replace(item, inclusion=other) if item.tx.txid == txid else item
            for item in request.evidence
        ),
    )


class AnyAge(ConfirmedRule):
    """Where parents are confirmed, coinbases as soon as they are."""

    def check(self, case: Case) -> Placed:
        history = case.got(Spent).history
        return Placed(
            tuple(history.height(i.outpoint.txid) for i in case.got(Parsed).psbt.tx.inputs)
        )


@attack(
    "NotConfirmed",
    "S26",
    gains="Mallory, a miner: her fresh coinbase keeps the port busy for a hundred blocks",
    out=instead("NotConfirmed", AnyAge()),
)
def a_coinbase_that_is_not_mature(scene: Scene) -> SigningRequest:
    tx = coinbase(scene.chain.height + 1, MALLORY.script)
    tx = replace(tx, outputs=(TxOut(60_000, MALLORY.script),))
    scene.mine_coinbase(tx)
    return scene.house_use(inputs=[scene.ports[0], scene.coin(tx, 0)]).request()


class AnyParent(ParentRule):
    """Takes whatever parent."""

    def check(self, case: Case) -> ParentsSafe:  # noqa: ARG002
        return ParentsSafe(0)


@attack(
    "ParentUnsafe",
    "S21",
    "S23",
    gains="Mallory: replaces the parent of her own coin, and everybody who chained is undone",
    out=instead("ParentUnsafe", AnyParent()),
)
def an_unconfirmed_coin_of_her_own(scene: Scene) -> SigningRequest:
    coin = scene.give(MALLORY, 60_000, mined=False)
    heist = scene.house_use(inputs=[scene.ports[0], coin])
    built = heist.assembled()
    psbt = built.psbt(scene.transactions, *heist.signers)
    honest = scene.house_use().request()
    parent = TxEvidence(scene.transactions[coin.outpoint.txid].serialize())
    return replace(honest, psbt=psbt.serialize(), evidence=(*honest.evidence, parent))


@attack(
    "ViewStale",
    "S11",
    "R8",
    gains="Mallory, a host: an enclave kept in the past votes as if no block had come since",
    out=rule_out("ViewStale"),
)
def an_enclave_kept_in_the_past(scene: Scene) -> Target:
    first = scene.house_use().request()
    second = scene.house_use(inputs=[scene.ports[1], scene.give(MALLORY, 60_000)]).request()
    late = scene.network.staleness + 1

    def heard(enclave: Enclave) -> None:
        """Promises of others tell it of headers that its host withholds."""
        others = scene.enclaves(N)[1:13]
        scene.chain.mine_many(late)
        scene.feed(*others)
        opened = open_round(others[0], 1, first)
        promises = [promise(other, opened, first) for other in others]
        ballot(enclave, promises, first).unwrap()
        del scene.chain.blocks[-late:]

    return voted(second, prepare=heard)
