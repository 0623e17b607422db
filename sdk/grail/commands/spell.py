"""`grail spell show`: what a transaction does to charms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from grail.commands.opening import Network, opened, show
from grail.commands.terminal import Json
from grail.errors import InvalidInput

MAX_FILE = 8_000_000
"""A transaction of 4,000,000 weight in hexadecimal."""

spell = typer.Typer(help="What transactions do to charms.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verb to the `grail` command."""
    app.add_typer(spell, name="spell")


@spell.callback()
def group() -> None:
    """What transactions do to charms."""


@spell.command("show")
def show_spell(
    which: Annotated[str, typer.Argument(help="A txid, or a file with a transaction in hex.")],
    *,
    network: Network = None,
    as_json: Json = False,
) -> None:
    """Show the spell of a transaction: apps, outputs, proofs, and what the rules say.

    A transaction from a file is read, not judged: the rules need the chain.
    """
    if re.fullmatch("[0-9a-fA-F]{64}", which):
        with opened(network) as net:
            show(net.spell(which), as_json=as_json)
        return
    from grail.bitcoin.tx import Tx
    from grail.connection.views import read_spell

    try:
        with Path(which).open() as file:
            raw = bytes.fromhex(file.read(MAX_FILE))
    except (OSError, ValueError) as exc:
        raise InvalidInput(
            f"{which}: not a file with a transaction in hex ({type(exc).__name__})",
            hint="give a txid of 64 hexadecimal digits, or a file",
        ) from exc
    show(read_spell(Tx.parse(raw)), as_json=as_json)
