"""A process of its own: `python tests/fuzz/one.py NAME FOLDER RUNS SECONDS` fuzzes one target.

FOLDER holds the seeds in `seeds`, and takes new inputs in `corpus` and findings in `found`. The
process goes on after a finding, so that one fault does not hide the next; each place counts once.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOM = 3 << 30
"""Bytes of address space beyond those at the start: a length of 4 GiB that is believed ends here."""
HANG = 30
"""Seconds after which libFuzzer ends the process: no execution hangs."""


def main(name: str, folder: Path, runs: int, seconds: int) -> None:
    """Fuzz until `runs` executions or `seconds` are over (0: no limit)."""
    sys.path[:0] = [str(ROOT / part) for part in ("sdk", "enclave", "devnet", "tests")]
    import atheris

    with atheris.instrument_imports(include=["grail", "grail_enclave", "grail_host"]):
        from fuzz.table import TARGETS
    from fuzz.target import Finding, place

    target = TARGETS[name]
    for each in ("seeds", "corpus", "found"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    first = next(iter((folder / "seeds").iterdir()), None)
    if first is not None:  # what a target makes once is made before the limits hold
        target.once(first.read_bytes())
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    places: dict[str, str] = {}
    counts = {"executions": 0, "taken": 0}

    def told() -> None:
        said = {**counts, "findings": places}
        (folder / "result.json").write_text(json.dumps(said, indent=1))

    def once(raw: bytes) -> None:
        counts["executions"] += 1
        try:
            counts["taken"] += target.once(raw)
        except Finding as exc:
            where = place(exc)
            if where not in places:
                saved = hashlib.sha256(raw).hexdigest()[:16]
                places[where] = f"{saved}: {exc}"
                (folder / "found" / saved).write_bytes(raw)
        if counts["executions"] % 1_000 == 0 or counts["executions"] == runs:
            told()

    options = [
        f"-runs={runs or -1}",
        f"-max_total_time={seconds}",
        f"-max_len={target.most}",
        f"-timeout={HANG}",
        "-rss_limit_mb=4096",
        f"-artifact_prefix={folder / 'found'}/",
        "-verbosity=0",
        "-print_final_stats=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus"), str(folder / "seeds")], once)
    told()
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
