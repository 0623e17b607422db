"""What others made: their vectors pass or say why not; snarkjs and we take each other's proofs."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "vectors"
HELP_SECONDS = 0.3
MUTATED = 10_000
sys.path.append(str(ROOT / "benchmarks"))


def vectors() -> str:
    """Every published case is run, or listed with its reason."""
    from published.ledger import tally, total, unclaimed
    from published.sources import ELSEWHERE, SOURCES

    assert PUBLISHED.is_dir(), f"the published vectors are not at {PUBLISHED}"
    found = tally(PUBLISHED, SOURCES)
    whole = total(found.values())
    left_out = unclaimed(PUBLISHED, SOURCES, ELSEWHERE)
    lines = [f"{whole.passed:,} of {whole.applicable:,} passed"]
    lines[0] += f", not applicable {whole.reasons.total():,}"
    for name, own in found.items():
        away = f"{own.reasons.total():,}" if own.reasons else ""
        lines.append(f"  {name:18} {own.passed:6,} of {own.applicable:6,} {away:>6}")
    lines += [f"  not applicable: {n:4} {why}" for why, n in sorted(whole.reasons.items())]
    lines += [f"  counted elsewhere: {files} ({why})" for files, why in ELSEWHERE.items()]
    text = "\n".join(lines)
    assert not whole.failures, f"{text}\n" + "\n".join(whole.failures[:20])
    assert not left_out, f"{text}\nno source, or two, for {left_out}"
    return text


def beside_snarkjs() -> str:
    """A swap's circuit and circom's: proofs by either side's keys, verified by the other side."""
    from reference import Snarkjs, powers_of_tau
    from steps import swap

    from grail import native
    from grail.errors import ProofInvalid
    from grail.zk import groth16, snarkjs

    r1cs, program, inputs = swap()
    wtns = native.program_run(program, inputs)
    info = native.r1cs_info(r1cs)
    keys = groth16.setup(r1cs, bytes(32))
    taken = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        node = Snarkjs(Path(folder))
        circuit, witness = node.path("circuit.r1cs", r1cs), node.path("witness.wtns", wtns)
        tau = powers_of_tau(node, (info.constraints + info.publics).bit_length())
        made = node.run("setup", circuit, tau, "bare.zkey", "circuit.zkey")
        zkey = snarkjs.Zkey(node.path("circuit.zkey").read_bytes())
        assert zkey.vk == snarkjs.verification_key_from_json(json.dumps(made["contributed"]))
        ours = [
            (keys.vk, groth16.prove_witness(keys.pk, r1cs, wtns)),
            (zkey.vk, zkey.prove(wtns)),
        ]
        for home in sorted(path.parent for path in PUBLISHED.glob("circom/*/circuit.zkey")):
            key = snarkjs.Zkey((home / "circuit.zkey").read_bytes())
            ours.append((key.vk, key.prove((home / "witness.wtns").read_bytes())))
        for vk, (proof, publics) in ours:
            false = [*publics[:-1], (publics[-1] + 1) % native.R]
            for values, holds in ((publics, True), (false, False)):
                answer = node.verify(
                    snarkjs.verification_key_json(vk),
                    snarkjs.public_json(values),
                    snarkjs.proof_json(proof),
                )
                assert answer["holds"] is holds, f"snarkjs says {answer} of a proof of ours"
            taken += 1
        theirs = node.run("prove", "circuit.zkey", witness, 1)
        publics = snarkjs.public_from_json(json.dumps(theirs["publics"]))
        proof = snarkjs.proof_from_json(json.dumps(theirs["proof"]))
        groth16.verify(zkey.vk, publics, proof)
        for place in range(len(publics)):
            false = [(value + (i == place)) % native.R for i, value in enumerate(publics)]
            try:
                groth16.verify(zkey.vk, false, proof)
            except ProofInvalid:
                refused += 1
        assert refused == len(publics)
    return (
        f"snarkjs verifies ours {taken} of {len(ours)} (a swap of {info.constraints:,} constraints "
        f"by our key and by its .zkey, {len(ours) - 2} circuits of circom) and none with a changed "
        f"input; we verify snarkjs's, and none with one of {refused} inputs changed"
    )


def spells() -> str:
    """Real transactions of Charms: read as listed, their proofs verified, changed ones refused."""
    import upstream_real as real

    from grail.charms.upstream import proof

    known = real.known(PUBLISHED)
    listed = real.listed(PUBLISHED)
    flipped: Counter[bool] = Counter()
    taken = []
    for name, entry in listed.items():
        whole = real.raw(PUBLISHED, name)
        found = real.enchanted(whole)
        real.assert_as_listed(found, entry)
        begun = time.process_time()
        proof.verify(found, known)
        taken.append(time.process_time() - begun)
        for (part, _verdict), count in real.flips(whole, known, lambda at: (at % 8,)).items():
            flipped[part.held] += count
    refused = [real.verdict(raw, known) for raw in real.negatives(PUBLISHED)]
    assert set(refused) == {"ProofInvalid"}, refused
    versions = sorted({entry["version"] for entry in listed.values()})
    return (
        f"read as listed {len(listed)} of {len(listed)} (versions {versions}), proofs verified "
        f"{len(taken)} of {len(taken)} in {min(taken) * 1e3:.1f} to {max(taken) * 1e3:.1f} ms CPU; "
        f"negatives refused {len(refused)} of {len(refused)}; one bit flipped in each byte: "
        f"refused {flipped[True]:,} of {flipped[True]:,} in what the proof holds, verdict as it was "
        f"{flipped[False]:,} of {flipped[False]:,} elsewhere"
    )


def mutated() -> str:
    """Changed transactions through Charms' own reader and ours."""
    import upstream_oracle as oracle

    seed = secrets.randbelow(1 << 32)
    found = oracle.compare(PUBLISHED, MUTATED, seed, lambda _: None)
    return f"{found}, seed {seed}"


def command_line() -> str:
    """Each verb has an example and exit codes, a page that says what it prints, and quick help."""
    from command_line import PAGE, all_helps, all_verbs, cpu_seconds, page

    verbs, helps = all_verbs(), all_helps()
    with_example = sum(f"\n  Example: {name}" in helps[name] for name in verbs)
    with_codes = sum("\n  Exit code: 0 done, " in helps[name] for name in verbs)
    assert with_example == with_codes == len(verbs), f"{with_example}, {with_codes}, {len(verbs)}"
    assert PAGE.read_text() == page(helps), (
        "docs/cli.md is not what the command prints: make cli-page"
    )
    times = {name: cpu_seconds(name) for name in helps}
    slowest = max(times, key=times.__getitem__)
    said = (
        f"verbs {len(verbs)}, with an example {with_example}, with exit codes {with_codes}; --help "
        f"(best of 5, CPU) {times['grail']:.2f} s, slowest of {len(times)} "
        f"{times[slowest]:.2f} s ({slowest})"
    )
    assert times[slowest] < HELP_SECONDS, said
    return said


def prover() -> str:
    """Ours beside arkworks and snarkjs on the same keys: PROVER_SIZES are other powers of two."""
    sizes = os.environ.get("PROVER_SIZES", "10 14 16 18").split()
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "prover.py", "--sizes", *sizes],
        capture_output=True,
        text=True,
        check=True,
    )
    table = done.stdout.rstrip()
    ratios = dict(re.findall(r"^ratio ark (2\^\d+) ([\d.]+)", table, re.MULTILINE))
    assert len(ratios) == len(sizes), table
    slower = {size: ratio for size, ratio in ratios.items() if float(ratio) < 1}
    assert not slower, f"{table}\nslower than arkworks: {slower}"
    return f"never slower than arkworks\n{table}"


PROMISES: dict[str, Callable[[], str]] = {
    "vectors": vectors,
    "snarkjs": beside_snarkjs,
    "spells": spells,
    "mutated transactions": mutated,
    "prover": prover,
    "command line": command_line,
}
"""In the order of the issue."""
