"""The `grail` command: collects the verbs of its parts and turns errors into one line.

Verbs of the SDK are modules of `grail.commands`; the devnet's module is asked by name. Where it is
missing nothing is wrong: the SDK works without a devnet.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from grail import commands
from grail.commands.terminal import MEANINGS, STOPPED, errors_in_one_line, exits, note

DEVNET = "grail_devnet.cli"
"""Asked by name: to read every installed package's entry points would take as long as the help."""

ORDER = (
    *("devnet", "address", "balance", "pay", "deposit", "peg-in", "transfer", "issue"),
    *("pool", "swap", "peg-out", "recover", "retry", "raise-fee", "fate", "lost", "roster"),
    *("spell", "zk", "attest"),
)
"""The verbs in the order in which somebody new meets them; others come after these."""

Register = Callable[[typer.Typer], None]


class InOrder(TyperGroup):
    """A group that lists its verbs in `ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the verbs."""
        known = {name: place for place, name in enumerate(ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: known.get(name, len(ORDER)))


def build() -> typer.Typer:
    """The command with all verbs that can be found."""
    app = typer.Typer(
        name="grail",
        cls=InOrder,
        epilog="Begin with: grail devnet up. Then: grail address --wallet alice.\n\n"
        + exits(MEANINGS),
        help="Build zk-apps on Bitcoin, and run a network of operators on your machine.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,  # locals of a frame may hold secrets (threat D6)
        rich_markup_mode=None,
    )
    for register in parts():
        register(app)
    return app


def parts() -> Iterator[Register]:
    """The `register` functions of all parts, the SDK's first."""
    for found in sorted(pkgutil.iter_modules(commands.__path__), key=lambda module: module.name):
        module = importlib.import_module(f"{commands.__name__}.{found.name}")
        register = getattr(module, "register", None)
        if register is not None:
            yield register
    if importlib.util.find_spec(DEVNET.partition(".")[0]) is not None:
        yield importlib.import_module(DEVNET).register


def main() -> None:
    """Run the command."""
    with errors_in_one_line():
        try:
            code = build()(prog_name="grail", standalone_mode=False)
        except TyperException as exc:
            code = say_usage(exc)
        if code == STOPPED:
            raise KeyboardInterrupt  # typer caught it, and says so by this code alone
    if code:
        sys.exit(code)


def say_usage(exc: TyperException) -> int:
    """Say in one line what the shell's arguments lack, with an example; returns the exit code."""
    context = getattr(exc, "ctx", None)
    said = exc.format_message()
    if context is None:
        note(f"grail: {said}")
    elif said == context.get_help():  # a group without a verb
        note(said)
    else:
        path = context.command_path
        note(f"grail: {' '.join(said.split())}")
        example = (context.command.epilog or "").partition("\n")[0]
        shown = (
            example.replace("Example: ", "for example ") + "; " if "Example: " in example else ""
        )
        note(f"  hint: {shown}all about it: {path} --help")
    return exc.exit_code
