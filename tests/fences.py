"""The fenced blocks of a Markdown page: found, run, and compared with the output printed below them.

    python tests/fences.py README.md

writes the true outputs into the page (`make readme`); the tests compare and change nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNNER = Path(__file__).with_name("run_fences.py")

OPENING = re.compile(r"^(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
# What may differ between two runs of one thing: how long it took, and how fast it was. Only where the text says so.
ELAPSED = re.compile(r"(\b(?:in|took|elapsed:?)|;)\s+[\d.,]+ ?(ns|us|µs|ms|s|min)\b")
SPEED = re.compile(r"[\d.,]+ ?[kM]? ?(events|ticks|rows|orders)(/s| a second)")


@dataclass(frozen=True)
class Fence:
    """One fenced block of a page."""

    info: str
    source: str
    line: int
    """Line of the opening mark, from 1."""

    @property
    def language(self) -> str:
        """`python` for both a plain python block and an executed `{code-cell}`; else the first word of the info."""
        if self.info.startswith("{code-cell}"):
            return "python"
        return self.info.split()[0] if self.info else ""


def fences(page: str) -> list[Fence]:
    """All fenced blocks of a Markdown text, in order; directive options of a code cell are left out of its source.

    Raises:
        ValueError: where a block is never closed.
    """
    found = []
    lines = page.splitlines()
    i = 0
    while i < len(lines):
        opening = OPENING.match(lines[i])
        if opening is None:
            i += 1
            continue
        start, mark, info = i, opening["mark"], opening["info"].strip()
        i += 1
        body = []
        while i < len(lines) and lines[i].strip() != mark:
            body.append(lines[i])
            i += 1
        if i == len(lines):
            raise ValueError(f"the block that line {start + 1} opens with {mark}{info} is never closed")
        i += 1
        if info.startswith("{code-cell}"):
            while body and re.match(r"^:[\w-]+:", body[0]):
                body.pop(0)
        found.append(Fence(info, "\n".join(body) + "\n", start + 1))
    return found


def output_below(page: str, fence: Fence) -> Fence | None:
    """The `text` block that follows `fence` with nothing but blank lines between, or None."""
    listed = fences(page)
    after = listed.index(fence) + 1
    if after == len(listed) or listed[after].language != "text":
        return None
    end = fence.line + fence.source.count("\n") + 1
    between = page.splitlines()[end : listed[after].line - 1]
    return None if any(line.strip() for line in between) else listed[after]


def normalised(output: str) -> str:
    """`output` with its elapsed times and speeds replaced, and without blanks at line ends. Every other figure stays."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    return SPEED.sub("<speed>", ELAPSED.sub(r"\1 <time>", "\n".join(lines)))


def clean_environment(cache: Path) -> dict[str, str]:
    """The environment for a process that must find the installed package alone, with its caches in a folder of its own."""
    dropped = ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("COV_")}
    return kept | {"CIFT_CACHE": str(cache), "COLUMNS": "120"}


def run_python(
    name: str, blocks: Sequence[Fence], folder: Path, *, python: str = sys.executable, env: dict[str, str] | None = None
) -> list[str]:
    """Run the blocks of the page `name` in one fresh process that works in `folder`, and return what each prints.

    Args:
        python: the interpreter; its environment must hold the package.
        env: the process's environment; None: `clean_environment` with the cache in `folder`.
    Raises:
        AssertionError: where a block raises; the message is its traceback, with the page's name and line.
    """
    given, wanted = folder / "blocks.json", folder / "outputs.json"
    named = [{"name": f"<{name}, block at line {block.line}>", "source": block.source} for block in blocks]
    given.write_text(json.dumps(named), encoding="utf-8")
    # -P keeps the runner's own folder, which lies in the checkout, off the path.
    process = subprocess.run(
        [python, "-P", str(RUNNER), str(given), str(wanted)],
        cwd=folder,
        env=env or clean_environment(folder / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, f"{name}: a block failed\n{process.stderr}"
    outputs: list[str] = json.loads(wanted.read_text(encoding="utf-8"))
    return outputs


def run_demo(folder: Path, *, cift: Path, env: dict[str, str] | None = None) -> str:
    """What `cift demo` prints when it runs in `folder`.

    Raises:
        AssertionError: where it fails or writes no report.html.
    """
    process = subprocess.run(
        [str(cift), "demo"],
        cwd=folder,
        env=env or clean_environment(folder / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, f"cift demo failed\n{process.stdout}{process.stderr}"
    assert (folder / "report.html").is_file(), "cift demo wrote no report.html"
    return process.stdout


def with_output(page: str, fence: Fence, output: str) -> str:
    """`page` with the text block below `fence` holding `output`; a page without one is returned as it is."""
    shown = output_below(page, fence)
    if shown is None:
        return page
    lines = page.splitlines()
    lines[shown.line : shown.line + shown.source.count("\n")] = output.rstrip().splitlines()
    return "\n".join(lines) + "\n"


def rewrite(path: Path) -> None:
    """Write the true outputs of the page's Python blocks, and of `make demo`, into the page."""
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        blocks = [fence for fence in fences(page) if fence.language == "python"]
        outputs = dict(zip([block.source for block in blocks], run_python(path.name, blocks, folder), strict=True))
        if any(fence.language == "bash" and fence.source.strip() == "make demo" for fence in fences(page)):
            outputs["make demo\n"] = run_demo(folder, cift=Path(sys.executable).with_name("cift"))
    for source, output in outputs.items():
        (fence,) = [fence for fence in fences(page) if fence.source == source]
        page = with_output(page, fence, output)
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        rewrite(Path(argument))
