"""`grail attest`: what a document of a Nitro module says, and whether it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grail.commands.opening import example
from grail.commands.terminal import LOCAL, Json, emit
from grail.errors import InvalidInput

MAX_PEM = 16_384
"""Bytes of a file with one certificate."""

attest = typer.Typer(help="Documents of enclaves' security modules.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.add_typer(attest, name="attest")


@attest.callback()
def group() -> None:
    """Documents of enclaves' security modules."""


@attest.command(epilog=example("attest verify document.cbor --root root.pem --json", LOCAL))
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A document, as it was issued.")],
    *,
    root: Annotated[
        Path,
        typer.Option("--root", metavar="PEM", help="The root to believe: AWS's, or a devnet's."),
    ],
    allow_debug: Annotated[
        bool,
        typer.Option("--allow-debug", help="Show a document of debug mode too; never trust it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Verify a document at its own time and say what is in it.

    Exit code 1 says that it does not hold, and the message which check failed. PCRs and user_data
    are shown, not judged: compare them with the image and the keys that you expect.
    """
    from grail.attestation.attested import attested
    from grail.attestation.chain import Root
    from grail.attestation.form import MAX_DOCUMENT

    trusted = Root.from_pem(_read(root, MAX_PEM))
    found = attested(_read(file, MAX_DOCUMENT + 1), trusted, allow_debug=allow_debug)
    emit(found.as_dict(), as_json=as_json, text=lambda: str(found))


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror}", hint="give a file that can be read") from exc
