"""What a node and its network's children may do to the machine: listen, tell, fill the disk."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from grail_devnet.processes import LEASH
from grail_devnet.regtest import command


def test_D4_D17_the_node_answers_its_owner_on_loopback(tmp_path: Path) -> None:
    """RPC on loopback alone, the cookie for its owner, no peers, no broadcast of any other address."""
    given = command(Path("/bin/bitcoind"), tmp_path / "node", 18_443)
    options: dict[str, list[str]] = {}
    for argument in given[1:]:
        name, _, value = argument.partition("=")
        options.setdefault(name, []).append(value)
    assert options["-rpcbind"] == options["-rpcallowip"] == ["127.0.0.1"]
    assert options["-rpccookieperms"] == ["owner"]
    assert options["-listen"] == options["-connect"] == ["0"]
    for name in ("-rpcauth", "-rpcuser", "-rpcpassword", "-wallet", "-zmqpubrawtx", "-rest"):
        assert name not in options


def test_D18_no_file_of_a_child_fills_the_disk(tmp_path: Path) -> None:
    """A child that writes past 1 GiB of one file is stopped there; the file is sparse here."""
    target = tmp_path / "log"
    write = ["dd", "if=/dev/zero", f"of={target}", "bs=512", "count=1", "conv=notrunc"]

    def ends(block: int) -> int:
        done = subprocess.run(
            ["/bin/sh", "-c", LEASH, str(os.getpid()), *write, f"seek={block}"],
            capture_output=True,
            check=False,
        )
        return done.returncode

    assert ends(1_000) == 0
    assert ends(2_097_152) in (-signal.SIGXFSZ, 1)
    assert target.stat().st_size == 1_001 * 512
