"""Which line of an app's code states a constraint, and the error that says so.

Frames of the circuit language itself are passed over: a range check that fails inside a gadget is
the fault of the line that asked for it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import NoReturn

from grail.errors import Unsatisfied
from grail.native import R

_LANGUAGE = ("grail.zk.", "grail.apps.declaration", "grail.apps.view", "grail.apps.zkapp")


def app_line() -> tuple[str, int]:
    """File and line of the innermost frame that is no part of the circuit language."""
    frame = sys._getframe(1)  # noqa: SLF001, inspect.stack() reads source files: 1,000 times slower
    while frame.f_globals.get("__name__", "").startswith(_LANGUAGE) and frame.f_back:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def centered(value: int) -> int:
    """A field element as people read it: r - 3 is -3, everything below r / 2 is itself."""
    return value if value <= R // 2 else value - R


def unsatisfied(
    message: str, file: str, line: int, values: Mapping[str, int], hidden: tuple[str, ...] = ()
) -> Unsatisfied:
    """The error for a failed constraint: where, what, and the values that may be shown."""
    shown = [f"{name} = {centered(value)}" for name, value in values.items()]
    shown += [f"{name} is private" for name in hidden]
    text = f"{PurePath(file).name}:{line}: {message}"
    if shown:
        text += f" ({', '.join(shown)})"
    return Unsatisfied(text, file=file, line=line, values=values)


def refuse(message: str, values: Mapping[str, int]) -> NoReturn:
    """Raise `Unsatisfied` for constants, at the line that is running now."""
    file, line = app_line()
    raise unsatisfied(message, file, line, values)
