"""The page of the `grail` command, docs/cli.md: what `--help` prints, verb by verb.

`python tests/command_line.py` (`make cli-page`) writes it; a test and `make accept` compare it with
what the command prints, in a process of its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parents[1]
# Beside a script in this folder, `tests/grail` would stand for `grail`: the package first.
sys.path.insert(0, str(ROOT / "sdk"))

from grail.cli import build

PAGE = ROOT / "docs" / "cli.md"
HEAD = """# The command

What `grail VERB --help` prints for every verb; `make cli-page` writes this page. Each verb takes `--json`. Results go
to stdout; an error is one line on stderr, with what to do on a second one. Exit codes are those of
[the errors](errors.md): 0 done, 1 failed, 2 wrong input, 3 an operator refused, 4 a node, operator or network is out of
reach, 130 stopped by Ctrl-C.

Completion for bash, zsh and fish: `grail --install-completion` sets it up for the shell that it runs in. Or write the
script yourself: `_GRAIL_COMPLETE=source_bash grail` (or `source_zsh`, `source_fish`) prints it.
"""


@cache
def all_commands() -> dict[str, Any]:
    """Every group and verb by its full name, in the order of the help."""
    found: dict[str, Any] = {}

    def add(name: str, command: Any) -> None:
        found[name] = command
        for key in command.list_commands(None) if hasattr(command, "commands") else ():
            add(f"{name} {key}", command.commands[key])

    add("grail", typer.main.get_command(build()))
    return found


def all_verbs() -> dict[str, Any]:
    """Every verb by its full name."""
    return {name: it for name, it in all_commands().items() if not hasattr(it, "commands")}


def help_of(name: str) -> str:
    """What a group's or verb's `--help` prints, by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from grail.cli import main; main()", *name.split()[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout


def cpu_seconds(name: str, runs: int = 5) -> float:
    """The least CPU time that the help of a group or verb took."""
    taken = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        help_of(name)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(taken)


def all_helps() -> dict[str, str]:
    """What `--help` prints, by the full names of groups and verbs."""
    return {name: help_of(name) for name in all_commands()}


def page(helps: dict[str, str]) -> str:
    """The whole page."""
    return HEAD + "".join(f"\n## {name}\n\n```\n{text}```\n" for name, text in helps.items())


if __name__ == "__main__":
    PAGE.write_text(page(all_helps()))
