"""The enclave's image: what is in it, what its measurement stands for, and that nothing else runs."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from image_world import AUTHORITY, Copies, asked, first_of, flipped, image_in

from grail.attestation.chain import Root
from grail.attestation.pcr import CONFIGURATION, measured
from grail.attestation.verifier import Measurement, Policy
from grail.errors import AttestationInvalid, DecodeError, InvalidInput, Unavailable
from grail_devnet.image import launch
from grail_devnet.image.elf import soname
from grail_devnet.image.measure import Image, manifest, measure

CONFIG = b'{"operators": 16}'


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    made = image_in(tmp_path_factory.mktemp("image"))
    yield made
    launch.removed(made.folder)


@pytest.fixture
def copies(image: Image, tmp_path: Path) -> Iterator[Copies]:
    made = Copies(image, tmp_path)
    yield made
    made.close()


def not_let_in(image: Image, running: Measurement, index: int) -> None:
    """The right one is let in, and this one is not, by the register that differs first."""
    right = image.measurement(CONFIG)
    policy = Policy(Root.from_pem(AUTHORITY.root_pem), (right,))
    assert asked(policy, right).pcrs[CONFIGURATION] == right.pcrs[CONFIGURATION]
    with pytest.raises(AttestationInvalid) as caught:
        asked(policy, running)
    assert caught.value.rule == "PcrUnaccepted"
    assert f"PCR{index} " in str(caught.value)


# --- A2: one changed byte of each kind of file ---

PLATFORM, APPLICATION = {0, 1}, {0, 2}


def one_byte(image: Image, copies: Copies, path: str, registers: set[int]) -> None:
    changed = measure(copies.with_bytes(path))
    assert {i for i in range(3) if changed.pcrs[i] != image.pcrs[i]} == registers, path
    not_let_in(image, changed.measurement(CONFIG), 0)


def test_A2_one_changed_byte_of_the_enclaves_code(image: Image, copies: Copies) -> None:
    for path in ("app/grail_enclave/checks.py", "app/grail/operators/rounds.py"):
        one_byte(image, copies, path, APPLICATION)


def test_A2_one_changed_byte_of_its_bytecode(image: Image, copies: Copies) -> None:
    """What the interpreter runs is the bytecode; a source beside it says nothing of it."""
    path = first_of(image, ".pyc", "app/grail_enclave/__pycache__/checks.")
    one_byte(image, copies, path, APPLICATION)


def test_A2_one_changed_byte_of_a_dependency(image: Image, copies: Copies) -> None:
    one_byte(image, copies, "app/cbor2/__init__.py", APPLICATION)


def test_A2_one_changed_byte_of_an_extension_module(image: Image, copies: Copies) -> None:
    one_byte(image, copies, first_of(image, ".so", "app/grail/_native"), APPLICATION)
    one_byte(image, copies, first_of(image, ".so", "app/coincurve/"), APPLICATION)


def test_A2_one_changed_byte_of_a_shared_library(image: Image, copies: Copies) -> None:
    for path in ("lib/libc.so.6", first_of(image, "", "lib/ld-")):
        one_byte(image, copies, path, PLATFORM)


def test_A2_one_changed_byte_of_the_standard_library(image: Image, copies: Copies) -> None:
    one_byte(image, copies, first_of(image, "/hashlib.py", "lib/python"), PLATFORM)
    one_byte(image, copies, first_of(image, ".so", "lib/python"), PLATFORM)


def test_A2_one_changed_byte_of_the_interpreter(image: Image, copies: Copies) -> None:
    one_byte(image, copies, "python3", PLATFORM)
    one_byte(image, copies, "python3._pth", PLATFORM)


def test_A2_A13_one_changed_byte_of_the_configuration(image: Image) -> None:
    other = image.measurement(flipped(CONFIG))
    assert {i for i, pcr in other.pcrs.items() if pcr != image.measurement(CONFIG).pcrs[i]} == {16}
    not_let_in(image, other, CONFIGURATION)


def test_A2_A13_a_configuration_that_nobody_measured(image: Image) -> None:
    """Documents carry locked registers alone: a module without PCR16 is not let in."""
    not_let_in(image, image.measurement(), CONFIGURATION)


def test_A16_an_image_that_is_dropped_from_the_policy(image: Image, copies: Copies) -> None:
    old, new = image.measurement(), measure(copies.with_bytes("app/grail/codec.py")).measurement()
    root = Root.from_pem(AUTHORITY.root_pem)
    both, later = Policy(root, (old, new)), Policy(root, (new,))
    for each in (old, new):
        asked(both, each)
    asked(later, new)
    with pytest.raises(AttestationInvalid, match="PCR0"):
        asked(later, old)


# --- what else a measurement stands for ---


def _more(folder: Path) -> None:
    (folder / "app" / "sitecustomize.py").touch(mode=0o400)


def _less(folder: Path) -> None:
    (folder / "etc" / "openssl.cnf").unlink()


def _mode(folder: Path) -> None:
    raw = (folder / "app" / "grail" / "codec.py").read_bytes()
    (folder / "app" / "grail" / "codec.py").unlink()
    (folder / "app" / "grail" / "codec.py").write_bytes(raw)
    (folder / "app" / "grail" / "codec.py").chmod(0o500)


def _moved(folder: Path) -> None:
    (folder / "app" / "grail" / "codec.py").rename(folder / "app" / "codec.py")


@pytest.mark.parametrize("edit", [_more, _less, _mode, _moved])
def test_A2_a_file_more_or_less_another_name_or_mode(
    image: Image, copies: Copies, edit: Callable[[Path], None]
) -> None:
    not_let_in(image, measure(copies.of(edit)).measurement(CONFIG), 0)


def test_A2_links_and_devices_are_not_measured(copies: Copies) -> None:
    """Their bytes lie elsewhere, and may be others when they are read next."""
    for edit in (
        lambda folder: (folder / "app" / "x.py").symlink_to("/etc/hostname"),
        lambda folder: (folder / "app" / "x").symlink_to("/etc"),
        lambda folder: os.mkfifo(folder / "app" / "x.py"),
    ):
        with pytest.raises(InvalidInput, match="neither a file nor a folder"):
            measure(copies.of(edit))


def test_A2_files_that_change_after_they_were_measured(copies: Copies) -> None:
    """The times are set back and the bytes too: the kernel's time of the change is not."""
    folder = copies.with_bytes("app/grail/codec.py", lambda raw: raw)
    found, file = measure(folder), folder / "app" / "grail" / "codec.py"
    found.check()
    raw, before = file.read_bytes(), file.stat()
    file.chmod(0o600)
    file.write_bytes(flipped(raw))
    file.write_bytes(raw)
    file.chmod(0o400)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InvalidInput, match=r"app/grail/codec\.py was changed after"):
        found.check()


def test_registers_are_those_of_the_manifest(image: Image) -> None:
    """PCR = SHA384(0^48 || SHA384(manifest)), as of an image file of Nitro."""
    import hashlib

    raw = manifest(image.entries)
    expected = hashlib.sha384(bytes(48) + hashlib.sha384(raw).digest()).digest()
    assert image.pcrs[0] == measured(raw) == expected
    assert len(set(image.pcrs.values())) == 3
    assert manifest(list(reversed(image.entries))) == raw


def test_the_same_files_measure_the_same_elsewhere(image: Image, tmp_path: Path) -> None:
    """Bytecode is made anew each time, in another folder."""
    other = image_in(tmp_path)
    different = {e.path for e in set(other.entries) ^ set(image.entries)}
    launch.removed(other.folder)
    assert different == set()


# --- what is in it, and that nothing else runs ---


def run(image: Image, code: str) -> subprocess.CompletedProcess[str]:
    command = launch.command(image, image.folder, "-c", code)
    environment = launch.environment(image.folder)
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd="/", check=False
    )


def test_A2_nothing_is_loaded_but_the_image(image: Image) -> None:
    """Every file that Python opens, every module's, and every mapped one, of the whole enclave."""
    code = """
import sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
import json, pkgutil, importlib, grail_enclave
for module in pkgutil.walk_packages(grail_enclave.__path__, "grail_enclave."):
    importlib.import_module(module.name)
mapped = [line.split(maxsplit=5) for line in open("/proc/self/maps")]
mapped = [parts[5].strip() for parts in mapped if len(parts) == 6]
modules = [module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]
print(json.dumps([opened, modules, mapped, sys.path]))
"""
    done = run(image, code)
    assert done.returncode == 0, done.stderr
    opened, modules, mapped, path = json.loads(done.stdout)
    assert str(image.folder / "app" / "grail_enclave" / "checks.py") in modules
    known = {str(image.folder / entry.path) for entry in image.entries}
    assert {each for each in opened if each != "/proc/self/maps"} <= known
    assert set(modules) <= known
    assert {each for each in mapped if not each.startswith("[")} <= known
    assert all(each.startswith(f"{image.folder}/") for each in path)


def test_A2_the_users_environment_adds_nothing(image: Image, tmp_path: Path) -> None:
    """Paths and hooks of the environment, a module in the current folder, a user's site."""
    (tmp_path / "sitecustomize.py").write_text("print('hooked')")
    (tmp_path / "secrets.py").write_text("print('shadowed')")
    command = launch.command(image, image.folder, "-c", "import secrets, grail_enclave.__main__")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **launch.environment(image.folder),
            "PYTHONPATH": str(tmp_path),
            "PYTHONHOME": str(tmp_path),
            "PYTHONSTARTUP": str(tmp_path / "secrets.py"),
            "PYTHONUSERBASE": str(tmp_path),
        },
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_module_of_the_enclave_imports_inside_of_a_function(image: Image) -> None:
    """The image is found by loading all of it: what is loaded later would not be there."""
    late = []
    for entry in image.entries:
        if entry.path.startswith(("app/grail/", "app/grail_enclave/")) and entry.path[-3:] == ".py":
            tree = ast.parse((image.folder / entry.path).read_bytes())
            for function in ast.walk(tree):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    late += [
                        (entry.path, ast.unparse(node))
                        for node in ast.walk(function)
                        if isinstance(node, ast.Import | ast.ImportFrom)
                    ]
    # The names that programs import from `grail` are no part of an enclave.
    assert late == [("app/grail/__init__.py", "from importlib import import_module")]


def test_the_image_holds_the_enclave_and_its_dependencies_alone(image: Image) -> None:
    tops = {entry.path.split("/")[1] for entry in image.entries if entry.path.startswith("app/")}
    ours = {"grail", "grail_enclave"}
    assert ours | {"cbor2", "coincurve"} <= tops
    assert tops <= ours | {"cbor2", "coincurve", "cryptography", "_cffi_backend", "__pycache__"} | {
        top for top in tops if top.startswith("_cffi_backend.")
    }
    paths = {entry.path for entry in image.entries}
    assert not {path for path in paths if "/grail/wallet/" in path or "grail_devnet" in path}
    assert {entry.mode for entry in image.entries} == {0o400, 0o500}


def test_a_build_that_fails_says_why(image: Image) -> None:
    with pytest.raises(Unavailable, match="cannot be made: FileExistsError"):
        launch.made(image.folder)


# --- names of shared libraries ---


def test_names_of_libraries_are_their_own(image: Image) -> None:
    assert soname((image.folder / "lib" / "libc.so.6").read_bytes()) == "libc.so.6"
    assert soname(Path(sys.executable).resolve().read_bytes()) is None


def test_files_that_are_no_library(image: Image) -> None:
    raw = (image.folder / "lib" / "libc.so.6").read_bytes()
    for wrong in (b"", b"\x7fELF", raw[:60], raw[:0x400], b"\x7fELF\x01" + raw[5:], bytes(4_096)):
        with pytest.raises(DecodeError, match="shared library"):
            soname(wrong)


def test_an_image_is_removed_by_a_user_without_rights_over_modes(tmp_path: Path) -> None:
    """Its folders cannot be written to; a root user would not notice."""
    (tmp_path / "image" / "app").mkdir(parents=True)
    (tmp_path / "image" / "app" / "x.py").touch(0o400)
    for folder in (tmp_path / "image" / "app", tmp_path / "image"):
        folder.chmod(0o500)
    code = "import sys; from pathlib import Path; from grail_devnet.image.launch import removed; removed(Path(sys.argv[1]))"
    plain = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*plain, sys.executable, "-c", code, str(tmp_path / "image")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "image").exists()
