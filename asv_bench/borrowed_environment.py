"""An asv environment that holds the measured commit alone and borrows every dependency from the environment asv runs in.

So a comparison needs no network and no second copy of the dependencies, and both commits see the same libraries. The
measured package comes first on the path; the development install of the borrowed environment is not seen, because its
`.pth` file is not read there.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from asv import environment

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class BorrowedEnvironment(environment.Environment):
    """A bare virtual environment of the running interpreter with a link to its libraries."""

    tool_name = "borrowed"  # type: ignore[assignment]  # asv is not typed

    def __init__(self, conf: Any, python: str, requirements: Any, tagged_env_vars: Any) -> None:
        if not self.matches(python):
            raise environment.EnvironmentUnavailable(
                f"Python {python} was asked for, but libraries can only be borrowed from the running {VERSION}"
            )
        self._python = python
        self._requirements = requirements
        super().__init__(conf, python, requirements, tagged_env_vars)  # type: ignore[no-untyped-call]

    @classmethod
    def matches(cls, python: str) -> bool:
        """Whether the version asked for is the one that runs."""
        return python == VERSION

    def _setup(self) -> None:
        folder = Path(self._path)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        # asv runs no program that lies outside of its environment.
        for tool in ("maturin", "uv"):
            (folder / "bin" / tool).symlink_to(Path(sys.executable).with_name(tool))
        site_packages = sysconfig.get_path("purelib", "venv", vars={"base": str(folder), "platbase": str(folder)})
        Path(site_packages, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Start the environment's interpreter with the arguments given, and return what asv's helper returns."""
        return self.run_executable("python", args, **kwargs)  # type: ignore[no-untyped-call]
