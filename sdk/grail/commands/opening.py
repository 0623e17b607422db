"""What the verbs of a user share: which network, which wallet, and how results are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from grail.commands.terminal import ASKING, emit, exits
from grail.errors import GrailError, InvalidInput

if TYPE_CHECKING:
    from grail.connection.connection import Connection

Network = Annotated[
    str | None,
    typer.Option("--network", metavar="NAME", help="Which network, where several run."),
]
WalletName = Annotated[
    str, typer.Option("--wallet", "-w", metavar="NAME", help="Whose: a wallet's name.")
]
Token = Annotated[
    str, typer.Argument(metavar="TOKEN", help="A token's name here, or t/identity/vk.")
]
Units = Annotated[int, typer.Argument(min=1, metavar="UNITS", help="Units, whole ones.")]
PoolName = Annotated[
    str, typer.Argument(metavar="POOL", help="The pool's name here, or identity/vk.")
]


class Result(Protocol):
    """What a verb prints."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""


@contextmanager
def opened(network: str | None) -> Iterator[Connection]:
    """The running network, closed again at the end; errors name tokens as people here do."""
    from grail.connection.connection import connect

    with connect(network) as connection:
        try:
            yield connection
        except GrailError as exc:
            exc.args = (connection.labels.named(str(exc)),)
            raise


def show(result: Result, *, as_json: bool) -> None:
    """Print one result."""
    emit(result.as_dict(), as_json=as_json, text=lambda: str(result))


def example(line: str, codes: Sequence[int] = ASKING) -> str:
    """The last lines of a verb's help: how it is used, and what its exit code says."""
    return f"Example: grail {line}\n\n{exits(codes)}"


def amounts(text: str) -> tuple[str, int]:
    """Read TOKEN:UNITS. Raises `InvalidInput`."""
    token, colon, units = text.rpartition(":")
    if not colon or not units.isdecimal():
        raise InvalidInput(f"got {text[:60]!r}, expected TOKEN:UNITS", hint="such as zkBTC:50000")
    return token, int(units)
