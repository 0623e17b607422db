"""`grail spell`: what a transaction does to charms, ours and those of Charms itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grail.commands.opening import Network, example, opened, show
from grail.commands.terminal import READING, Json, emit
from grail.errors import InvalidInput, SpellIncorrect

if TYPE_CHECKING:
    from grail.bitcoin.tx import Tx
    from grail.charms.upstream.proof import Keys

MAX_FILE = 8_000_000
"""A transaction of 4,000,000 weight in hexadecimal."""

WANTED = "give a txid of 64 hexadecimal digits, or a file with a whole transaction in hex"

spell = typer.Typer(help="What transactions do to charms.", no_args_is_help=True)

KeyFolder = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FOLDER", help="Where the Groth16 keys of SP1 lie, for a FILE."),
]
Height = Annotated[
    int | None,
    typer.Option(
        "--height",
        min=0,
        metavar="N",
        help="The height of its block, or of the next one: refuse a version retired by then.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.add_typer(spell, name="spell")


@spell.callback()
def group() -> None:
    """What transactions do to charms."""


@spell.command("show", epilog=example("spell show transaction.hex --json", READING))
def show_spell(
    which: Annotated[
        str,
        typer.Argument(metavar="TXID|FILE", help="A txid, or a file with a transaction in hex."),
    ],
    *,
    network: Network = None,
    keys: KeyFolder = None,
    as_json: Json = False,
) -> None:
    """Show the spell of a transaction: apps, outputs, proofs, and what the rules say.

    A transaction from a file is read, not judged: the rules need the chain. Of a spell of Charms
    itself the proof is checked too: valid, invalid or absent; unchecked where its key or version
    is not known here, refused where its version was retired by the block of TXID.
    """
    if re.fullmatch("[0-9a-fA-F]{64}", which):
        with opened(network) as net:
            show(net.spell(which), as_json=as_json)
        return
    from grail.connection.charms_view import charms_view, is_of_charms
    from grail.connection.views import read_spell

    tx = _transaction(which)
    view = charms_view(tx, _keys(keys)) if is_of_charms(tx) else read_spell(tx)
    show(view, as_json=as_json)


@spell.command(epilog=example("spell verify transaction.hex --height 948000", READING))
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file with a transaction in hex.")],
    *,
    height: Height = None,
    keys: KeyFolder = None,
    as_json: Json = False,
) -> None:
    """Verify the proof of a spell of Charms: exit code 0 if it holds, 1 if not.

    It is 2 when the file is none of its kind, and 4 when the proof's key is not on this machine.
    """
    from grail.charms.upstream import proof, versions
    from grail.connection.charms_view import is_of_charms
    from grail.connection.views import read_spell

    tx = _transaction(file)
    if not is_of_charms(tx) and read_spell(tx).spell is not None:
        raise InvalidInput(
            f"{file}: its spell is one of this network, not of Charms itself",
            hint="the rules judge it by its history: grail spell show TXID",
        )
    found = proof.read(tx)
    if found is None:
        raise SpellIncorrect("SpellAbsent", "the transaction carries no spell")
    proof.verify(found, _keys(keys))
    number = found.spell.version
    if height is not None:
        versions.check_age(number, height)
    last = versions.version(number).last_height
    age = "" if last is None else f" (retired above height {last:,})"
    emit(
        {"valid": True, "txid": str(tx.txid), "version": number, "last_height": last},
        as_json=as_json,
        text=f"the proof holds for the spell of version {number}{age} in\n{tx.txid}",
    )


def _transaction(which: str) -> Tx:
    from grail.bitcoin.tx import Tx

    try:
        with Path(which).open() as file:
            raw = bytes.fromhex(file.read(MAX_FILE))
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "its content is not hexadecimal"
        raise InvalidInput(f"{which}: {why}", hint=WANTED) from exc
    try:
        return Tx.parse(raw)
    except InvalidInput as exc:
        exc.hint = exc.hint or WANTED
        raise


def _keys(folder: Path | None) -> Keys:
    from grail.charms.upstream import keys

    return keys.read(keys.folders() if folder is None else [folder])
