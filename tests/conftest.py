"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# Machines that run tests are shared and slow at times: an example's duration proves nothing.
# Where a failure is what is expected (tests/defences), nobody reads the smallest example of it.
PHASES = (Phase.explicit, Phase.generate) if os.environ.get("NO_SHRINKING") else tuple(Phase)
settings.register_profile(
    "grail",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    phases=PHASES,
)
settings.load_profile("grail")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """What lives as long as the process is not looked through again and again.

    A fifth of the simulator's time would go into it.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which schedules of the simulator were played, and how to play others."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    if any("schedules_" in report.nodeid for report in reports):
        first = os.environ.get("SEED", "1")
        terminalreporter.write_line(f"simulator: schedules from seed {first} (SEED=n for others)")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of published vectors, which lies beside the repository and is no part of it."""
    folder = ROOT.parent / "shared" / "vectors"
    if not folder.is_dir():
        reason = f"the published vectors are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
