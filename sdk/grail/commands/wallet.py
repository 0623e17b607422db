"""The verbs of a wallet, from its address to what it pegs, pays and issues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from grail.commands.opening import Network, Token, Units, WalletName, opened, show
from grail.commands.terminal import Json, emit
from grail.errors import InvalidInput

if TYPE_CHECKING:
    from grail.connection.connection import Connection, Wallet
    from grail.connection.deposits import PendingDeposit

Sats = Annotated[int, typer.Argument(min=1, help="Sats.")]
To = Annotated[str, typer.Argument(help="An address, or the name of a wallet here.")]
Which = Annotated[
    str | None, typer.Option("--deposit", help="txid:vout, where several deposits wait.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    for verb in (address, balance, pay, deposit, recover, transfer, issue):
        app.command()(verb)
    app.command()(retry)
    app.command("peg-in")(peg_in)
    app.command("peg-out")(peg_out)


def address(*, wallet: WalletName, network: Network = None, as_json: Json = False) -> None:
    """Show a wallet's address; the wallet is made when there is none of that name."""
    with opened(network) as net:
        found = net.wallet(wallet)
        value = {"wallet": found.name, "address": found.address}
    emit(value, as_json=as_json, text=value["address"])


def balance(
    *,
    wallet: Annotated[
        str | None, typer.Option("--wallet", "-w", help="One wallet; all without it.")
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
        int | None, typer.Option(min=1, help="Most sats that may be taken off for fees.")
    ] = None,
    delay: Annotated[
        int | None, typer.Option(min=144, max=65_535, help="Blocks until it can be taken back.")
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Pay sats to a deposit address of the wallet, from which they become zkBTC."""
    from grail.bridge.deposit import DELAY, MAX_FEE

    with opened(network) as net:
        found = net.existing(wallet).deposit(
            amount, max_fee=max_fee or MAX_FEE, delay=delay or DELAY
        )
    show(found, as_json=as_json)


def peg_in(
    *, wallet: WalletName, which: Which = None, network: Network = None, as_json: Json = False
) -> None:
    """Have a deposit served: its sats go to the vault, as many zkBTC to its owner."""
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
        str | None, typer.Argument(help="An address or a wallet; its own without it.")
    ] = None,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Burn zkBTC; the vault pays the same number of sats, less the fee."""
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
    name: Annotated[str | None, typer.Option(help="What to call the token here.")] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Issue a new token, all of it to the wallet."""
    with opened(network) as net:
        found = net.existing(wallet).issue(supply, name)
    show(found, as_json=as_json)


def retry(*, wallet: WalletName, network: Network = None, as_json: Json = False) -> None:
    """Ask again for what too few operators signed: the same transactions, not their like."""
    with opened(network) as net:
        found = net.existing(wallet).retry()
    text = "\n".join(str(receipt) for receipt in found) or "nothing is unfinished"
    emit([receipt.as_dict() for receipt in found], as_json=as_json, text=text)


def _payee(net: Connection, to: str) -> str | Wallet:
    """The wallet of this name, or the text itself where it is an address."""
    return next((wallet for wallet in net.wallets() if wallet.name == to), to)


def _waiting(user: Wallet, which: str | None) -> PendingDeposit:
    waiting = user.deposits()
    chosen = [d for d in waiting if which in (None, str(d.coin.outpoint))]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise InvalidInput(f"no such deposit of wallet {user.name!r} waits", hint="grail deposit")
    listed = ", ".join(str(d.coin.outpoint) for d in chosen)
    raise InvalidInput(f"{len(chosen)} deposits wait: {listed}", hint="name one with --deposit")
