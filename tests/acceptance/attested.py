"""Attestation: real documents, each of them changed, and a devnet's forged ones."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "vectors"


def documents() -> str:
    """AWS's documents at their own times, and another value at each of their bytes."""
    from changed_bytes import one_bit, refused_at
    from published import nitro

    from grail.attestation.attested import attested
    from grail.errors import AttestationInvalid

    root = nitro.root(PUBLISHED)
    taken, refused, changed = [], [], Counter[str]()
    for name, (raw, _says) in nitro.documents(PUBLISHED).items():
        try:
            attested(raw, root, allow_debug=True)
        except AttestationInvalid as exc:
            refused.append(f"{name} ({exc.rule})")
            continue
        taken.append(name)
        changed += refused_at(raw, root, one_bit(raw))
    assert sorted(taken) == sorted(nitro.GOOD)
    assert refused
    rules = ", ".join(f"{rule} {count:,}" for rule, count in changed.most_common(5))
    return (
        f"accepted {len(taken)}, refused {len(refused)}: {', '.join(refused)}; "
        f"bytes changed {changed.total():,}, refused {changed.total():,} (most by {rules})"
    )


def measurement() -> str:
    """One bit of files of every kind of the image, and each byte of a configuration."""
    from measurement_changes import campaign

    seed = secrets.randbits(32)
    with tempfile.TemporaryDirectory() as folder:
        made, noticed = campaign(Path(folder), seed, each=25)
    assert noticed == made, {name: made[name] - noticed[name] for name in made}
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(made.items()))
    return f"changes noticed {noticed.total()} of {made.total()} made ({kinds}), seed {seed}"


def links() -> str:
    """What a document, a handshake and gossip at rest cost, beside what they cannot do without."""
    path = str(Path(__file__).resolve().parents[2] / "benchmarks")
    sys.path.insert(0, path)
    try:
        from attestation import report
    finally:
        sys.path.remove(path)
    return "\n          ".join(report())


def roster() -> str:
    """All views equal, from every operator's own word for a new state."""
    from roster_convergence import SIZES, converge

    found = [converge(size, told=lambda _text: None) for size in SIZES]
    return "rounds to equal views: " + ", ".join(map(str, found))


PROMISES: dict[str, Callable[[], str]] = {
    "documents": documents,
    "measurement": measurement,
    "links": links,
    "roster": roster,
}
"""In the order of the issue."""
