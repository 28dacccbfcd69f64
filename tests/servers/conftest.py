from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IN_CI
from tests.servers.install import install_questdb
from tests.servers.questdb_server import QuestDBServer


@pytest.fixture(scope="session")
def questdb_jar() -> Path:
    """The server's jar; where it cannot be had, the tests are skipped (in CI they fail)."""
    for name in ("questdb", "psycopg", "pandas"):
        if importlib.util.find_spec(name) is None and not IN_CI:
            pytest.skip(f"{name} is not installed")
    try:
        return install_questdb()
    except RuntimeError as error:
        if IN_CI:
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def questdb(questdb_jar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuestDBServer]:
    """One server for all tests of the session (under xdist, of a worker: each has its own ports)."""
    server = QuestDBServer(questdb_jar, tmp_path_factory.mktemp("questdb"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_questdb(questdb_jar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuestDBServer]:
    """An empty server for the tests of one file, which may kill it."""
    server = QuestDBServer(questdb_jar, tmp_path_factory.mktemp("own_questdb"))
    server.start()
    yield server
    server.kill()
