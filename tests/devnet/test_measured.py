"""A network's enclaves run from the measured image, and its modules say so."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grail.attestation.attested import EMULATED
from grail.attestation.pcr import CONFIGURATION, measured
from grail.attestation.verifier import Measurement, Policy, Verifier
from grail.errors import AttestationInvalid, DecodeError
from grail_devnet import launcher, sandbox
from grail_devnet.devnet import Devnet
from grail_devnet.image import launch
from grail_devnet.image.measure import measure
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import now
from grail_devnet.sandbox import Sandbox
from grail_enclave.nsm import Module

pytestmark = pytest.mark.devnet

SHARED = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "nitro"
FEW = {"operators": 4, "quorum": 3, "progress": lambda _: None}
LACKS = sandbox.find().missing
needs_all = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(**FEW) as made:
        yield made


def mapped(pid: int) -> set[tuple[int, str]]:
    """Inode and name of every file that a process has mapped."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and not parts[5].startswith("["):
            found.add((int(parts[4]), Path(parts[5]).name))
    return found


def image_files(net: Devnet) -> set[tuple[int, str]]:
    return {(each.inode, Path(each.path).name) for each in measure(net.folder.image).seen}


def enclaves(net: Devnet) -> list[int]:
    return [each.pid for each in net.processes() if each.name.endswith("/enclave")]


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="enclaves let nobody look into them")


@needs_root
def test_A2_enclaves_map_files_of_the_image_alone(net: Devnet) -> None:
    known = image_files(net)
    for pid in enclaves(net):
        files = mapped(pid)
        assert files <= known
        names = {name for _inode, name in files}
        assert {"python3", "libc.so.6"} <= names
        assert any(name.startswith("_native") for name in names)


@needs_all
@needs_root
def test_enclaves_see_nothing_of_the_machine(net: Devnet) -> None:
    for pid, number in zip(enclaves(net), range(1, 5), strict=True):
        root = Path(f"/proc/{pid}/root")
        assert {path.name for path in root.iterdir()} == {"config", "image", "module", "run"}
        assert [path.name for path in (root / "run").iterdir()] == ["s"]
        assert {f"{number:02}"} == {
            path.name
            for path in (net.folder.path / "run").iterdir()
            if path.stat().st_ino == (root / "run").stat().st_ino
        }
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (fields["Seccomp"], fields["CapEff"], fields["NoNewPrivs"]) == ("2", "0" * 16, "1")
        assert len({Path(f"/proc/{each}/ns/net").readlink() for each in (pid, os.getpid())}) == 2


def test_A13_every_module_holds_what_was_measured(net: Devnet) -> None:
    """Image and configuration, locked; each module is an instance of its own under the root."""
    pcrs = measure(net.folder.image).pcrs
    pcrs[CONFIGURATION] = measured(net.folder.configuration.read_bytes())
    policy = net.policy()
    assert policy.measurements == (Measurement(pcrs),)
    verifier = Verifier(policy)
    names = set()
    for operator in net.file.operators:
        module = Module.at(net.folder.module_socket(operator.name))
        nonce = verifier.nonce()
        found = verifier.check(module.document(nonce, None, None), nonce)
        assert found.kind == EMULATED
        assert found.pcrs[CONFIGURATION] == pcrs[CONFIGURATION]
        names.add(found.module_id)
    assert len(names) == 4


def test_the_command_verifies_a_document_under_the_devnets_root(net: Devnet, tmp_path) -> None:
    module = Module.at(net.folder.module_socket("operator-02"))
    (tmp_path / "document.cbor").write_bytes(module.document(None, None, None))
    code = "from grail.cli import main; main()"
    command = [sys.executable, "-c", code, "attest", "verify", str(tmp_path / "document.cbor")]

    def verify(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
        asked = [*command, "--root", str(root), *options]
        return subprocess.run(asked, capture_output=True, text=True, check=False)

    for debug in ((), ("--allow-debug",)):  # it is none of debug mode: nothing is to be allowed
        done = verify(net.folder.root, "--json", *debug)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["kind"], said["debug"]) == (EMULATED, False)
        assert said["pcrs"]["0"] == net.policy().measurements[0].pcrs[0].hex()
    # Another devnet's root has the same name and another key; AWS's lies beside the repository.
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.draw(now()).root_pem)
    for root in (other, *SHARED.glob("aws_nitro_root_g1.pem")):
        for options in ((), ("--allow-debug",), ("--json",)):
            done = verify(root, *options)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr.startswith("grail: RootUnknown: ")
    (tmp_path / "document.cbor").write_bytes(module.document(None, None, None)[:-1] + b"\0")
    done = verify(net.folder.root)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("grail: SignatureWrong: ")


@pytest.mark.docs
def test_what_the_page_shows(net: Devnet, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "attestation.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {"net": net})
    assert capsys.readouterr().out == "emulated, no isolation 16\n"


def test_A16_another_networks_configuration_is_not_let_in(net: Devnet) -> None:
    policy = net.policy()
    other = Measurement({**policy.measurements[0].pcrs, CONFIGURATION: measured(b"{}")})
    verifier = Verifier(Policy(policy.root, (other,)))
    nonce = verifier.nonce()
    module = Module.at(net.folder.module_socket("operator-01"))
    with pytest.raises(AttestationInvalid, match="PCR16"):
        verifier.check(module.document(nonce, None, None), nonce)


def test_what_it_needs_is_said_to_be_there(net: Devnet) -> None:
    assert net.status().unconfined == LACKS


def test_D16_without_bubblewrap_it_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lack = "no bubblewrap (it is in Debian's package of that name: install it)"
    monkeypatch.setattr(launcher.sandbox, "find", lambda: Sandbox(None, None, (lack,)))
    told: list[str] = []
    with Devnet(operators=4, quorum=3, progress=told.append) as net:
        assert net.status().unconfined == (lack,)
        assert f"enclaves are not kept apart from this machine: {lack}" in told
        if os.geteuid() == 0:
            known = image_files(net)
            for pid in enclaves(net):
                assert mapped(pid) <= known
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                assert {each.partition(b"=")[0] for each in environment if each} == {
                    b"LC_ALL",
                    b"OPENSSL_CONF",
                    b"OPENSSL_MODULES",
                }


def test_damaged_files_are_no_policy(net: Devnet, tmp_path) -> None:
    from grail_devnet.state import StateFolder

    with pytest.raises(DecodeError, match="no measurement"):
        launcher.policy(StateFolder(tmp_path))
    (tmp_path / "root.pem").write_bytes(net.folder.root.read_bytes())
    for text in ("", "[]", "{}", '{"0": "00"}', '{"x": "00"}'):
        (tmp_path / "measurement.json").write_text(text)
        with pytest.raises(Exception, match="measurement") as caught:
            launcher.policy(StateFolder(tmp_path))
        assert type(caught.value).__module__ == "grail.errors"


OWNER = """
import json, sys, time
from pathlib import Path
from grail_devnet import sandbox
from grail_devnet.processes import ProcessBackend
folder, command, environment, image = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
backend, found = ProcessBackend(folder), sandbox.find()
print("up", flush=True)
for number in range(6):
    confined = found.confined(command, environment, readable={Path(image): "/image"}, writable={})
    backend.start(f"n{number}", {"a": confined})
time.sleep(600)
"""


def holding(text: str) -> list[int]:
    """Processes in whose command line a text stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


@needs_all
def test_D18_kill_9_while_confined_processes_start_leaves_nothing(net: Devnet, tmp_path) -> None:
    """At any moment of bubblewrap's own set-up, in which it is on no leash yet."""
    image, mark = measure(net.folder.image), f"mark {tmp_path}"
    root = Path("/image")
    # It ends with its standard input, as an enclave does.
    command = launch.command(image, root, "-c", f"import os; os.read(0, 1)  # {mark}")
    given = [json.dumps(each) for each in (command, launch.environment(root), str(image.folder))]
    for run in range(12):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path), *given], stdout=subprocess.PIPE
        )
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        time.sleep(run * 0.01)
        owner.kill()
        owner.wait()
        owner.stdout.close()
        deadline = time.monotonic() + 5
        while left := holding(mark):
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
