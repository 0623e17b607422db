"""The security module's client: the bytes on the device and on the devnet's socket."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forged_documents import MEASUREMENT

from grail.attestation import nsm
from grail.attestation.attested import EMULATED, attested
from grail.attestation.chain import Root
from grail.attestation.pcr import CONFIGURATION, measured
from grail.attestation.user_data import Claim
from grail.attestation.verifier import Policy, Verifier
from grail.crypto.schnorr import KeyPair
from grail.errors import AttestationInvalid, DecodeError, InvalidInput, Unavailable
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule, now
from grail_devnet.processes import python
from grail_enclave.measured import bind
from grail_enclave.nsm import IOCTL, RAW, Device, Module, Socket

# What AWS's library writes (serde_cbor of `Request` and `Response`, src/api/mod.rs), by hand.
REQUESTS: dict[str, tuple[bytes, str]] = {
    "a document": (
        nsm.attestation(b"\x01\x02", b"\x03", b"\x04"),
        "a16b" + b"Attestation".hex() + "a3"
        "69" + b"user_data".hex() + "410465" + b"nonce".hex() + "420102"
        "6a" + b"public_key".hex() + "4103",
    ),
    "a document with nothing in it": (
        nsm.attestation(None, None, None),
        "a16b" + b"Attestation".hex() + "a3"
        "69" + b"user_data".hex() + "f665" + b"nonce".hex() + "f6"
        "6a" + b"public_key".hex() + "f6",
    ),
    "what it is": (nsm.request(nsm.DESCRIBE), "6b" + b"DescribeNSM".hex()),
    "random bytes": (nsm.request(nsm.RANDOM), "69" + b"GetRandom".hex()),
    "a PCR": (nsm.describe_pcr(16), "a16b" + b"DescribePCR".hex() + "a165" + b"index".hex() + "10"),
    "to extend one": (
        nsm.extend_pcr(31, b"\xff"),
        "a169" + b"ExtendPCR".hex() + "a265" + b"index".hex() + "181f64" + b"data".hex() + "41ff",
    ),
    "to lock one": (nsm.lock_pcr(3), "a167" + b"LockPCR".hex() + "a165" + b"index".hex() + "03"),
    "to lock some": (
        nsm.lock_pcrs(24),
        "a168" + b"LockPCRs".hex() + "a165" + b"range".hex() + "1818",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_byte_for_byte(name: str) -> None:
    made, expected = REQUESTS[name]
    assert made.hex() == expected


class Kernel:
    """In the kernel's place: reads the request where the struct points, writes the answer there."""

    def __init__(self, answer: bytes | OSError, size: int | None = None) -> None:
        self.answer = answer
        self.size = size
        self.asked = b""

    def __call__(self, descriptor: int, number: int, message: bytearray) -> int:
        assert (descriptor, number, len(message)) == (7, IOCTL, 32)
        address, length, room, space = RAW.unpack(message)
        assert space == 0x3000
        self.asked = ctypes.string_at(address, length)
        if isinstance(self.answer, OSError):
            raise self.answer
        ctypes.memmove(room, self.answer, len(self.answer))
        message[24:32] = (len(self.answer) if self.size is None else self.size).to_bytes(
            8, "little"
        )
        return 0


def test_the_ioctls_number_and_struct() -> None:
    """_IOWR of <asm-generic/ioctl.h>: direction 3 in bits 30, size in 16, magic in 8, number."""
    assert IOCTL == 3 << 30 | 32 << 16 | 0x0A << 8 | 0
    assert RAW.size == 32


ANSWERS: dict[str, tuple[Callable[[Module], object], str, object]] = {
    "a document": (
        lambda m: m.document(b"n", None, None),
        "a16b" + b"Attestation".hex() + "a168" + b"document".hex() + "43010203",
        b"\x01\x02\x03",
    ),
    "a document in indefinite maps": (
        lambda m: m.document(b"n", None, None),
        "bf6b" + b"Attestation".hex() + "bf68" + b"document".hex() + "43010203ffff",
        b"\x01\x02\x03",
    ),
    "what it is": (
        lambda m: m.describe(),
        "a16b" + b"DescribeNSM".hex() + "a7"
        "6d" + b"version_major".hex() + "016d" + b"version_minor".hex() + "02"
        "6d" + b"version_patch".hex() + "0369" + b"module_id".hex() + "62" + b"i1".hex()
        + "68" + b"max_pcrs".hex() + "18206b" + b"locked_pcrs".hex() + "820001"
        "66" + b"digest".hex() + "66" + b"SHA384".hex(),
        nsm.Description("i1", (1, 2, 3), 32, (0, 1), "SHA384"),
    ),
    "a PCR": (
        lambda m: m.pcr(0),
        "a16b" + b"DescribePCR".hex() + "a264" + b"lock".hex() + "f564" + b"data".hex() + "41aa",
        b"\xaa",
    ),
    "an extended one": (
        lambda m: m.extend(16, b""),
        "a169" + b"ExtendPCR".hex() + "a164" + b"data".hex() + "41bb",
        b"\xbb",
    ),
    "random bytes": (
        lambda m: m.random(),
        "a169" + b"GetRandom".hex() + "a166" + b"random".hex() + "42cafe",
        b"\xca\xfe",
    ),
    "locked": (lambda m: m.lock(16), "67" + b"LockPCR".hex(), None),
    "locked some": (lambda m: m.lock_below(20), "68" + b"LockPCRs".hex(), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_byte_for_byte(name: str) -> None:
    ask, answer, expected = ANSWERS[name]
    assert ask(Module(Device(7, Kernel(bytes.fromhex(answer))))) == expected


def test_the_device_is_asked_with_the_requests_bytes() -> None:
    kernel = Kernel(bytes.fromhex(ANSWERS["a document"][1]))
    Module(Device(7, kernel)).document(b"\x01\x02", b"\x03", b"\x04")
    assert kernel.asked.hex() == REQUESTS["a document"][1]


@pytest.mark.parametrize("code", nsm.ERRORS)
def test_errors_of_the_module_are_named(code: str) -> None:
    answer = b"\xa1\x65Error" + bytes([0x60 + len(code)]) + code.encode()
    with pytest.raises(Unavailable, match=f"DescribePCR: {code}"):
        Module(Device(7, Kernel(answer))).pcr(99)


def test_errors_of_the_kernel() -> None:
    for number, said in ((errno.EMSGSIZE, "InputTooLarge"), (errno.ENOTTY, "Inappropriate")):
        kernel = Kernel(OSError(number, os.strerror(number)))
        with pytest.raises(Unavailable, match=said):
            Module(Device(7, kernel)).random()
    with pytest.raises(Unavailable, match="nsm"):
        Device.open(Path("/dev/no-such-nsm"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        b"\x69GetRandom",
        b"\xa1\x69GetRandom\xa1\x66random\x40",
        b"\xa1\x69GetRandom\xa1\x66random\x01",
        b"\xa1\x69GetRandom\xa1\x66random\x41x\x00",
        b"\xa1\x6bAttestation\xa1\x68document\x41x",
        b"\xa2\x69GetRandom\xa0\x65Error\x60",
        b"\xa1\x69GetRandom\xd9\x01\x02\x80",
    ],
)
def test_A10_answers_that_are_none(answer: bytes) -> None:
    with pytest.raises(DecodeError):
        Module(Device(7, Kernel(answer))).random()


def test_A14_a_device_that_claims_more_than_it_has_room_for() -> None:
    with pytest.raises(DecodeError, match="12288"):
        Module(Device(7, Kernel(b"", 0x3001))).random()


def test_fields_that_are_too_long_are_not_sent() -> None:
    kernel = Kernel(b"")
    for given in (
        (bytes(1_025), None, None),
        (None, bytes(1_025), None),
        (None, None, bytes(1_025)),
    ):
        with pytest.raises(InvalidInput, match="1025"):
            Module(Device(7, kernel)).document(*given)
    with pytest.raises(InvalidInput, match="4096"):
        Module(Device(7, kernel)).extend(16, bytes(0x1000))
    assert kernel.asked == b""


# --- the devnet's module, as the process that it is ---


@pytest.fixture
def folder() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nsm") as name:  # a socket's path is short
        yield Path(name)


@pytest.fixture
def authority(folder: Path) -> Authority:
    made = Authority.draw(now())
    made.save(folder)
    return made


@pytest.fixture
def module(folder: Path, authority: Authority) -> Iterator[Module]:
    EmulatedModule.draw(authority, MEASUREMENT.pcrs).save(folder / "module.json")
    path = folder / "run" / "nsm"
    (folder / "run").mkdir(mode=0o700)
    command = python(
        "grail_devnet.nsm", "--socket", str(path), "--module", str(folder / "module.json")
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready i-")
        yield Module(Socket(path))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not path.exists()


def test_one_verifier_takes_the_devnets_documents(
    folder: Path, authority: Authority, module: Module
) -> None:
    root = Root.from_pem((folder / "root.pem").read_bytes())
    verifier = Verifier(Policy(root, (MEASUREMENT,)))
    claim = Claim(bytes(32), bytes(32), KeyPair.generate().public)
    for public_key in (None, b"a key"):
        nonce = verifier.nonce()
        raw = module.document(nonce, public_key, claim.user_data(public_key))
        found = verifier.check_claim(raw, nonce, claim)
        assert (found.public_key, found.kind) == (public_key, EMULATED)
        assert len(found.chain) == 5
        assert found.module_id == module.describe().module_id
    with pytest.raises(AttestationInvalid, match="NonceReplayed"):
        verifier.check(raw, nonce)
    assert Root.from_pem(authority.root_pem) == root


def test_registers_are_the_devices(module: Module) -> None:
    """PCR0 to 15 are fixed; the others extend, lock, and stand in documents once locked."""
    assert module.describe().locked == tuple(range(16))
    assert module.pcr(0) == MEASUREMENT.pcrs[0]
    with pytest.raises(Unavailable, match="ReadOnlyIndex"):
        module.extend(0, b"x")
    value = module.extend(16, b"x")
    assert value == module.pcr(16) == hashlib.sha384(bytes(48) + b"x").digest()
    module.lock(16)
    for again in (lambda: module.extend(16, b"x"), lambda: module.lock(16)):
        with pytest.raises(Unavailable, match="ReadOnlyIndex"):
            again()
    with pytest.raises(Unavailable, match="InvalidIndex"):
        module.pcr(32)
    module.lock_below(20)
    assert module.describe().locked == tuple(range(20))
    assert len(module.random()) == 256
    assert module.random() != module.random()


def test_A14_bytes_that_are_no_request(folder: Path, module: Module) -> None:
    """Length lies, cut frames and junk: that connection ends, the next request is served."""
    ask = Socket(folder / "run" / "nsm")
    for junk in (
        b"",
        b"\x00",
        b"\xff",
        b"\x6bNoSuchThing",
        b"\xa1\x6bAttestation\xa1\x65nonce\x01",
        b"\xa1\x64None\xa0",
    ):
        assert ask(junk).startswith(b"\xa1\x65Error")
    assert ask(bytes(0x1000)).startswith(b"\xa1\x65Error")
    for raw in (b"\x01", b"\xff\xff\xff\xff", b"\x05\x00\x00\x00ab"):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(folder / "run" / "nsm"))
            stream.sendall(raw)
            stream.shutdown(socket.SHUT_WR)
            assert stream.recv(16) == b""
    assert len(module.random()) == 256


def test_A17_each_devnet_draws_its_own_root_in_private_files(
    folder: Path, authority: Authority
) -> None:
    other = Authority.draw(now())
    assert Root.from_pem(other.root_pem) != Root.from_pem(authority.root_pem)
    EmulatedModule.draw(authority, MEASUREMENT.pcrs).save(folder / "module.json")
    for name in ("authority.json", "module.json", "root.pem"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert Authority.load(folder).root_pem == authority.root_pem
    assert "PRIVATE" not in repr(authority) + repr(EmulatedModule.load(folder / "module.json"))
    for broken in (b"", b"{}", b'{"key": "x", "chain": []}'):
        (folder / "authority.json").write_bytes(broken)
        with pytest.raises(InvalidInput):
            Authority.load(folder)


def test_A17_another_devnets_root_has_another_key(authority: Authority) -> None:
    roots = [each.zone.chain[0] for each in (authority, Authority.draw(now()))]
    assert roots[0].subject == roots[1].subject
    assert roots[0].public_key() != roots[1].public_key()


def test_a_socket_that_lies_or_hangs_up(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for answer in (b"\x05\x00\x00\x00ab", b"\xff\xff\xff\xff", b""):
                stream, _ = listener.accept()
                with stream:
                    stream.recv(100)
                    stream.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        for expected in (Unavailable, DecodeError, (Unavailable, DecodeError)):
            with pytest.raises(expected):
                Module(Socket(path)).random()
        thread.join()
    with pytest.raises(Unavailable):
        Module(Socket(folder / "nobody")).random()


# --- modules of a whole network in one process ---


def test_one_process_serves_each_enclave_its_own_module(folder: Path, authority: Authority) -> None:
    """Sockets, instances and keys apart; one whose socket is held up makes no other one wait."""
    (folder / "run").mkdir(mode=0o700)
    arguments, sockets = [], []
    for name in ("a", "b"):
        EmulatedModule.draw(authority, MEASUREMENT.pcrs).save(folder / f"{name}.json")
        sockets.append(folder / "run" / name / "s")
        arguments += ["--socket", str(sockets[-1]), "--module", str(folder / f"{name}.json")]
    command = python("grail_devnet.nsm", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = [process.stdout.readline().split() for _ in sockets]
        modules = [Module(Socket(path, seconds=2)) for path in sockets]
        assert [["ready", module.describe().module_id] for module in modules] == ready
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(sockets[0]))
            assert len(modules[1].random()) == 256
        modules[0].extend(16, b"x")
        assert modules[1].pcr(16) == bytes(48)
        chains = [attested(m.document(None, None, None), root(authority)).chain for m in modules]
        # The root, region and zone are the same; instance and leaf are each module's own.
        assert [len({chain[level] for chain in chains}) for level in range(5)] == [1, 1, 1, 2, 2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert not any(path.exists() for path in sockets)


def root(authority: Authority) -> Root:
    return Root.from_pem(authority.root_pem)


def test_modules_and_sockets_come_in_pairs(folder: Path) -> None:
    command = python("grail_devnet.nsm", "--socket", str(folder / "s"), "--socket", "x")
    command += ["--module", str(folder / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "each --socket needs its --module" in done.stderr


@pytest.mark.parametrize("locked", [[], [0], [*range(16), 32], ["x"], None])
def test_A17_a_modules_file_that_unlocks_the_platforms_registers(
    folder: Path, authority: Authority, locked: object
) -> None:
    import json

    EmulatedModule.draw(authority, MEASUREMENT.pcrs).save(folder / "module.json")
    body = json.loads((folder / "module.json").read_text())
    (folder / "module.json").write_text(json.dumps({**body, "locked": locked}))
    with pytest.raises(InvalidInput, match=r"module module\.json"):
        EmulatedModule.load(folder / "module.json")


# --- the configuration's register ---

CONFIGURATION_FILE = b'{"quorum": 12}'


def held(authority: Authority, pcrs: dict[int, bytes]) -> Module:
    """A module in memory that holds these registers."""
    return Module(EmulatedModule.draw(authority, {**MEASUREMENT.pcrs, **pcrs}).answer)


def test_A13_a_measured_configuration_is_compared(authority: Authority) -> None:
    module = held(authority, {CONFIGURATION: measured(CONFIGURATION_FILE)})
    bind(module, CONFIGURATION_FILE)
    with pytest.raises(InvalidInput, match="PCR16 of the security module is of another file"):
        bind(module, CONFIGURATION_FILE + b" ")


def test_A13_a_configuration_that_nobody_measured_is_measured_and_locked(
    authority: Authority,
) -> None:
    """As on Nitro, where the registers above the platform's are the enclave's own."""
    module = held(authority, {})
    assert CONFIGURATION not in module.describe().locked
    bind(module, CONFIGURATION_FILE)
    assert module.pcr(CONFIGURATION) == measured(CONFIGURATION_FILE)
    found = attested(module.document(None, None, None), root(authority))
    assert found.pcrs[CONFIGURATION] == measured(CONFIGURATION_FILE)
    with pytest.raises(Unavailable, match="ReadOnlyIndex"):
        module.extend(CONFIGURATION, b"x")
    bind(module, CONFIGURATION_FILE)  # the same again, after a restart: compared


def test_A13_a_register_that_was_extended_before(authority: Authority) -> None:
    module = held(authority, {})
    module.extend(CONFIGURATION, b"something")
    with pytest.raises(InvalidInput, match="PCR16"):
        bind(module, CONFIGURATION_FILE)
    assert CONFIGURATION not in module.describe().locked


def test_a_module_by_its_path(folder: Path, module: Module) -> None:
    assert Module.at(folder / "run" / "nsm").describe() == module.describe()
    with pytest.raises(Unavailable, match="no-such"):
        Module.at(folder / "no-such")
    with pytest.raises(Unavailable, match="security module"):
        Module.at(Path("/dev/null")).random()  # a device, and none that knows the ioctl
