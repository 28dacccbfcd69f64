"""`make bench-compare` fails on a planted slow-down and passes without one.

The working tree, committed or not, is copied into a repository of its own with three commits: as it is, with an import that
takes twice as long, and with a changed comment. asv builds and measures them as it would build and measure ours.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fences import ROOT, clean_environment

pytestmark = pytest.mark.nightly

BENCHMARK = "importing.Import.timeraw_import"
# Put at the top of the package's __init__, it doubles what the import took before.
SLOWER = """import time as _time
_time.sleep({seconds})
"""
MEASURE = "import time; start = time.perf_counter(); import cift; print(time.perf_counter() - start)"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree in a repository of its own, with one commit; built files and data stay behind."""
    copy = tmp_path_factory.mktemp("bench") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    git(copy, "init", "--quiet", "--initial-branch", "main")
    commit(copy, "As it is")
    return copy


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commit everything in `folder` and return the commit's hash."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def change(folder: Path, base: str, message: str, edit: Callable[[str], str]) -> str:
    """Commit an edit of the package's __init__ on top of `base` and return the commit's hash."""
    git(folder, "checkout", "--quiet", "--detach", base)
    front = folder / "cift" / "__init__.py"
    front.write_text(edit(front.read_text(encoding="utf-8")), encoding="utf-8")
    return commit(folder, message)


def compare(folder: Path, base: str, head: str) -> subprocess.CompletedProcess[str]:
    """`make bench-compare` of two commits, for the one benchmark, with the environment that runs this test."""
    variables = [f"VENV={sys.prefix}", f"BASE={base}", f"HEAD={head}", f"BENCH={BENCHMARK}"]
    # A marker newer than every source: the environment is there, and is not to be synchronised with the copy.
    assumed = ["--assume-old", f"{sys.prefix}/.synced"]
    return subprocess.run(
        ["make", *assumed, "bench-compare", *variables],
        cwd=folder,
        env=clean_environment(folder.parent / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_planted_slow_down_fails_and_a_changed_comment_does_not(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    took = [
        float(subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    planted = SLOWER.format(seconds=max(took))
    # `from __future__` must stay first, so the planted lines go behind it.
    future = "from __future__ import annotations\n"
    slow = change(repository, base, "Twice as slow", lambda text: text.replace(future, future + planted, 1))
    same = change(repository, base, "A comment", lambda text: text + "# The end.\n")

    without = compare(repository, base, same)
    assert without.returncode == 0, without.stdout + without.stderr
    assert "BENCHMARKS NOT SIGNIFICANTLY CHANGED" in without.stdout

    slower = compare(repository, base, slow)
    assert slower.returncode != 0, slower.stdout + slower.stderr
    assert "PERFORMANCE DECREASED" in slower.stdout, slower.stdout + slower.stderr
