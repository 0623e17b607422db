"""One line per promise of each finished piece of work, each computed by running it.

Prints `ok`, `FAIL` or `NOT BUILT` with the figures, and at the end `accept: K of N`; anything but
ok exits 1. `make accept` runs all; `python tests/accept.py NAME...` only the named ones.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

# The packages first: beside a script in this folder, `tests/grail` would stand for `grail`.
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "enclave", "devnet", "tests")]

from acceptance import (
    attested,
    hostile_bytes,
    main_job,
    outside_truth,
    rosters,
    site,
    trusted_heart,
)

PROMISES = {
    **main_job.PROMISES,
    **trusted_heart.PROMISES,
    **outside_truth.PROMISES,
    **hostile_bytes.PROMISES,
    **site.PROMISES,
    **attested.PROMISES,
    **rosters.PROMISES,
}


def main(names: list[str]) -> int:
    """Run the promises named, or all of them."""
    unknown = set(names) - set(PROMISES)
    if unknown:
        print(f"no such promise: {', '.join(sorted(unknown))}; there are {', '.join(PROMISES)}")
        return 2
    chosen = {name: run for name, run in PROMISES.items() if not names or name in names}
    good = 0
    for name, run in chosen.items():
        start = time.monotonic()
        try:
            text = run()
            verdict = "ok"
            good += 1
        except NotImplementedError as exc:
            text, verdict = str(exc), "NOT BUILT"
        except Exception as exc:  # noqa: BLE001 - whatever went wrong, the line says FAIL
            traceback.print_exc()
            text, verdict = f"{type(exc).__name__}: {exc}", "FAIL"
        print(f"{verdict:9} {name}: {text} [{time.monotonic() - start:.1f} s]", flush=True)
    print(f"accept: {good} of {len(chosen)}")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
