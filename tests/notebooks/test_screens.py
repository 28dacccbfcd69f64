"""The notebooks as a page in a browser without a network: every picture is drawn, and nothing is asked of anybody.

Nightly, because it executes the notebooks once more and starts a browser. Needs Chromium; without one it is skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jupytext
import nbclient
import nbconvert
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FOUND = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))
CHARTS = {"01_quickstart": 1, "02_order_book": 3, "03_data": 3}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.nightly, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path")]

# Writes into the page what became of its pictures and whether text runs over the edge, once all is loaded.
LOOK = """
<script>
window.addEventListener("load", () => {
  const pictures = [...document.images].map(picture => picture.naturalWidth);
  const tables = [...document.querySelectorAll("table, svg, img")].map(part => part.getBoundingClientRect().right);
  const seen = document.createElement("pre");
  seen.id = "seen";
  seen.textContent = JSON.stringify({pictures, right: Math.max(...tables), page: window.innerWidth});
  document.body.append(seen);
});
</script>
"""


def page_of(name: str, folder: Path) -> Path:
    """The executed notebook as one HTML file, without the two scripts that nbconvert's template asks the network for."""
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(folder)}}
    ).execute()
    charts = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/svg+xml" in output.get("data", {})
    ]
    assert len(charts) == CHARTS[name]
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    html = re.sub(r'<script src="https://[^"]*"></script>', "", html)
    page = folder / f"{name}.html"
    page.write_text(html.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    return page


def look_at(page: Path, folder: Path) -> dict[str, Any]:
    """What a browser makes of a page when no name resolves."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command += [
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1200,900",
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom)
    assert found is not None, "the page was not loaded to its end"
    told: dict[str, Any] = json.loads(found[1])
    return told


@pytest.mark.parametrize("name", FOUND)
def test_every_picture_is_drawn_without_a_network(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIFT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    seen = look_at(page_of(name, tmp_path), tmp_path)
    assert len(seen["pictures"]) == CHARTS[name]
    assert min(seen["pictures"]) > 100
    assert seen["right"] <= seen["page"], "a table or a chart runs over the edge of a page of 1,200 pixels"


def test_a_picture_that_is_missing_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><body><img src='http://example.invalid/x.svg'>{LOOK}</body>", encoding="utf-8")
    assert look_at(page, tmp_path)["pictures"] == [0]
