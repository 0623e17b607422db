"""What a run of pytest says of the tests that were asked for: passed, red, or broken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from .scratch import Scratch

TIMEOUT = 240.0
"""Seconds for the tests of one defence; they take a few."""

NO_VERDICT = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")
"""What a test raises when the patch, not the missing guard, broke the code."""


@dataclass
class Verdicts:
    """What became of each test (`path::name`, all parameters together)."""

    passed: set[str] = field(default_factory=set)
    red: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    """Fixtures or imports that failed, or a run without an end: no verdict on the guard."""

    def why_not_red(self, tests: Iterable[str]) -> str:
        """Empty when each of these tests is red; else what is wrong."""
        for test in tests:
            name = bare(test)
            if name in self.broken:
                return f"{name}: {self.broken[name]}"
            if name not in self.red:
                return f"{name}: {'passes' if name in self.passed else 'did not run'}"
        return ""

    def why_not_green(self, tests: Iterable[str]) -> str:
        """Empty when each of these tests ran and passed; else what is wrong."""
        for test in tests:
            name = bare(test)
            if name in self.broken:
                return f"{name}: {self.broken[name]}"
            if name in self.red:
                return f"{name}: fails with its defence on"
            if name not in self.passed:
                return f"{name}: did not run"
        return ""


def bare(test: str) -> str:
    """The test without its parameters."""
    return test.split("[", 1)[0]


def run_tests(scratch: Scratch, tests: Iterable[str], timeout: float = TIMEOUT) -> Verdicts:
    """Run these tests in the copy."""
    wanted = list(dict.fromkeys(tests))
    report = scratch.tree.parent / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
    command += ["--hypothesis-seed=0", f"--junitxml={report}", "-o", "junit_family=xunit1"]
    process = subprocess.Popen(
        [*command, *(f"tests/{test}" for test in wanted)],
        cwd=scratch.tree,
        env=scratch.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    verdicts = Verdicts()
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        verdicts.broken = {bare(test): f"no end within {timeout:.0f} s" for test in wanted}
        return verdicts
    if process.returncode not in (0, 1) or not report.is_file():
        said = " / ".join(output.strip().splitlines()[-4:])
        verdicts.broken = {
            bare(test): f"pytest ended with {process.returncode}: {said}" for test in wanted
        }
        return verdicts
    _read(report, verdicts)
    return verdicts


def _read(report: Path, verdicts: Verdicts) -> None:
    for case in ET.parse(report).iter("testcase"):
        path = case.get("classname", "").removeprefix("tests.").replace(".", "/")
        name = f"{path}.py::{bare(case.get('name', ''))}"
        failure, error = case.find("failure"), case.find("error")
        if error is not None:
            verdicts.broken[name] = f"set-up: {_said(error)}"
        elif failure is not None:
            said = _said(failure)
            if said.startswith(NO_VERDICT):
                verdicts.broken[name] = said
            else:
                verdicts.red.add(name)
        elif case.find("skipped") is None:
            verdicts.passed.add(name)


def _said(entry: ET.Element) -> str:
    return (entry.get("message") or "no message").splitlines()[0][:160]
