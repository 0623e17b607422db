"""The main job over a real node and sixteen real operators, and what they must refuse."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.kernel import verify_spend

from grail.bitcoin.tx import Tx
from grail.charms.app import Contract
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.swap import Intent, SwapReceipt, pool_port, swap
from grail.crypto.schnorr import KeyPair
from grail.draft.draft import Purse
from grail.errors import (
    Incorrect,
    InsufficientFunds,
    InvalidInput,
    QuorumNotReached,
    Refused,
    WouldBurn,
)
from grail.exchange.pool import draft_move, swapping
from grail.operators.asking import Limits
from grail.operators.turns import Turn
from grail.types import OutPoint
from grail_devnet import attacks
from grail_devnet.devnet import Devnet
from grail_devnet.enclave_socket import SocketTransport

pytestmark = pytest.mark.devnet


@pytest.fixture(scope="module")
def net(devnet: Devnet) -> Iterator[Connection]:
    with connect(devnet.file, progress=False) as connection:
        yield connection


@pytest.fixture(scope="module")
def alice(net: Connection) -> Wallet:
    """Alice, with sats and zkBTC."""
    wallet = net.wallet("alice")
    net.faucet(wallet, 3_000_000)
    deposit = wallet.deposit(800_000)
    net.mine(6)
    wallet.peg_in(deposit)
    net.mine()
    return wallet


@pytest.fixture(scope="module")
def bob(net: Connection, alice: Wallet) -> Wallet:
    """Bob, with sats and zkBTC."""
    wallet = net.wallet("bob")
    net.faucet(wallet, 1_000_000)
    alice.transfer(net.zkbtc, 300_000, wallet)
    net.mine()
    return wallet


@pytest.fixture(scope="module")
def pool(net: Connection, alice: Wallet) -> Contract:
    token = alice.issue(10**9, "TOK").token
    opened = alice.create_pool(net.zkbtc, 100_000, token, 400_000_000, name="POOL").pool
    net.mine()
    return opened


@pytest.fixture(scope="module")
def sockets(devnet: Devnet) -> SocketTransport:
    operators = sorted(devnet.file.operators, key=lambda operator: operator.key)
    return SocketTransport([operator.socket for operator in operators])


def kernel_accepts(net: Connection, txid: object) -> None:
    """The published transaction's witnesses, judged by libbitcoinkernel."""
    call, node = net.portal.call, net.session.node
    tx = Tx.parse(call(node.getrawtransaction, txid))
    parents = [Tx.parse(call(node.getrawtransaction, i.outpoint.txid)) for i in tx.inputs]
    spent = [p.outputs[i.outpoint.vout] for p, i in zip(parents, tx.inputs, strict=True)]
    verify_spend(tx.serialize(), spent)
    assert tx.vsize == next(r.vsize for r in net.receipts if r.txid == txid)


def surplus(net: Connection) -> int:
    """The vault's sats less all units there are: what holders burned, here in other files."""
    units = [coin.units(net.zkbtc) for coin in net.session.ledger.holders(net.zkbtc)]
    return sum(coin.sats for coin in net.session.vault()) - sum(units)


def test_units_move_as_the_vault_does_and_every_spend_is_valid(
    net: Connection, alice: Wallet, bob: Wallet, pool: Contract
) -> None:
    burned = surplus(net)
    assert burned >= 0
    alice.add(pool, 50_000, 200_000_000)
    swapped = bob.swap(pool, net.zkbtc, 10_000)
    assert swapped.signers == 12
    bob.peg_out(40_000)
    net.mine()
    assert surplus(net) == burned
    for receipt in net.receipts:
        assert net.wait(receipt) >= 1
        kernel_accepts(net, receipt.txid)


@pytest.mark.parametrize(
    "attack", ["inflated_mint", "diverted_mint", "claimed_mint", "greedy", "replayed", "moved"]
)
def test_refusals_come_back_signed_with_their_rule(
    attack: str, net: Connection, alice: Wallet, pool: Contract, sockets: SocketTransport
) -> None:
    call, session = net.portal.call, net.session
    bob = net.wallet("bob")
    thief, give = bob.inner.account, net.zkbtc
    if "mint" in attack:
        waiting = alice.deposits() or [alice.deposit(200_000)]
        net.mine(6)
        arguments = (waiting[0],) if attack == "inflated_mint" else (waiting[0], thief)
        built = call(getattr(attacks, attack), session, *arguments)
    elif attack == "greedy":
        built = call(attacks.greedy_swap, session, thief, pool, give, 5_000)
    elif attack == "replayed":
        built = call(attacks.replayed_proof, session, thief, pool, give, 5_000)
    else:
        built = call(attacks.unproven_move, session, thief, pool)
    verdict = call(attacks.ask, session, built, sockets, 16)
    assert not verdict.others
    assert len(verdict.refusals) == 16
    assert {refusal.rule for refusal in verdict.refusals.values()} == {built.rule}


def test_certificate_of_eleven_votes_signs_nothing(
    net: Connection, bob: Wallet, pool: Contract, sockets: SocketTransport
) -> None:
    call, session = net.portal.call, net.session
    call(session.refresh)
    port = pool_port(session, pool)
    purse = Purse(session.usable(bob.script), bob.script, session.rate)
    built = draft_move(
        session.context(), session.apps.pool, port, purse, swapping(port, net.zkbtc, 2_000)
    )
    proven = built.prove()
    request = call(session.request, proven, bob.inner.account)
    attack = call(attacks.undecided, session, request, sockets)
    assert attack.title == "a certificate of 11 votes"
    verdict = call(attacks.ask, session, attack, sockets, 16)
    assert verdict.refused
    assert len(verdict.refusals) == 16
    # with the twelfth vote the same request completes: the refusals changed nothing
    collected = call(session.sign, request)
    call(session.publish, collected.tx)
    assert call(session.refresh)
    assert session.ledger.coin(port.coin.outpoint) is None


def test_L8_rival_swaps_take_turns_and_both_complete(
    net: Connection, alice: Wallet, bob: Wallet, pool: Contract
) -> None:
    net.mine()
    before = net.pool(pool).reserves[net.zkbtc]
    results: dict[str, object] = {}

    def swap(wallet: Wallet) -> None:
        try:
            results[wallet.name] = wallet.swap(pool, net.zkbtc, 3_000, least=1)
        except Exception as exc:  # noqa: BLE001 - compared below
            results[wallet.name] = exc

    threads = [threading.Thread(target=swap, args=(wallet,)) for wallet in (alice, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: getattr(r, "gave", r) for name, r in results.items()} == {
        "alice": 3_000,
        "bob": 3_000,
    }
    assert net.pool(pool).reserves[net.zkbtc] == before + 6_000


@dataclass
class Race:
    """Alice swaps, and while she proves Bob takes the pool: so many `times`, each a winner."""

    net: Connection
    alice: Wallet
    hasty: Wallet
    pool: Contract
    times: int = 1
    winners: list[SwapReceipt] = field(default_factory=list)

    def swap(self, amount: int, least: int = 1) -> SwapReceipt:
        intent = Intent(self.pool, self.net.zkbtc, amount, least)
        alice = self.alice.inner.account
        return self.net.portal.call(swap, self.net.session, alice, intent, self._step)

    def _step(self, what: str) -> None:
        if what == "prove" and len(self.winners) < self.times:
            amount = 2_000 + len(self.winners)
            self.winners.append(self.hasty.swap(self.pool, self.net.zkbtc, amount, least=1))


@pytest.fixture
def race(net: Connection, alice: Wallet, bob: Wallet, pool: Contract) -> Iterator[Race]:
    """Bob, by another connection, does not queue: a queue is a hint, never a lock."""
    net.mine()
    with connect(net.session.file, progress=False) as other:
        other.session.turn = lambda _contract: contextlib.nullcontext(Turn())  # type: ignore[assignment,method-assign]
        yield Race(net, alice, other.wallet(bob.name), pool)


def test_L8_a_swap_whose_pool_was_taken_is_rebased(race: Race) -> None:
    race.times = 2
    zkbtc, before = race.net.zkbtc, race.net.pool(race.pool)
    first = before.quote(zkbtc, 5_000).taken
    receipt = race.swap(5_000)
    assert len(race.winners) == len(receipt.overtaken) == 2
    assert receipt.overtaken[0] == first > receipt.overtaken[1] > receipt.got
    after = race.net.pool(race.pool)
    (token,) = set(after.reserves) - {zkbtc}
    assert after.reserves[zkbtc] - before.reserves[zkbtc] == 5_000 + 2_000 + 2_001
    paid_out = before.reserves[token] - after.reserves[token]
    assert paid_out == receipt.got + sum(winner.got for winner in race.winners)


def test_L8_a_rebase_ends_at_the_users_own_limit(race: Race) -> None:
    quote = race.net.pool(race.pool).quote(race.net.zkbtc, 6_000).taken
    held, published = race.alice.balance().held(), len(race.net.receipts)
    with pytest.raises(Refused, match=f"was faster, the quote was {quote}") as caught:
        race.swap(6_000, least=quote)
    assert (caught.value.rule, caught.value.expected) == ("StaleTip", str(quote))
    assert str(race.winners[0].txid) in str(caught.value)
    assert int(caught.value.got) < quote
    assert (race.alice.balance().held(), len(race.net.receipts)) == (held, published)
    assert not list(race.net.session.unfinished)


def test_L8_who_is_always_overtaken_is_told_by_whom(
    race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    race.times = 3
    monkeypatch.setattr("grail.connection.swap.REBASES", 1)
    with pytest.raises(Refused, match="taken by others 2 times") as caught:
        race.swap(7_000)
    assert caught.value.rule == "StaleTip"
    assert str(race.winners[1].txid) in str(caught.value)


def test_quote_below_the_least_wanted_is_StaleTip_and_asks_nobody(
    net: Connection, bob: Wallet, pool: Contract
) -> None:
    quote = net.pool(pool).quote(net.zkbtc, 1_000)
    published = len(net.receipts)
    with pytest.raises(Refused) as caught:
        bob.swap(pool, net.zkbtc, 1_000, least=quote.taken + 1)
    assert (caught.value.rule, caught.value.got) == ("StaleTip", str(quote.taken))
    with pytest.raises(Refused, match="deadline"):
        bob.swap(pool, net.zkbtc, 1_000, deadline=net.height)
    assert len(net.receipts) == published


def test_eleven_operators_are_too_few_and_the_twelfth_completes_the_same_swap(
    devnet: Devnet, net: Connection, bob: Wallet, pool: Contract
) -> None:
    net.mine()
    before = net.pool(pool).reserves[net.zkbtc]
    stopped = [operator.name for operator in devnet.file.operators[:5]]
    for name in stopped:
        devnet.pause(name)
    net.session.limits = Limits(answer=3.0)
    try:
        with pytest.raises(QuorumNotReached, match="11 of 12") as caught:
            bob.swap(pool, net.zkbtc, 4_000)
        assert sum("silent" in said for said in caught.value.replies.values()) == 5
        (begun,) = net.session.unfinished
        devnet.resume(stopped[0])
        # another program of Bob's, later: what is unfinished lies in his folder
        with connect(net.session.file, progress=False) as later:
            swapped = later.wallet("bob").swap(pool, net.zkbtc, 4_000)
            assert len(swapped.absent) <= 4
    finally:
        net.session.limits = Limits()
        for name in stopped:
            devnet.resume(name)
    assert swapped.txid == begun
    assert net.pool(pool).reserves[net.zkbtc] == before + 4_000
    assert not list(net.session.unfinished)


def test_unserved_deposit_is_recovered_after_its_delay(net: Connection, bob: Wallet) -> None:
    deposit = bob.deposit(50_000, delay=144)
    net.mine()
    with pytest.raises(InvalidInput, match="can be taken back"):
        bob.recover(deposit)
    net.mine(144)
    receipt = bob.recover(deposit)
    net.mine()
    kernel_accepts(net, receipt.txid)
    with pytest.raises(InvalidInput, match="spent already"):
        bob.recover(deposit)


def test_deposit_is_not_served_before_it_is_deep(net: Connection, alice: Wallet) -> None:
    deposit = alice.deposit(50_000, delay=145)
    net.mine(5)
    with pytest.raises(InvalidInput, match="5 confirmations, expected 6"):
        alice.peg_in(deposit)


def test_C8_plain_payment_leaves_charmed_coins_alone(net: Connection, bob: Wallet) -> None:
    held = bob.balance()
    assert held.balance.carriers >= 1_000
    # a careless wallet would take the missing sats from under the charms
    with pytest.raises(InvalidInput):
        bob.pay(held.sats + 1, net.wallet("carol"))
    bob.pay(held.sats // 2, net.wallet("carol"))
    net.mine()
    after = bob.balance()
    assert after.balance.tokens == held.balance.tokens
    assert after.balance.carriers == held.balance.carriers


def test_C8_charmed_coin_without_a_spell_is_refused(net: Connection, bob: Wallet) -> None:
    from grail.draft.draft import Draft

    charmed = next(coin for coin in bob.coins() if coin.charms)
    draft = Draft(net.session.context())
    draft.spend(charmed)
    draft.pay(bob.script, 330)
    with pytest.raises(WouldBurn):
        draft.assemble()


def test_C19_ledger_follows_a_reorg(net: Connection, alice: Wallet, bob: Wallet) -> None:
    call, session = net.portal.call, net.session
    net.mine(2)
    before = alice.balance()
    receipt = alice.transfer(net.zkbtc, 1_000, bob)
    net.mine()
    assert alice.balance().units(net.zkbtc) == before.units(net.zkbtc) - 1_000
    tip = call(session.node.getbestblockhash)
    call(session.node.invalidateblock, tip)
    # the transfer is unconfirmed again, and then confirmed in another block
    call(session.refresh)
    assert session.ledger.confirmations(receipt.txid) == 0
    # another reward, or the new block would be the one that was undone
    call(session.node.generatetodescriptor, 2, bob.script)
    call(session.refresh)
    assert session.ledger.confirmations(receipt.txid) >= 1
    assert alice.balance().units(net.zkbtc) == before.units(net.zkbtc) - 1_000
    with connect(session.file, progress=False) as fresh:
        assert fresh.session.ledger.state_hash() == session.ledger.state_hash()


def test_D22_operators_that_are_not_the_roster_are_refused(net: Connection) -> None:
    file = net.session.file
    impostor = replace(file.operators[0], key=KeyPair.generate().public)
    with pytest.raises(Incorrect, match="not the roster"):
        connect(replace(file, operators=(impostor, *file.operators[1:])), progress=False)


def test_verbs_from_the_shell(net: Connection, pool: Contract) -> None:
    def grail(*arguments: str) -> dict:
        code = "from grail.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, "--network", net.name, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    net.wallet("bob")  # whom the transfer names
    dora = grail("address", "--wallet", "dora")["address"]
    net.faucet(dora, 500_000)
    paid = grail("deposit", "300000", "--wallet", "dora")
    assert paid["sats"] == 300_000
    net.mine(6)
    assert grail("peg-in", "--wallet", "dora")["signers"] == 12
    net.mine()
    held = grail("balance", "--wallet", "dora")
    assert held["tokens"][str(net.zkbtc)] > 290_000
    grail("transfer", "zkBTC", "5000", "bob", "--wallet", "dora")
    net.mine()
    swapped = grail("swap", "POOL", "zkBTC", "1000", "--wallet", "dora")
    assert swapped["got"] > 0
    shown = grail("spell", "show", swapped["txid"])
    assert shown["verdict"] == "correct"
    assert [proof["action"] for proof in shown["proofs"]] == [3]
    assert grail("pool", "show", "POOL")["contract"] == str(pool)
    net.mine()
    assert grail("peg-out", "20000", "--wallet", "dora")["signers"] == 12
    net.mine()
    assert OutPoint.from_text(paid["outpoint"])


@pytest.mark.parametrize("name", ["../x", "a/../../b", "", "Alice", "/tmp/x"])
def test_D22_wallet_names_stay_in_their_folder(net: Connection, name: str) -> None:
    folder = net.session.file.folder

    def written() -> list[Path]:
        """Without what hosts and the node write of their own at any time."""
        busy = [folder / each for each in ("hosts", "node", "logs")]
        return sorted(path for path in folder.rglob("*") if not any(map(path.is_relative_to, busy)))

    before = written()
    for call in (net.wallet, net.existing):
        with pytest.raises(InvalidInput, match="wallet name"):
            call(name)
    assert written() == before


@pytest.mark.usefixtures("pool")
def test_what_is_no_pool_and_no_transaction_is_said(net: Connection, alice: Wallet) -> None:
    with pytest.raises(InvalidInput, match="is no constant-product pool"):
        net.pool("zkBTC")
    with pytest.raises(InvalidInput, match="is no constant-product pool"):
        alice.swap(net.token("TOK").contract, net.zkbtc, 100)
    with pytest.raises(InvalidInput, match="no transaction 00"):
        net.spell("00" * 32)


def test_units_in_no_block_are_told_of_when_the_quorum_needs_them(
    net: Connection, alice: Wallet, pool: Contract
) -> None:
    erin = net.wallet("erin")  # nobody else of this network
    net.faucet(erin, 100_000)
    alice.transfer(net.zkbtc, 1_000, erin)
    with pytest.raises(InsufficientFunds, match="1000 more wait for a block") as caught:
        erin.swap(pool, net.zkbtc, 1_000)
    assert "wait for a block" in caught.value.hint
    net.mine()
    assert erin.swap(pool, net.zkbtc, 1_000).got > 0


def test_a_wallet_that_takes_the_quorums_word_sees_the_same_and_swaps(
    net: Connection, bob: Wallet, pool: Contract
) -> None:
    """`history="anchored"`: the same charms and balances, a swap of its own, fewer checks."""
    swapped = bob.swap(pool, net.zkbtc, 5_000)
    net.mine()
    height = net.height
    with connect(net.session.file, progress=False, history="anchored") as light:
        assert light.height == height
        ledgers = [each.session.ledger for each in (net, light)]
        assert ledgers[1].state_hash() == ledgers[0].state_hash()
        assert light.existing("bob").balance().held() == bob.balance().held()
        assert light.spell(swapped.txid).verdict == "correct by its quorum's word"
        assert net.spell(swapped.txid).verdict == "correct"
        assert light.existing("alice").swap(pool, light.zkbtc, 3_000).signers == 12
    net.mine()
    with pytest.raises(InvalidInput, match="anchored or full"):
        connect(net.session.file, history="none")  # type: ignore[arg-type]
