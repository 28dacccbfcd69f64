"""`import cift` is silent, light and opens nothing: seen from a fresh process, with an audit hook set before the import."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVY = (
    "altair", "numba", "llvmlite", "polars", "pyarrow", "duckdb", "pandas", "vl_convert", "narwhals", "typer", "IPython",
    "clickhouse_connect", "chdb", "questdb", "redis", "nats", "asyncpg", "fastapi", "dask", "distributed", "anywidget",
    "exchange_calendars", "databento_dbn",
)  # fmt: skip
"""What may be loaded only where it is used."""

# Notes events that reach out of the process. The report goes to a file, so that the streams stay the import's own.
WATCHER = """
import json, os, sys
report, statement = sys.argv[1:]
events = []
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        events.append(("open", os.path.realpath(os.fsdecode(args[0]))))
    elif event.split(".")[0] in ("socket", "subprocess", "urllib", "sqlite3", "webbrowser") or event in (
        "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.mkdir", "os.remove", "os.rename"):
        events.append((event, repr(args)))
watching = True
sys.addaudithook(lambda event, args: watching and watch(event, args))
exec(statement)
watching = False
with open(report, "w", encoding="utf-8") as file:
    json.dump({"events": events, "modules": sorted(sys.modules)}, file)
"""


@dataclass(frozen=True)
class Watched:
    """What a statement did in a process of its own."""

    output: str
    events: list[tuple[str, str]]
    modules: frozenset[str]

    @property
    def heavy(self) -> list[str]:
        return [name for name in HEAVY if name in self.modules]

    @property
    def strange(self) -> list[tuple[str, str]]:
        """Events other than reading from the package, the standard library or the installed packages."""
        allowed = {Path(folder).resolve() for folder in (ROOT / "cift", sys.prefix, sys.base_prefix)}
        return [
            (event, what)
            for event, what in self.events
            if event != "open" or not any(Path(what).is_relative_to(folder) for folder in allowed)
        ]


def watched(statement: str, folder: Path) -> Watched:
    """Run `statement` in a fresh interpreter, working in the empty `folder`, and tell what it did."""
    report = folder / "report.json"
    process = subprocess.run(
        [sys.executable, "-B", "-c", WATCHER, str(report), statement],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(report.read_text(encoding="utf-8"))
    events = [(event, what) for event, what in told["events"]]
    return Watched(process.stdout + process.stderr, events, frozenset(told["modules"]))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return watched("import cift", tmp_path_factory.mktemp("import"))


def test_the_import_prints_nothing(imported: Watched) -> None:
    assert imported.output == ""


def test_the_import_loads_nothing_heavy(imported: Watched) -> None:
    assert "cift" in imported.modules
    assert imported.heavy == []


def test_the_import_opens_nothing_of_the_users(imported: Watched) -> None:
    assert imported.strange == []


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("import socket; socket.socket().close()", "socket.__new__"),
        ("open('mine.txt', 'w').close()", "open"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
    ],
)
def test_the_watcher_sees(statement: str, seen: str, tmp_path: Path) -> None:
    assert seen in {event for event, _ in watched(statement, tmp_path).strange}


def test_the_watcher_sees_a_heavy_import_and_a_print(tmp_path: Path) -> None:
    loud = watched("import duckdb; print('hello')", tmp_path)
    assert "duckdb" in loud.heavy
    assert loud.output == "hello\n"
