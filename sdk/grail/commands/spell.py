"""`grail spell show`: what a transaction does to charms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from grail.commands.opening import Network, example, opened, show
from grail.commands.terminal import Json
from grail.errors import InvalidInput

MAX_FILE = 8_000_000
"""A transaction of 4,000,000 weight in hexadecimal."""

WANTED = "give a txid of 64 hexadecimal digits, or a file with a whole transaction in hex"

spell = typer.Typer(help="What transactions do to charms.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verb to the `grail` command."""
    app.add_typer(spell, name="spell")


@spell.callback()
def group() -> None:
    """What transactions do to charms."""


@spell.command("show", epilog=example("spell show transaction.hex --json"))
def show_spell(
    which: Annotated[
        str,
        typer.Argument(metavar="TXID|FILE", help="A txid, or a file with a transaction in hex."),
    ],
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
        why = exc.strerror if isinstance(exc, OSError) else "its content is not hexadecimal"
        raise InvalidInput(f"{which}: {why}", hint=WANTED) from exc
    try:
        tx = Tx.parse(raw)
    except InvalidInput as exc:
        exc.hint = exc.hint or WANTED
        raise
    show(read_spell(tx), as_json=as_json)
