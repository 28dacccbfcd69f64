"""One digest over processes, hash seeds, chunk sizes, threads, masked CPU features and interpreters (D1, D3)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONE_RUN = Path(__file__).with_name("one_run.py")
EVENTS = 12_000
MASKED = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "NUMBA_CPU_NAME": "generic",
}
CHUNKS = ("1", "7", "1000", "65536", "all")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cift.data.catalog import Catalog
    from cift.data.demo import generate

    path = tmp_path_factory.mktemp("determinism") / "catalog"
    generate(Catalog(path), "DEMO.SIM", "2026-01-05", EVENTS, 11)
    return path


def run(catalog: Path, level: str, rows: str, *, threads: int = 1, python: str = sys.executable, **env: str) -> str:
    """The one digest that a process prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NPY_", "NUMBA_", "GLIBC_"))}
    done = subprocess.run(
        [python, str(ONE_RUN), str(catalog), level, rows, str(threads)],
        env=inherited | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def newest_interpreter() -> str | None:
    """The newest Python beside the running one that is present and supported."""
    running = sys.version_info[:2]
    for minor in range(14, 10, -1):
        if (3, minor) == running:
            return None
        for name in (shutil.which(f"python3.{minor}"), *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))):
            if name and subprocess.run([name, "-c", ""], capture_output=True, check=False).returncode == 0:
                return name
    return None


@pytest.mark.parametrize("level", ["L3", "L1"])
def test_twenty_runs_have_one_digest(catalog: Path, level: str, capsys: pytest.CaptureFixture[str]) -> None:
    digests = [run(catalog, level, rows, PYTHONHASHSEED=str(seed)) for seed, rows in enumerate(CHUNKS)]
    digests += [run(catalog, level, "1000", PYTHONHASHSEED=str(seed)) for seed in (77, 4_294_967_295)]
    digests += [run(catalog, level, "7", threads=threads) for threads in (2, 8)]
    digests.append(run(catalog, level, "65536", **MASKED))
    with capsys.disabled():
        print(f"\n{level}: {len(digests)} processes, digest {digests[0]}")
    assert len(set(digests)) == 1


def test_another_interpreter_has_the_same_digest(catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = newest_interpreter()
    if python is None:
        pytest.skip("no newer interpreter than the running one is present")
    uv = str(Path(sys.executable).with_name("uv"))
    needed = tmp_path / "requirements.txt"
    export = [uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--quiet", "-o", str(needed)]
    subprocess.run(export, cwd=ROOT, check=True, timeout=120)
    subprocess.run([uv, "venv", "--quiet", "--python", python, str(tmp_path / "env")], check=True, timeout=120)
    other = str(tmp_path / "env" / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", other, "-r", str(needed)]
    subprocess.run(install, check=True, timeout=600)
    with capsys.disabled():
        print(f"\nbeside {sys.version_info[0]}.{sys.version_info[1]}: {python}")
    assert run(catalog, "L3", "1000", python=other) == run(catalog, "L3", "1000")
