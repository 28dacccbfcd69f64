"""Installs the servers that the tests of `tests/servers` start: `python tests/servers/install.py`.

QuestDB's jar comes from Maven Central, by Maven's own client, and lies in the user's cache folder (`CIFT_CACHE` overrides it).
Java 17 and Maven come from the system; where they are missing on Debian or Ubuntu, apt brings them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

QUESTDB_VERSION = "9.3.4"
SYSTEM_PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}


def install_questdb() -> Path:
    """The jar of QuestDB, fetched if it is not there yet.

    Raises:
        RuntimeError: where Java or Maven are missing, or Maven does not get it; the message says what to do.
    """
    from cift.config import cache_folder
    from cift.data.storage import locked

    folder = cache_folder() / "servers"
    folder.mkdir(parents=True, exist_ok=True)
    jar = folder / f"questdb-{QUESTDB_VERSION}.jar"
    # One process fetches it, the others wait and find it there.
    with locked(folder / "install.lock"):
        need("java")
        if not jar.is_file():
            need("mvn")
            maven("get", f"-Dartifact=org.questdb:questdb:{QUESTDB_VERSION}", "-Dtransitive=false")
            copy = f"-Dartifact=org.questdb:questdb:{QUESTDB_VERSION}:jar"
            half = folder / "half"
            maven("copy", copy, f"-DoutputDirectory={half}", "-Dmdep.overWriteReleases=true")
            (half / jar.name).replace(jar)
            shutil.rmtree(half)
    return jar


def maven(goal: str, *arguments: str) -> None:
    """Runs a goal of Maven's dependency plugin."""
    done = subprocess.run(["mvn", "-q", "-B", f"dependency:{goal}", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Maven does not get QuestDB {QUESTDB_VERSION}: {(done.stdout + done.stderr).strip()[-500:]}")


def need(command: str) -> None:
    """Installs a command of the system where it is missing and apt is there."""
    if shutil.which(command):
        return
    package = SYSTEM_PACKAGES[command]
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise RuntimeError(f"{command} is missing; install it (Debian and Ubuntu: apt-get install {package})")
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    print(install_questdb())
