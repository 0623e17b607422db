"""`grail fate` and `grail lost`: what became of transactions after they were published."""

from __future__ import annotations

from typing import Annotated

import typer

from grail.commands.opening import Network, example, opened, show
from grail.commands.terminal import READING, Json, emit
from grail.errors import InvalidInput

Which = Annotated[str, typer.Argument(metavar="TXID", help="A transaction sent from here.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.command(epilog=example("fate TXID --json", READING))(fate)
    app.command(epilog=example("lost --json", READING))(lost)


def fate(txid: Which, *, network: Network = None, as_json: Json = False) -> None:
    """Say what became of a transaction, in a block or not.

    Its state is confirmed, waiting, dropped (it is sent again), overtaken, lost or replaced; all
    of them are answers, with exit code 0.
    """
    with opened(network) as net:
        try:
            found = net.fate(txid)
        except InvalidInput as exc:
            exc.hint = exc.hint or "give a whole txid, of a transaction that was sent from here"
            raise
    show(found, as_json=as_json)


def lost(*, network: Network = None, as_json: Json = False) -> None:
    """List what can no longer confirm: another took its place.

    Nothing of such a transaction took place: ask for the same thing again.
    """
    with opened(network) as net:
        found = net.lost()
    text = "\n".join(str(each) for each in found) or "nothing is lost"
    emit([each.as_dict() for each in found], as_json=as_json, text=text)
