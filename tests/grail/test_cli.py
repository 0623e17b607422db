"""The `grail` command: errors in one line, exit codes, JSON, and quick help."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest
import typer
from command_line import all_commands, all_verbs

from grail.cli import ORDER, main, parts
from grail.commands.terminal import emit, errors_in_one_line, exit_code, inert, one_line
from grail.errors import (
    GrailError,
    InsufficientFunds,
    InvalidInput,
    NodeUnfit,
    QuorumNotReached,
    Refused,
    Unavailable,
    Unsatisfied,
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from grail.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GrailError("x"), 1),
        (Unsatisfied("x"), 1),
        (InvalidInput("x"), 2),
        (InsufficientFunds("x"), 2),
        (Refused("R", "x"), 3),
        (QuorumNotReached("R", "x", replies={}), 3),
        (Unavailable("x"), 4),
        (NodeUnfit("x"), 4),
    ],
)
def test_exit_codes_tell_kinds_of_errors_apart(error, code) -> None:
    assert exit_code(error) == code


def test_an_error_is_one_line_and_a_hint(capsys) -> None:
    with pytest.raises(SystemExit) as caught, errors_in_one_line():
        raise Unavailable("first\n  second", hint="do this")
    assert caught.value.code == 4
    assert capsys.readouterr() == ("", "grail: first second\n  hint: do this\n")


def test_got_and_expected_are_said_once() -> None:
    told = Refused("R", "5 is too little", got="5", expected="7")
    assert one_line(told) == "R: 5 is too little; expected 7"
    assert one_line(GrailError("x")) == "x"


def test_an_error_that_is_not_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), errors_in_one_line():
        raise ZeroDivisionError


def test_ctrl_c_is_said(capsys) -> None:
    with pytest.raises(SystemExit) as caught, errors_in_one_line():
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert capsys.readouterr().err == "grail: stopped\n"


def test_D21_escapes_in_text_are_made_visible(capsys) -> None:
    assert inert("a\x1b[31mb\rc\u202ed\n") == "a\\x1b[31mb\\rc\\u202ed\n"
    emit({"a": "\x1b[2J"}, as_json=True, text="")
    assert "\x1b" not in capsys.readouterr().out
    emit({}, as_json=False, text="\x1b[2J")
    assert capsys.readouterr().out == "\\x1b[2J\n"


def test_json_is_json(capsys) -> None:
    emit({"sats": 2**63}, as_json=True, text="no")
    assert json.loads(capsys.readouterr().out) == {"sats": 2**63}


@pytest.mark.parametrize("name", all_verbs())
def test_help_ends_with_an_example_that_is_taken(name: str) -> None:
    verb = all_verbs()[name]
    assert verb.epilog.startswith(f"Example: {name}")
    example, between, codes = verb.epilog.split("\n")
    assert between == ""
    assert codes.startswith("Exit code: 0 done, 1 failed, 2 wrong input")
    assert max(len(example), len(codes)) <= 76  # help wraps what is longer than a line of 80
    words = shlex.split(example.removeprefix(f"Example: {name}"))
    verb.make_context(name, words)  # raises for what does not parse; runs nothing


def test_verbs_are_listed_in_the_order_of_the_main_job() -> None:
    shown = run("--help").stdout
    assert shown.startswith("Usage: grail ")
    places = [shown.index(f"\n  {verb} ") for verb in ORDER]
    assert places == sorted(places)
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["foo"], "No such command 'foo'.", "all about it: grail --help"),
        (["pool", "foo"], "No such command 'foo'.", "all about it: grail pool --help"),
        (
            ["swap"],
            "Missing argument 'POOL'.",
            (
                "for example grail swap POOL zkBTC 10000 --wallet alice; "
                "all about it: grail swap --help"
            ),
        ),
    ],
)
def test_wrong_arguments_are_one_line_and_what_to_do(arguments, said, hint) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"grail: {said}\n  hint: {hint}\n"


def test_a_group_without_a_verb_shows_its_help() -> None:
    done = run("pool")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: grail pool ")


def test_a_verb_that_is_stopped_says_so_once(monkeypatch, capsys) -> None:
    app = typer.Typer()

    @app.command()
    def wait() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grail.cli.build", lambda: app)
    monkeypatch.setattr(sys, "argv", ["grail"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code, capsys.readouterr().err) == (130, "grail: stopped\n")


STARTING = {"grail devnet up", "grail devnet salvage"}
"""Verbs that start processes: tests/devnet runs them."""


@pytest.mark.parametrize("name", sorted(all_verbs().keys() - STARTING))
def test_example_ends_with_an_exit_code_of_its_help(name: str, tmp_path, monkeypatch) -> None:
    """Each verb's own example, where no network runs and no file is there."""
    example, _, codes = all_verbs()[name].epilog.split("\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = shlex.split(example.removeprefix("Example: grail "))
    monkeypatch.setattr(sys, "argv", ["grail", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert f" {caught.value.code} " in codes
    assert caught.value.code == (2 if name.split()[1] in ("attest", "spell", "zk") else 4)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_a_shell_names_the_command(shell: str) -> None:
    done = run(_GRAIL_COMPLETE=f"source_{shell}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_GRAIL_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize(
    ("shell", "typed"),
    [
        ("bash", {"COMP_WORDS": "grail peg", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "grail peg"}),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "grail peg", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        ),
    ],
)
def test_completion_completes_a_verb(shell: str, typed: dict[str, str]) -> None:
    done = run(_GRAIL_COMPLETE=f"complete_{shell}", **typed)
    verbs = [name.removeprefix("grail ") for name in all_commands()]
    offered = {v for v in verbs if re.search(rf'(?m)(^|"){v}("|\t|$)', done.stdout)}
    assert offered == {"peg-in", "peg-out"}


def test_every_verb_takes_json() -> None:
    verbs = {name: {o for p in found.params for o in p.opts} for name, found in all_verbs().items()}
    lacking = {name for name, options in verbs.items() if "--json" not in options}
    assert not lacking
    wanted = "up status logs faucet mine kill pause resume cut down"
    assert {f"grail devnet {verb}" for verb in wanted.split()} <= set(verbs)


def test_every_part_registers_once() -> None:
    names = [register.__module__ for register in parts()]
    assert len(names) == len(set(names))
    assert "grail_devnet.cli" in names


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom grail.cli import build\nbuild()\nprint('\\n'.join(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"httpx", "anyio", "cbor2", "coincurve", "pandas", "matplotlib", "numpy", "tqdm"}
    assert not loaded & (heavy | {"grail._native", "grail.connection", "grail_devnet.devnet"})


def test_where_nothing_runs_every_verb_says_so(tmp_path) -> None:
    state = str(tmp_path)
    for verb in (["status"], ["mine"], ["logs", "bitcoind"], ["kill", "operator-01"], ["down"]):
        done = run("devnet", *verb, XDG_STATE_HOME=state)
        assert done.returncode == 4, done
        assert done.stdout == ""
        assert done.stderr.startswith("grail: no devnet")
        assert "hint: " in done.stderr
        assert "Traceback" not in done.stderr


def test_a_bad_name_and_a_bad_option(tmp_path) -> None:
    done = run("devnet", "status", "--name", "../up", XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("grail: devnet name")
    assert run("devnet", "status", "--nonsense").returncode == 2
    assert run("nonsense").returncode == 2
