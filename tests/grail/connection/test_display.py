"""Results as text and as HTML: everything that others wrote stays text."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import REGTEST, Network
from grail.bridge.deposit import Deposit
from grail.charms.app import App, Contract
from grail.charms.record import Record
from grail.charms.spell import Spell
from grail.connection.deposits import PendingDeposit
from grail.connection.display import html_table, text_table
from grail.connection.receipt import Receipt, Receipts
from grail.connection.views import Balances, SpellView
from grail.connection.wallet import Holdings
from grail.crypto.schnorr import NUMS, KeyPair
from grail.draft.assembled import Context
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Balance, Coin

TOKEN = App("t", bytes(32), bytes(32))

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></tr></table><iframe src=javascript:alert(1)>",
    "<svg/onload=alert(1)>",
    "&lt;script&gt;",
    "'\"`<a href=javascript:x>",
)


class Tags(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {"table", "caption", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("text", HOSTILE)
def test_D5_no_text_becomes_html(text: str) -> None:
    shown = [
        html_table((text, "b"), [(text, 1), ("x", None)], text),
        replace(RECEIPT, what=text, absent={text: text})._repr_html_(),
        Receipts([replace(RECEIPT, what=text)])._repr_html_(),
        Holdings(text, BALANCE, {TOKEN: text})._repr_html_(),
        Balances([Holdings(text, BALANCE, {TOKEN: text})])._repr_html_(),
        SpellView(RECEIPT.txid, SPELL, text, {TOKEN: text})._repr_html_(),
        SpellView(RECEIPT.txid, spell_with(text), "correct", {NFT: "n"})._repr_html_(),
    ]
    for html in shown:
        tags = Tags(html)
        assert tags.found <= ALLOWED
        assert tags.attributes <= {"style"}
        assert text in tags.text


RECEIPT = Receipt("swap", Txid(bytes(32)), 100, 50, 2_000, 0.1, 0.2, 12)
BALANCE = Balance(5, 1_000, 0, {TOKEN: 7}, {})
SPELL = Spell.build([{TOKEN: 7}])
NFT = App("n", bytes(32), bytes(32))


def spell_with(text: str) -> Spell:
    return Spell.build([{NFT: [0, text]}])


def test_numbers_stand_to_the_right_with_thousands_apart() -> None:
    assert text_table(("what", "sats"), [("a", 1_000_000), ("bb", 5)]).splitlines() == [
        "what       sats",
        "----  ---------",
        "a     1,000,000",
        "bb            5",
    ]


def test_receipt_reads_well_as_text() -> None:
    text = str(RECEIPT)
    assert "swap" in text
    assert "12 operators" in text
    assert str(RECEIPT.txid) in text
    assert str(Receipts([RECEIPT])).count("\n") == 3


def test_pairs_have_no_head() -> None:
    assert text_table(("", ""), [("txid", "00"), ("fee", "5")]) == "txid  00\nfee   5"
    assert "thead" not in html_table(("", ""), [("txid", "00")])


def test_long_texts_stand_whole_below_the_table() -> None:
    app, other = str(TOKEN), str(NFT)
    assert text_table(("what", app), [(other, 5), ("fee", 1_000), (app, 7)]).splitlines() == [
        "what    [1]",
        "----  -----",
        "[2]       5",
        "fee   1,000",
        "[1]       7",
        f"[1] {app}",
        f"[2] {other}",
    ]
    assert text_table(("", ""), [("token", app)]) == f"token  {app}"


def test_what_is_copied_fits_80_columns() -> None:
    absent = {"operator-01": "silent: ConnectError"}
    for line in str(replace(RECEIPT, absent=absent)).splitlines():
        assert len(line) <= 80
    shown = str(pending(height=None)).splitlines() + str(pending(height=7)).splitlines()
    assert max(map(len, shown)) <= 80
    assert sum(str(OutPoint(RECEIPT.txid, 0)) in line for line in shown) == 2


def test_unconfirmed_deposit_says_when_it_goes_back() -> None:
    assert "144 blocks after its own block" in str(pending(height=None))
    assert "height 151, unless served before" in str(pending(height=7))


def pending(height: int | None) -> PendingDeposit:
    owner = Account("alice", KeyPair(b"\x01" * 32), REGTEST)
    network = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))
    roster = Roster(0, (owner.internal_key,), 1, NUMS)
    zkbtc = Contract(bytes(32), bytes(32))
    context = Context(network, Record(zkbtc), 10)
    deposit = Deposit(context, zkbtc, roster, owner.script, owner.internal_key, 3_000, 144)
    coin = Coin(OutPoint(RECEIPT.txid, 0), TxOut(50_000, deposit.script), {}, height)
    return PendingDeposit(deposit, coin, 9)


def test_transaction_without_a_spell_has_no_table() -> None:
    view = SpellView(RECEIPT.txid, None, "no spell", {}, "absent")
    assert str(view) == f"no spell, proof absent: transaction\n{RECEIPT.txid}"
    assert repr(view) == str(view)


def test_sats_in_no_block_are_shown() -> None:
    fresh = Holdings("alice", replace(BALANCE, unconfirmed=3), {TOKEN: "TOK"})
    assert "sats in no block yet" in str(fresh)
    assert "no block" not in str(Holdings("alice", BALANCE, {TOKEN: "TOK"}))
    assert fresh.as_dict()["names"] == {str(TOKEN): "TOK"}


def test_balances_become_a_frame() -> None:
    pandas = pytest.importorskip("pandas")
    held = Balances(
        [Holdings("alice", BALANCE, {TOKEN: "TOK"}), Holdings("bob", Balance(1, 0, 0, {}, {}), {})]
    )
    frame = held.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc["alice", "TOK"] == 7
    assert frame.loc["bob", "TOK"] == 0
