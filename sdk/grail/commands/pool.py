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
    opened,
    show,
)
from grail.commands.terminal import Json

Reserve = Annotated[str, typer.Argument(help="TOKEN:UNITS, such as zkBTC:100000.")]

pool = typer.Typer(help="Pools of two tokens, constant product.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.add_typer(pool, name="pool")
    app.command()(swap)


@pool.command()
def create(
    first: Reserve,
    second: Reserve,
    *,
    wallet: WalletName,
    fee: Annotated[int, typer.Option(min=1, max=1_000, help="In hundredths of a percent.")] = 30,
    name: Annotated[str | None, typer.Option(help="What to call the pool here.")] = None,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Open a pool with its first reserves."""
    (token_a, a), (token_b, b) = amounts(first), amounts(second)
    with opened(network) as net:
        user = net.existing(wallet)
        found = user.create_pool(net.token(token_a), a, net.token(token_b), b, fee=fee, name=name)
    show(found, as_json=as_json)


@pool.command()
def add(
    which: PoolName,
    a: Units,
    b: Units,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Add at most so many units of both tokens, for the most shares."""
    with opened(network) as net:
        found = net.existing(wallet).add(net.contract(which), a, b)
    show(found, as_json=as_json)


@pool.command()
def remove(
    which: PoolName,
    shares: Units,
    *,
    wallet: WalletName,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Burn shares for their part of both reserves."""
    with opened(network) as net:
        found = net.existing(wallet).remove(net.contract(which), shares)
    show(found, as_json=as_json)


@pool.command("show")
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
        int | None, typer.Option(min=1, help="Least to get; else half a percent below the quote.")
    ] = None,
    deadline: Annotated[
        int | None, typer.Option(min=1, help="Last height at which it may be sent.")
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
