"""The documents: length, links, generated pages, and the quick start, run as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a document, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    kept = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {head.replace(" ", "-") for head in kept}


def test_the_readme_fits_on_three_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    lost = []
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        place = (path.parent / file).resolve() if file else path
        known = place.exists() and (not anchor or anchor in anchors(place))
        lost += [] if known else [target]
    assert lost == []


def test_the_quick_start_in_python_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    found = re.fullmatch(r"([\d.]+) \{'psnr_rgb': ([\d.]+), 'ssim': ([\d.]+)\}\n", done.stdout)
    assert found, done.stderr
    rate, psnr, ssim = map(float, found.groups())
    assert 0.005 < rate < 0.05
    assert 18 < psnr < 30
    assert 0.4 < ssim < 0.9


@pytest.mark.parametrize("tool", ["results_page", "readme_results"])
def test_what_is_written_from_the_tables_is_current(tool: str) -> None:
    program = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
