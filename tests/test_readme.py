"""What the README and the quickstart show runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from grail.cli import build

if TYPE_CHECKING:
    from grail_devnet.devnet import Devnet

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SHOWN = README + (ROOT / "docs" / "quickstart.md").read_text()


def run(page: Path, devnet: Devnet) -> None:
    """All Python of a page, top to bottom, on a network of the tests."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    code = code.replace("grail.connect()", f"grail.connect({devnet.name!r})")
    names: dict[str, object] = {}
    exec(compile(code, page.name, "exec"), names)
    names["net"].close()  # type: ignore[attr-defined]


@pytest.mark.docs
def test_python_of_the_readme_runs(devnet: Devnet, capsys: pytest.CaptureFixture[str]) -> None:
    run(ROOT / "README.md", devnet)
    shown = capsys.readouterr().out
    assert "signed by" in shown
    assert "StaleTip: " in shown


@pytest.mark.docs
def test_python_of_the_quickstart_runs(devnet: Devnet, capsys: pytest.CaptureFixture[str]) -> None:
    run(ROOT / "docs" / "quickstart.md", devnet)
    shown = capsys.readouterr().out
    assert "signed by" in shown
    assert "InsufficientFunds" in shown


@pytest.mark.docs
@pytest.mark.parametrize("line", list(re.findall(r"^    grail (.*)$", SHOWN, re.MULTILINE)))
def test_commands_of_the_readme_exist(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word != "--help"]
    result = CliRunner().invoke(build(), [*words, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.docs
@pytest.mark.parametrize("target", list(re.findall(r"^    make (\S+)", SHOWN, re.MULTILINE)))
def test_targets_of_the_readme_exist(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT) for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
)
def test_links_lead_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"
