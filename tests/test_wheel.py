"""The wheel is what a user gets: it says the right things, holds the package alone, and runs where nothing else is.

It is built by `make wheel` (nothing is built when it is newer than its sources), installed with the versions of the lock
into an empty environment, and run from an empty folder with no Rust toolchain on the path.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import cift
from tests.fences import ROOT, clean_environment, fences, normalised, output_below, run_demo, run_python

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="manylinux wheels are built on Linux")

UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    env = clean_environment(tmp_path_factory.mktemp("cache"))
    process = subprocess.run(
        ["make", "wheel", f"VENV={sys.prefix}"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    wheels = list((ROOT / "dist").glob("*.whl"))
    assert len(wheels) == 1, f"one wheel expected in dist/, found {wheels}"
    return wheels[0]


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and its dependencies."""

    bin: Path
    env: dict[str, str]

    def run(self, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        program = str(self.bin / command[0])
        return subprocess.run([program, *command[1:]], cwd=folder, env=self.env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("user")
    locked = subprocess.run(
        [UV, "export", "--locked", "--quiet", "--no-emit-project", "--no-default-groups", "--no-hashes"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    (folder / "versions.txt").write_text(locked, encoding="utf-8")
    place = folder / "environment"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place], cwd=folder, check=True)
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--python", place, "--constraints", folder / "versions.txt", wheel],
        cwd=folder,
        check=True,
    )
    env = clean_environment(folder / "cache")
    env["PATH"] = str(place / "bin")
    return Installed(place / "bin", env)


def metadata(wheel: Path, name: str) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return email.message_from_bytes(archive.read(path))


def test_the_wheel_serves_every_python_from_3_11_and_glibc_from_2_28(wheel: Path) -> None:
    machine = os.uname().machine
    assert wheel.name == f"cift_markets-{cift.__version__}-cp311-abi3-manylinux_2_28_{machine}.whl"
    told = metadata(wheel, "WHEEL")
    assert told["Tag"] == f"cp311-abi3-manylinux_2_28_{machine}"
    assert told["Root-Is-Purelib"] == "false"


def test_the_extension_asks_for_no_newer_glibc(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        extension = archive.read("cift/_sim.abi3.so")
    versions = {tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", extension)}
    assert versions
    assert max(versions) <= (2, 28)


def test_the_metadata_is_the_projects(wheel: Path) -> None:
    told = metadata(wheel, "METADATA")
    assert (told["Name"], told["Version"]) == ("cift-markets", cift.__version__)
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"


def test_all_versions_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    crate = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]
    assert {project, crate} == {cift.__version__}
    assert f"## {project}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"cift", f"cift_markets-{cift.__version__}.dist-info"}
    assert [name for name in names if name.endswith(".so")] == ["cift/_sim.abi3.so"]
    sources = [path for pattern in ("*.py", "*.pyi", "py.typed") for path in (ROOT / "cift").rglob(pattern)]
    assert [str(path.relative_to(ROOT)) for path in sources if str(path.relative_to(ROOT)) not in names] == []


def test_nothing_of_the_checkout_or_the_toolchain_is_there(installed: Installed, tmp_path: Path) -> None:
    assert shutil.which("cargo", path=installed.env["PATH"]) is None
    told = installed.run("python", "-c", "import cift, sys; print(cift.__file__); print(*sys.path, sep='\\n')", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    home, *path = told.stdout.splitlines()
    assert Path(home).is_relative_to(installed.bin.parent)
    assert [entry for entry in path if Path(entry).is_relative_to(ROOT)] == []


def test_the_command_line_helps(installed: Installed, tmp_path: Path) -> None:
    told = installed.run("cift", "--help", folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "demo" in told.stdout


def test_the_readmes_python_runs(installed: Installed, tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [fence for fence in fences(page) if fence.language == "python"]
    assert blocks
    outputs = run_python("README.md", blocks, tmp_path, python=str(installed.bin / "python"), env=installed.env)
    for block, printed in zip(blocks, outputs, strict=True):
        shown = output_below(page, block)
        if shown is not None:
            assert normalised(shown.source) == normalised(printed)


def test_the_demo_runs(installed: Installed, tmp_path: Path) -> None:
    assert run_demo(tmp_path, cift=installed.bin / "cift", env=installed.env)
