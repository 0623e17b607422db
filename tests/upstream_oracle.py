"""Changed transactions through Charms' own reader and through ours: who takes what.

Upstream's crate is built for this alone (`tests/charms_oracle`, some 330 crates, a few minutes);
the SDK does not depend on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import upstream_mutations as mutations
import upstream_real as real

from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx
from grail.charms.upstream import proof
from grail.charms.upstream.envelope import WORD
from grail.charms.upstream.proof import Keys
from grail.errors import InvalidInput, SpellIncorrect

CRATE = Path(__file__).resolve().parent / "charms_oracle"
TARGET = CRATE.parents[1] / ".cache" / "charms-oracle"
BATCH = 500


class Missing(Exception):
    """Upstream's reader cannot be built here."""


def build(progress: Callable[[str], None] = print) -> Path:
    """Build upstream's reader, or find it built. Raises `Missing`."""
    cargo = shutil.which("cargo")
    if cargo is None:
        raise Missing("no cargo")
    progress("building upstream's reader: a few minutes the first time")
    line = [cargo, "build", "--release", "--locked", "--quiet"]
    line += ["--manifest-path", str(CRATE / "Cargo.toml")]
    done = subprocess.run(
        line, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, capture_output=True, text=True
    )
    if done.returncode:
        raise Missing(done.stderr.strip()[-300:])
    return TARGET / "release" / "charms-oracle"


def ask(oracle: Path, raws: Sequence[bytes]) -> list[str]:
    """What upstream says of each: "ok" and the public values in hex, or why not.

    Its pairings take some 0.1 s each, so all processors work.
    """
    workers = os.cpu_count() or 1
    size = -(-len(raws) // workers)
    parts = [raws[at : at + size] for at in range(0, len(raws), size)]
    with ThreadPoolExecutor(workers) as pool:
        return [said for part in pool.map(lambda part: _ask(oracle, part), parts) for said in part]


def _ask(oracle: Path, raws: Sequence[bytes]) -> list[str]:
    text = "".join(raw.hex() + "\n" for raw in raws)
    done = subprocess.run([str(oracle)], input=text, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(raws)
    return said


def ours(raw: bytes, keys: Keys) -> str:
    """What our reader says, in the same form."""
    try:
        tx = Tx.parse(raw)
    except InvalidInput as exc:
        return f"no transaction: {exc}"
    try:
        found = proof.read(tx)
        if found is None:
            return "no spell"
        proof.verify(found, keys)
    except SpellIncorrect as exc:
        # Upstream may have read the witness of a transaction whose OP_RETURN we refused.
        behind = _carries_a_witness(tx) and exc.rule in {
            "TwoSpells",
            "EnvelopeInvalid",
            "SpellInvalid",
        }
        return f"behind OP_RETURN: {exc}" if behind else f"{exc}; got {exc.got}"
    return f"ok {proof.public_values(found).hex()}"


def _carries_a_witness(tx: Tx) -> bool:
    head = b"\x00\x63" + op_return(WORD)[1:]
    says = any(output.script.startswith(op_return(WORD)) for output in tx.outputs)
    return says and any(element.startswith(head) for element in tx.inputs[-1].witness)


@dataclass
class Compared:
    """What a run found; `differences` counts by the rows of the list."""

    transactions: int = 0
    both_took: int = 0
    differences: Counter[str] = field(default_factory=Counter)
    unlisted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        listed = ", ".join(f"{name} {count}" for name, count in self.differences.most_common())
        return (
            f"mutated transactions {self.transactions}: both took {self.both_took}, "
            f"disagreements on the list {self.differences.total()} ({listed}), "
            f"outside the list {len(self.unlisted)}"
        )


def compare(
    folder: Path, count: int, seed: int, progress: Callable[[str], None] = print
) -> Compared:
    """Put changed transactions through both; the first disagreements outside the list are kept.

    Raises `Missing`, and AssertionError with the seed and the transactions that are on no list.
    """
    oracle, keys = build(progress), real.known(folder)
    raws = [real.raw(folder, name) for name in real.names(folder)]
    total = Compared()
    for nth in range(0, count, BATCH):
        changed = mutations.mutants(raws, seed + nth, min(BATCH, count - nth))
        for raw, theirs in zip(changed, ask(oracle, changed), strict=True):
            total.transactions += 1
            said = ours(raw, keys)
            if said == theirs:
                total.both_took += 1
            elif said.startswith("ok ") or theirs.startswith("ok "):
                listed = None if said.startswith("ok ") else mutations.difference(said, raw)
                if listed is None:
                    total.unlisted.append(f"{said[:200]} | {theirs[:200]} | {raw.hex()}")
                else:
                    total.differences[listed] += 1
    progress(str(total))
    assert not total.unlisted, f"seed {seed}: " + "\n".join(total.unlisted[:5])
    return total
