"""The verbs of a wallet, from its address to what it pegs, pays and issues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from grail.commands.opening import Network, Token, Units, WalletName, example, opened, show
from grail.commands.terminal import ASKING, READING, Json, emit, note
from grail.errors import InvalidInput

if TYPE_CHECKING:
    from grail.connection.connection import Connection, Wallet
    from grail.connection.deposits import PendingDeposit

Sats = Annotated[int, typer.Argument(min=1, metavar="SATS", help="Whole sats.")]
To = Annotated[str, typer.Argument(metavar="TO", help="An address, or the name of a wallet here.")]
Which = Annotated[
    str | None,
    typer.Option("--deposit", metavar="TXID:VOUT", help="Which, where several deposits wait."),
]

EXAMPLES = {
    "address": "--wallet alice",
    "balance": "--json",
    "pay": "100000 bob --wallet alice",
    "deposit": "1000000 --wallet alice",
    "peg-in": "--wallet alice",
    "transfer": "zkBTC 5000 bob --wallet alice",
    "issue": "1000000000 --wallet alice --name TOK",
    "peg-out": "50000 --wallet alice",
    "recover": "--wallet alice",
    "retry": "--wallet alice",
    "raise-fee": "TXID 20 --wallet alice",
}

LONGEST_NAME = 32
"""Every address is longer, so what is not is meant for a wallet's name."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    for verb in (
        *(address, balance, pay, deposit, peg_in, transfer, issue),
        *(peg_out, recover, retry, raise_fee),
    ):
        name = verb.__name__.replace("_", "-")
        codes = READING if verb in (address, balance, pay, deposit, recover, raise_fee) else ASKING
        app.command(name, epilog=example(f"{name} {EXAMPLES[name]}", codes))(verb)


def address(*, wallet: WalletName, network: Network = None, as_json: Json = False) -> None:
    """Show a wallet's address, or make a new wallet.

    A name that no wallet has yet gets one, with a key of its own.
    """
    with opened(network) as net:
        found = net.wallet(wallet)
        value = {"wallet": found.name, "address": found.address}
    emit(value, as_json=as_json, text=value["address"])


def balance(
    *,
    wallet: Annotated[
        str | None,
        typer.Option("--wallet", "-w", metavar="NAME", help="One wallet; all without it."),
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Show sats and tokens, of one wallet or of all."""
    with opened(network) as net:
        if wallet is not None:
            show(net.existing(wallet).balance(), as_json=as_json)
            return
        held = net.balances()
    if not held:
        note("no wallet is here yet; make one: grail address --wallet alice")
    if held or as_json:
        emit([one.as_dict() for one in held], as_json=as_json, text=lambda: str(held))


def pay(
    amount: Sats, to: To, *, wallet: WalletName, network: Network = None, as_json: Json = False
) -> None:
    """Pay plain sats to somebody."""
    with opened(network) as net:
        show(net.existing(wallet).pay(amount, _payee(net, to)), as_json=as_json)


def deposit(
    amount: Sats,
    *,
    wallet: WalletName,
    max_fee: Annotated[
        int | None,
        typer.Option(min=1, metavar="SATS", help="Most that may be taken off for fees."),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option(
            min=144, max=65_535, metavar="BLOCKS", help="How long until it can be taken back."
        ),
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Pay sats to the wallet's deposit address, to become zkBTC."""
    from grail.bridge.deposit import DELAY, MAX_FEE

    with opened(network) as net:
        found = net.existing(wallet).deposit(
            amount, max_fee=max_fee or MAX_FEE, delay=delay or DELAY
        )
        depth = net.session.network.k
    show(found, as_json=as_json)
    if not as_json:
        note(
            f"next: {depth} blocks (on a devnet: grail devnet mine {depth}), then "
            f"grail peg-in --wallet {wallet}"
        )


def peg_in(
    *, wallet: WalletName, which: Which = None, network: Network = None, as_json: Json = False
) -> None:
    """Turn a deposit into zkBTC, one unit a sat, less the fee.

    Its sats go to the vault, which the operators guard.
    """
    with opened(network) as net:
        user = net.existing(wallet)
        show(user.peg_in(_waiting(user, which)), as_json=as_json)


def recover(
    *, wallet: WalletName, which: Which = None, network: Network = None, as_json: Json = False
) -> None:
    """Take back a deposit that nobody served, after its delay."""
    with opened(network) as net:
        user = net.existing(wallet)
        show(user.recover(_waiting(user, which)), as_json=as_json)


def peg_out(
    units: Units,
    to: Annotated[
        str | None,
        typer.Argument(metavar="TO", help="An address or a wallet; its own without it."),
    ] = None,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Burn zkBTC for sats from the vault, less the fee."""
    with opened(network) as net:
        payee = None if to is None else _payee(net, to)
        show(net.existing(wallet).peg_out(units, payee), as_json=as_json)


def transfer(
    token: Token,
    units: Units,
    to: To,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Give units of a token to somebody."""
    with opened(network) as net:
        found = net.existing(wallet).transfer(net.token(token), units, _payee(net, to))
    show(found, as_json=as_json)


def issue(
    supply: Units,
    *,
    wallet: WalletName,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the token here.")
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Issue a new token, all of it to the wallet."""
    with opened(network) as net:
        found = net.existing(wallet).issue(supply, name)
    show(found, as_json=as_json)


def retry(*, wallet: WalletName, network: Network = None, as_json: Json = False) -> None:
    """Ask again for what too few operators signed.

    The same transactions, not their like: nothing is done twice.
    """
    with opened(network) as net:
        found = net.existing(wallet).retry()
    text = "\n".join(str(receipt) for receipt in found) or "nothing is unfinished"
    emit([receipt.as_dict() for receipt in found], as_json=as_json, text=text)


def raise_fee(
    txid: Annotated[str, typer.Argument(metavar="TXID", help="A transaction in no block yet.")],
    rate: Annotated[int, typer.Argument(min=1, metavar="RATE", help="Sats per virtual byte.")],
    *,
    wallet: WalletName,
    replace: Annotated[
        bool, typer.Option("--replace", help="By the same transaction with less change.")
    ] = False,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Raise the fee of a transaction that waits for a block.

    By a child that spends an output of this wallet's and pays for both, where there is one.
    """
    by: Literal["replacement"] | None = "replacement" if replace else None
    with opened(network) as net:
        show(net.existing(wallet).raise_fee(txid, rate, by=by), as_json=as_json)


def _payee(net: Connection, to: str) -> str | Wallet:
    """The wallet of this name, or the text itself where it is an address."""
    wallets = {wallet.name: wallet for wallet in net.wallets()}
    if to not in wallets and len(to) <= LONGEST_NAME:
        raise InvalidInput(
            f"no wallet is called {to!r} here",
            hint=f"wallets here: {', '.join(wallets)}; or give an address",
        )
    return wallets.get(to, to)


def _waiting(user: Wallet, which: str | None) -> PendingDeposit:
    waiting = user.deposits()
    chosen = [d for d in waiting if which in (None, str(d.coin.outpoint))]
    if len(chosen) == 1:
        return chosen[0]
    listed = ", ".join(str(d.coin.outpoint) for d in waiting)
    if not waiting:
        raise InvalidInput(
            f"no deposit of wallet {user.name!r} waits",
            hint=f"make one: grail deposit SATS --wallet {user.name}",
        )
    if not chosen:
        raise InvalidInput(f"no deposit {(which or '')[:80]!r} waits", hint=f"waiting: {listed}")
    raise InvalidInput(f"{len(chosen)} deposits wait: {listed}", hint="name one with --deposit")
