"""`python tests/defences [ROW...]`: switch the defences of these rows off, or all of them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from defences.run import switch_off


def main(threats: list[str]) -> int:
    """Print a line for each defence, then the sum."""
    summary = switch_off(threats, progress=lambda line: print(line, flush=True))
    print(
        f"defences switched off: red {summary.red} of {summary.total}, "
        f"{summary.rows} rows, {summary.seconds:.0f} s"
    )
    for survivor in summary.survivors:
        print(f"not red: {survivor}")
    return 1 if summary.survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
