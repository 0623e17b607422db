"""`grail zk`: its page runs as it is shown, and every way to fail has its line and exit code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from grail.cli import build
from grail.commands import zk
from grail.commands.terminal import exit_code
from grail.errors import (
    DecodeError,
    GrailError,
    InvalidInput,
    ProofInvalid,
    TooLarge,
    Truncated,
    Unsatisfied,
)
from grail.native import R
from grail.zk.r1cs import witness_file

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "zk.md").read_text()
NAMES = (
    "circuit.r1cs",
    "circuit.zkey",
    "witness.wtns",
    "verification_key.json",
    "proof.json",
    "public.json",
)
VERIFY = "verify --key verification_key.json --proof proof.json --public public.json"
PROVE = "prove --zkey circuit.zkey --wtns witness.wtns --out p.json --public u.json"
CHECK = "check --r1cs circuit.r1cs --wtns witness.wtns"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example's files, and the repository's own beside it."""
    for name in NAMES:
        shutil.copy(ROOT / "examples" / "multiplier" / name, tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grail(line: str) -> Result:
    return CliRunner().invoke(build(), ["zk", *shlex.split(line)])


def fails(line: str) -> GrailError:
    found = grail(line).exception
    assert isinstance(found, GrailError), found
    return found


# ------------------------------------------------------------------------------------ the page


def test_the_commands_of_the_page_run() -> None:
    lines = re.findall(r"^    grail zk (.*)$", PAGE, re.MULTILINE)
    assert {line.split()[0] for line in lines} == {"show", "check", "prove", "key", "verify"}
    for line in lines:
        result = grail(line)
        assert result.exit_code == 0, (line, result.output, result.exception)
        assert result.output


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "zk.md", "exec"), {})
    assert capsys.readouterr().out == '(33,) {\n "pi_a"\n'


def test_the_page_says_the_limits_of_the_code() -> None:
    source = (ROOT / "sdk" / "native" / "src" / "zk" / "r1cs.rs").read_text()
    for name, words in (("MAX_CONSTRAINTS", "constraints"), ("MAX_WIRES", "wires")):
        (power,) = re.findall(rf"{name}: usize = 1 << (\d+);", source)
        assert f"2^{power} {words}" in PAGE


# ------------------------------------------------------------------------------ what they print


def test_a_proof_that_holds() -> None:
    assert grail(VERIFY).output == "the proof holds for 1 public input\n"
    assert json.loads(grail(f"{VERIFY} --json").output) == {"valid": True, "publics": ["33"]}


def test_proves_what_verifies() -> None:
    shown = json.loads(grail(f"{PROVE} --json").output)
    assert (shown["proof"], shown["public"], shown["publics"]) == ("p.json", "u.json", ["33"])
    assert grail("key --zkey circuit.zkey --out k.json").exit_code == 0
    assert grail("verify --key k.json --proof p.json --public u.json").exit_code == 0
    assert json.loads(Path("u.json").read_text()) == json.loads(Path("public.json").read_text())
    # what snarkjs computes beforehand and its verifier does not read
    theirs = json.loads(Path("verification_key.json").read_text())
    del theirs["vk_alphabeta_12"]
    assert json.loads(Path("k.json").read_text()) == theirs


def test_a_file_says_what_it_is() -> None:
    shown = {name: json.loads(grail(f"show {name} --json").output) for name in NAMES[:3]}
    assert shown["circuit.r1cs"]["constraints"] == 1
    assert shown["witness.wtns"] == {"kind": "wtns", "wires": 4}
    assert (shown["circuit.zkey"]["wires"], shown["circuit.zkey"]["public_inputs"]) == (4, 1)
    assert "11" not in grail("show witness.wtns").output.split()


# -------------------------------------------------------------------------- what they refuse


def test_a_proof_of_something_else_is_exit_code_1() -> None:
    Path("public.json").write_text('["34"]')
    found = fails(VERIFY)
    assert isinstance(found, ProofInvalid)
    assert str(found) == "proof.json: proof does not verify"
    assert exit_code(found) == 1


@pytest.mark.parametrize("value", [33 + R, R, 2 * R - 1])
def test_Z4_public_inputs_that_are_not_reduced(value: int) -> None:
    Path("public.json").write_text(json.dumps([str(value)]))
    found = fails(VERIFY)
    assert str(found) == "public.json: public inputs: a value is r or more"
    assert exit_code(found) == 2


def test_a_witness_that_breaks_the_circuit() -> None:
    Path("witness.wtns").write_bytes(witness_file([1, 34, 3, 11]))
    found = fails(PROVE)
    assert isinstance(found, ProofInvalid)
    assert found.hint == zk.CHECK
    assert not Path("p.json").exists()
    assert not Path("u.json").exists()
    broken = fails(CHECK)
    assert isinstance(broken, Unsatisfied)
    assert str(broken) == "witness.wtns: constraint 0 of circuit.r1cs does not hold"
    assert exit_code(broken) == exit_code(found) == 1


BAD: dict[str, tuple[str, str, bytes, type[GrailError]]] = {
    # a sentence: verb, file, its content, what is raised
    "no key": (VERIFY, "verification_key.json", b"{}", DecodeError),
    "no proof": (VERIFY, "proof.json", b"", DecodeError),
    "no list of public inputs": (VERIFY, "public.json", b"33", DecodeError),
    "too many public inputs": (VERIFY, "public.json", b'["33", "1"]', InvalidInput),
    "half a zkey": (PROVE, "circuit.zkey", b"zkey\x01\x00", Truncated),
    "a circuit in place of a zkey": (PROVE, "circuit.zkey", b"r1cs" + bytes(8), DecodeError),
    "no witness": (PROVE, "witness.wtns", b"", Truncated),
    "a witness of another circuit": (PROVE, "witness.wtns", witness_file([1, 2]), InvalidInput),
    "no circuit": (CHECK, "circuit.r1cs", b"", Truncated),
    "a witness of a larger circuit": (CHECK, "witness.wtns", witness_file([1] * 5), InvalidInput),
    "some other file": ("show circuit.zkey", "circuit.zkey", b"\x1b[2J", InvalidInput),
    "a key without its end": ("key --zkey circuit.zkey --out k", "circuit.zkey", b"zkey", Truncated),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line_that_names_them(case: str) -> None:
    line, name, content, kind = BAD[case]
    Path(name).write_bytes(content)
    found = fails(line)
    assert type(found) is kind
    assert exit_code(found) == 2
    assert str(found).startswith(f"{name}: ")
    assert "\n" not in str(found)


def test_Z7_a_key_that_anyone_can_forge_for() -> None:
    key = json.loads(Path("verification_key.json").read_text())
    key["vk_delta_2"] = key["vk_gamma_2"]
    Path("verification_key.json").write_text(json.dumps(key))
    found = fails(VERIFY)
    assert str(found).startswith("verification_key.json: verifying key: gamma equals delta")


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_not_there(name: str) -> None:
    Path(name).unlink()
    line = next(each for each in (VERIFY, PROVE, CHECK) if name in each)
    found = fails(line)
    assert str(found) == f"{name}: No such file or directory"
    assert found.hint


@pytest.mark.parametrize("line", [PROVE, "key --zkey circuit.zkey --out p.json"])
def test_places_that_cannot_be_written(line: str) -> None:
    found = fails(line.replace("p.json", "nowhere/p.json"))
    assert str(found) == "nowhere/p.json: No such file or directory"


def test_Z22_files_without_end() -> None:
    found = fails(VERIFY.replace("proof.json", "/dev/zero"))
    assert isinstance(found, TooLarge)
    assert str(found) == f"/dev/zero: more than {zk.MAX_TEXT:,} bytes"


def test_the_command_itself_exits_with_these_codes() -> None:
    """Through the real entry: stdout empty, one line and a hint on stderr."""
    run = [sys.executable, "-c", "from grail.cli import main; main()", "zk"]
    good = subprocess.run([*run, *VERIFY.split()], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    Path("public.json").write_text('["34"]')
    bad = subprocess.run([*run, *VERIFY.split()], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "grail: proof.json: proof does not verify\n"
    Path("witness.wtns").write_bytes(b"wtns")
    worse = subprocess.run([*run, *PROVE.split()], capture_output=True, text=True, check=False)
    assert (worse.returncode, worse.stdout) == (2, "")
    assert worse.stderr == "grail: witness.wtns: wtns: 4 bytes expected\n"
