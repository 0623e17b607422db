"""`grail pool ...` and `grail swap`."""

from __future__ import annotations

from typing import Annotated

import typer

from grail.commands.opening import (
    Network,
    PoolName,
    Token,
    Units,
    WalletName,
    amounts,
    example,
    opened,
    show,
)
from grail.commands.terminal import READING, Json

First = Annotated[str, typer.Argument(metavar="TOKEN:UNITS", help="What the pool holds first.")]
Second = Annotated[str, typer.Argument(metavar="TOKEN:UNITS", help="And of its other token.")]
MostFirst = Annotated[
    int, typer.Argument(min=1, metavar="FIRST", help="Most units of the pool's first token.")
]
MostSecond = Annotated[
    int, typer.Argument(min=1, metavar="SECOND", help="Most units of the pool's second token.")
]
Shares = Annotated[int, typer.Argument(min=1, metavar="SHARES", help="Shares of the pool.")]

pool = typer.Typer(help="Pools of two tokens, constant product.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.add_typer(pool, name="pool")
    app.command(epilog=example("swap POOL zkBTC 10000 --wallet alice"))(swap)


@pool.command(epilog=example("pool create zkBTC:100000 TOK:400000 -w alice --name POOL"))
def create(
    first: First,
    second: Second,
    *,
    wallet: WalletName,
    fee: Annotated[
        int, typer.Option(min=1, max=1_000, metavar="N", help="In hundredths of a percent.")
    ] = 30,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call the pool here.")
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Open a pool with its first reserves."""
    (token_a, a), (token_b, b) = amounts(first), amounts(second)
    with opened(network) as net:
        user = net.existing(wallet)
        found = user.create_pool(net.token(token_a), a, net.token(token_b), b, fee=fee, name=name)
    show(found, as_json=as_json)


@pool.command(epilog=example("pool add POOL 1000 4000000 --wallet alice"))
def add(
    which: PoolName,
    a: MostFirst,
    b: MostSecond,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Add at most so many units of both tokens, for the most shares."""
    with opened(network) as net:
        found = net.existing(wallet).add(net.contract(which), a, b)
    show(found, as_json=as_json)


@pool.command(epilog=example("pool remove POOL 1000 --wallet alice"))
def remove(
    which: PoolName,
    shares: Shares,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Burn shares for their part of both reserves."""
    with opened(network) as net:
        found = net.existing(wallet).remove(net.contract(which), shares)
    show(found, as_json=as_json)


@pool.command("show", epilog=example("pool show POOL", READING))
def show_pool(which: PoolName, *, network: Network = None, as_json: Json = False) -> None:
    """Show a pool's reserves and shares."""
    with opened(network) as net:
        found = net.pool(which)
    show(found, as_json=as_json)


def swap(
    which: PoolName,
    give: Token,
    units: Units,
    *,
    wallet: WalletName,
    least: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="UNITS", help="Least to get; else half a percent below the quote."
        ),
    ] = None,
    deadline: Annotated[
        int | None,
        typer.Option(min=1, metavar="HEIGHT", help="Last height at which it may be sent."),
    ] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Pay units of a token into a pool for its other one."""
    with opened(network) as net:
        found = net.existing(wallet).swap(
            net.contract(which), net.token(give), units, least=least, deadline=deadline
        )
    show(found, as_json=as_json)
