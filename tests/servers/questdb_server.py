"""A QuestDB server of the tests' own: on free ports of the loopback interface, stopped by its process id."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from cift.data.questdb import QuestDB

SETTINGS = """\
http.bind.to=127.0.0.1:{http}
pg.net.bind.to=127.0.0.1:{pg}
http.min.enabled=false
line.tcp.enabled=false
line.udp.enabled=false
telemetry.enabled=false
http.static.public.directory=no_console
"""
ONE_WORKER = """\
shared.worker.count=1
shared.network.worker.count=1
shared.query.worker.count=1
shared.write.worker.count=1
"""
# The quick compiler and the plain collector: a server of some seconds has no use for the others.
QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms128m", "-Xmx1g"]
START_S = 60.0


class QuestDBServer:
    """One server over one folder; it may be killed and started again on the same ports.

    Args:
        small: with one thread for each kind of work, and soon warm; else as it comes, with a thread for each core.
    """

    def __init__(self, jar: Path, folder: Path, *, small: bool = True) -> None:
        self.jar, self.folder, self._small = jar, folder, small
        self.http_port = self.pg_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        settings = SETTINGS.format(http=self.http_port, pg=self.pg_port) + ONE_WORKER * self._small
        (conf / "server.conf").write_text(settings)
        log = self.folder / "log.txt"
        command = [
            "java",
            *(QUICK if self._small else ["-Xmx2g"]),
            "-p",
            str(self.jar),
            "-m",
            "io.questdb/io.questdb.ServerMain",
            "-d",
            str(self.folder),
        ]
        with log.open("wb") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=self.folder)
        deadline = time.monotonic() + START_S
        while not self._is_ready(log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"QuestDB did not start: {log.read_text(errors='replace')[-2_000:]}")
            time.sleep(0.05)

    def _is_ready(self, log: Path) -> bool:
        text = log.read_text(errors="replace")
        ports = [re.search(rf"{name}-server listening on 127\.0\.0\.1:(\d+)", text) for name in ("http", "pg")]
        if not all(ports):
            return False
        self.http_port, self.pg_port = (int(found[1]) for found in ports if found)
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/exec?query=select%201", timeout=5) as response,
        ):
            return bool(response.status == 200)
        return False

    def client(self, timeout: float = 30.0) -> QuestDB:
        """A description of it."""
        return QuestDB(f"questdb://127.0.0.1:{self.http_port}?pg={self.pg_port}", timeout=timeout)

    @property
    def url(self) -> str:
        """Its address, as a user writes it."""
        return str(self.client().server.address)

    def kill(self) -> None:
        """Kills it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stops it."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)
            self._process.wait(timeout=30)
        self._process = None

    def freeze(self) -> None:
        """Leaves it there, and silent."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)
