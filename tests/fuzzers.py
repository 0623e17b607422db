"""All fuzzers, ten minutes each: `make fuzz`; or `RUNS=1000000 make fuzz`; or names of targets.

SECONDS_EACH is another time, AT_ONCE how many run side by side. Prints executions and crashes of each;
1 when there was a crash. What a crash was made of lies in .cache/fuzz, in `found` of its target.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "enclave", "devnet", "tests")]

from fuzz import campaign


def main(names: list[str]) -> int:
    """Run the fuzzers named, or all of them."""
    unknown = set(names) - set(campaign.NAMES)
    if unknown:
        print(
            f"no such target: {', '.join(sorted(unknown))}; there are", *campaign.NAMES, sep="\n  "
        )
        return 2
    runs = int(os.environ.get("RUNS", "0"))
    seconds = int(os.environ.get("SECONDS_EACH", "0" if runs else "600"))
    outcomes = campaign.run(
        names or campaign.NAMES,
        runs=runs,
        seconds=seconds,
        at_once=int(os.environ.get("AT_ONCE", "1")),
        told=lambda outcome: print(outcome, *outcome.findings, sep="\n    ! ", flush=True),
    )
    crashes = sum(len(outcome.findings) for outcome in outcomes)
    print(f"fuzzers: crashes {crashes}")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
