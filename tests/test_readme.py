"""What the README shows runs."""

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


@pytest.mark.docs
def test_python_of_the_readme_runs(devnet: Devnet, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    code = code.replace("grail.connect()", f"grail.connect({devnet.name!r})")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    names["net"].close()  # type: ignore[attr-defined]
    shown = capsys.readouterr().out
    assert "signed by" in shown
    assert "StaleTip: " in shown


@pytest.mark.docs
@pytest.mark.parametrize("line", list(re.findall(r"^    grail (.*)$", README, re.MULTILINE)))
def test_commands_of_the_readme_exist(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if word != "--help"]
    result = CliRunner().invoke(build(), [*words, "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.docs
@pytest.mark.parametrize("target", list(re.findall(r"^    make (\S+)", README, re.MULTILINE)))
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
