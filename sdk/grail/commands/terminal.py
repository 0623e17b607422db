"""What a command prints: JSON for programs, text for people, errors in one line with a hint.

Text may come from the chain or from an app's author: its control characters are escaped, so that
nothing can rewrite what the terminal shows (threat D21).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from grail.errors import GrailError, InvalidInput, Refused, Unavailable

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
"""The option that every verb has."""

EXIT_CODES: Sequence[tuple[type[GrailError], int]] = (
    (InvalidInput, 2),
    (Refused, 3),
    (Unavailable, 4),
)
"""What the command's exit code says; any other error of ours is 1."""


STOPPED = 130

MEANINGS: Mapping[int, str] = {
    0: "done",
    1: "failed",
    2: "wrong input",
    3: "refused",
    4: "out of reach",
    STOPPED: "stopped",
}
"""What help says of each exit code."""

LOCAL = (0, 1, 2)
"""The exit codes of a verb that asks nobody."""

READING = (0, 1, 2, 4)
"""Those of a verb that asks a network for nothing to sign."""

ASKING = (0, 1, 2, 3, 4)
"""Those of a verb that asks operators to sign."""


def exits(codes: Iterable[int]) -> str:
    """The line of a verb's help on its exit codes."""
    return "Exit code: " + ", ".join(f"{code} {MEANINGS[code]}" for code in codes) + "."


def exit_code(error: GrailError) -> int:
    """The exit code for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def emit(value: Any, *, as_json: bool, text: Callable[[], str] | str) -> None:
    """Print a result: the value as JSON, or else the text."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        sys.stdout.write(inert(text() if callable(text) else text).rstrip("\n") + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Say something to the person, beside the result: on stderr."""
    sys.stderr.write(f"{inert(text)}\n")
    sys.stderr.flush()


def inert(text: str) -> str:
    """Text with its control characters escaped; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def sats(amount: int) -> str:
    """An amount for people: 1,000,000 sats."""
    return f"{amount:,} sats"


def one_line(error: GrailError) -> str:
    """What an error says, with what was got and expected where its words leave that out."""
    text = " ".join(str(error).split())
    for what in ("got", "expected"):
        value = str(getattr(error, what, ""))
        if value and value not in text:
            text += f"; {what} {value}"
    return text


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Our errors become one line on stderr, the hint on a second one, and an exit code."""
    try:
        yield
    except GrailError as exc:
        note(f"grail: {one_line(exc)}")
        if exc.hint:
            note(f"  hint: {exc.hint}")
        sys.exit(exit_code(exc))
    except KeyboardInterrupt:
        note("grail: stopped")
        sys.exit(STOPPED)
    except BrokenPipeError:
        # Whoever read the output, such as `head`, had enough.
        sys.stderr.close()
        sys.exit(0)
