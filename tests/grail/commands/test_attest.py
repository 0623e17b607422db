"""`grail attest verify` on AWS's own documents: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forged_documents import PCRS
from link_world import AUTHORITY
from published.nitro import GOOD, documents

from grail.cli import main
from grail_devnet.nsm.module import EmulatedModule
from grail_enclave.nsm import Module

BAD = "bad_signature_2024_eternis.cbor"
DEBUG = "debug_definite_2023_evervault.cbor"


class Command:
    """The command as the shell runs it, in this process: exit code, stdout, stderr."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, file: Path, *options: str) -> tuple[object, str, str]:
        argv = ["grail", "attest", "verify", str(file), *options]
        self._monkeypatch.setattr("sys.argv", argv)
        code: object = 0
        try:
            main()
        except SystemExit as exc:
            code = exc.code
        return (code, *self._capsys.readouterr())


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def nitro(vectors: Path) -> Path:
    return vectors / "nitro"


@pytest.fixture
def aws(nitro: Path) -> list[str]:
    return ["--root", str(nitro / "aws_nitro_root_g1.pem")]


@pytest.mark.parametrize("name", GOOD)
def test_a_real_document_is_verified(name: str, nitro: Path, aws: list[str], verify) -> None:
    """Exit code 0, and what a second reader found in it; in text and in JSON."""
    says = documents(nitro.parent)[name][1]
    debug = ["--allow-debug"] if name == DEBUG else []
    code, out, err = verify(nitro / name, *aws, *debug, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["holds"], found["kind"]) == (True, "AWS Nitro Enclaves")
    assert found["debug"] == (name == DEBUG)
    assert found["module_id"] == says["module_id"]
    assert found["timestamp_ms"] == says["timestamp_ms"]
    assert [found["pcrs"][str(at)] for at in range(3)] == [says[f"pcr{at}"] for at in range(3)]
    code, out, err = verify(nitro / name, *aws, *debug)
    assert (code, err) == (0, "")
    assert out.startswith("the document holds at its own time\n")
    assert says["pcr0"] in out


@pytest.mark.parametrize("options", [[], ["--allow-debug"], ["--json"]], ids=str)
def test_the_bad_document_exits_with_its_reason(
    options: list[str], nitro: Path, aws: list[str], verify
) -> None:
    code, out, err = verify(nitro / BAD, *aws, *options)
    assert (code, out) == (1, "")
    assert err.startswith("grail: SignatureWrong: ")


def test_A3_debug_mode_is_refused_unless_it_is_asked_for(
    nitro: Path, aws: list[str], verify
) -> None:
    code, out, err = verify(nitro / DEBUG, *aws)
    assert (code, out) == (1, "")
    assert err.startswith("grail: DebugMode: ")
    assert "--allow-debug" in err
    code, out, err = verify(nitro / DEBUG, *aws, "--allow-debug")
    assert (code, err) == (0, "")
    assert "debug mode: PCRs prove nothing" in out


@pytest.mark.parametrize("options", [[], ["--allow-debug"]], ids=str)
def test_A1_a_document_under_another_root_exits_with_its_reason(
    options: list[str], nitro: Path, aws: list[str], verify, tmp_path: Path
) -> None:
    """AWS's under a devnet's, a devnet's under AWS's."""
    own = tmp_path / "root.pem"
    own.write_bytes(AUTHORITY.root_pem)
    emulated = tmp_path / "document.cbor"
    document = Module(EmulatedModule.draw(AUTHORITY, PCRS).answer).document(None, None, None)
    emulated.write_bytes(document)
    assert verify(emulated, "--root", str(own))[0] == 0
    for file, root in ((nitro / GOOD[0], ["--root", str(own)]), (emulated, aws)):
        code, out, err = verify(file, *root, *options)
        assert (code, out) == (1, "")
        assert err.startswith("grail: RootUnknown: ")


def test_files_that_are_none_are_the_callers_fault(
    nitro: Path, aws: list[str], verify, tmp_path: Path
) -> None:
    for file, options in (
        (tmp_path / "none.cbor", aws),
        (nitro / GOOD[0], ["--root", str(tmp_path / "none.pem")]),
        (nitro / GOOD[0], []),
    ):
        code, out, err = verify(file, *options)
        assert (code, out) == (2, "")
        assert err.startswith("grail: ")
