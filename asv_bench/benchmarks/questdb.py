"""QuestDB: a million rows loaded and read, beside what the server and its client take for the same rows without us.

Each benchmark starts a server of its own as the tests do, with the settings that it comes with, and stops it. Where the server cannot
be installed the benchmark is skipped and says why.
"""

from __future__ import annotations

import atexit
import io
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .measuring import seconds, unit

ROWS = 1_000_000
DAY_NS = 86_400_000_000_000
MONDAY_NS = 1_767_571_200_000_000_000
WAYS = ("ilp", "parquet")
WARM = 2
"""Loads that are not counted: the server's compiler needs some seconds of work."""
REPEAT = 3


def day_frame(schema: str, day: int) -> Any:
    """A million records of one day as a polars frame, in the columns that a user has."""
    import polars as pl

    random = np.random.default_rng(day)
    ts = MONDAY_NS + day * DAY_NS + np.cumsum(random.integers(0, DAY_NS // ROWS, ROWS))
    ticks = 10_000 + np.cumsum(random.integers(-1, 2, ROWS))
    columns = {"ts_event": pl.Series(ts).cast(pl.Datetime("ns", "UTC"))}
    if schema == "trades":
        return pl.DataFrame(
            {
                **columns,
                "price": ticks / 100,
                "size": random.integers(1, 500, ROWS) * 1.0,
                "aggressor": random.choice(["buy", "sell"], ROWS),
                "trade_id": np.arange(1, ROWS + 1),
            }
        )
    return pl.DataFrame(
        {
            **columns,
            "bid_price": ticks / 100,
            "bid_size": random.integers(1, 500, ROWS) * 1.0,
            "ask_price": (ticks + 1) / 100,
            "ask_size": random.integers(1, 500, ROWS) * 1.0,
        }
    )


def day_view(schema: str, day: int) -> Any:
    """The same as a data view: checked against the grid and numbered."""
    import cift

    given = {"symbol": "BENCH.SIM", "tick_size": "0.01", "lot_size": 1}
    frame = day_frame(schema, day)
    return cift.trades(frame, **given) if schema == "trades" else cift.quotes(frame, **given)


class _Served:
    """A server for one benchmark."""

    timeout = 300

    def serve(self) -> None:
        """Starts it, or skips the benchmark."""
        # Behind everything else: the package that is measured is the installed one.
        sys.path.append(str(Path(__file__).parents[2]))
        from tests.servers.install import install_questdb
        from tests.servers.questdb_server import QuestDBServer

        self.folder = TemporaryDirectory(ignore_cleanup_errors=True)
        try:
            import pandas  # noqa: F401
            import psycopg  # noqa: F401
            import questdb  # noqa: F401

            jar = install_questdb()
        except (ImportError, RuntimeError) as error:
            print(f"skipped: no QuestDB to measure ({error})", file=sys.stderr)
            raise NotImplementedError(str(error)) from None
        self.server = QuestDBServer(jar, Path(self.folder.name), small=False)
        self.server.start()
        atexit.register(self.server.stop)  # nobody calls teardown where the rest of a setup fails
        self.client = self.server.client(timeout=60)
        self.day = 0

    def teardown(self, *_: str) -> None:
        """Stops it."""
        if hasattr(self, "server"):
            self.server.stop()
        self.folder.cleanup()

    def load(self, schema: str, by: str) -> float:
        """Loads the next day; seconds per row, from the frame to the confirmation that every row can be read."""
        view = day_view(schema, self.day)
        self.day += 1
        start = time.perf_counter()
        report = self.client.load(view, by=by)
        taken = time.perf_counter() - start
        assert report.rows_sent == ROWS
        return taken / ROWS

    def wait(self, table: str, rows: int) -> None:
        """Until the server shows so many rows."""
        with self.client.server.open() as transport:
            while transport.ask(f"select count() from {table}") != [(rows,)]:
                time.sleep(0.002)


class Load(_Served):
    """A day of a million prints into a table that drops duplicates, day after day."""

    params = WAYS
    param_names = ("by",)

    def setup(self, by: str) -> None:
        """A server that is warm."""
        self.serve()
        for _ in range(WARM):
            self.load("trades", by)

    @unit("ns/row")
    def track_load(self, by: str) -> float:
        """`QuestDB.load` of a view of a polars frame: hashed, sent, confirmed."""
        return float(np.median([self.load("trades", by) for _ in range(REPEAT)])) * 1e9

    @unit("%")
    def track_load_against_bare(self, by: str) -> float:
        """The same in percent of the floor, by turns: the client alone in one thread, or one INSERT of a file that is there."""
        from cift.data.frames import raw_columns
        from cift.data.questdb.tables import to_server

        ours, bare = [], []
        for _ in range(REPEAT):
            ours.append(self.load("trades", by))
            (feed,) = day_view("trades", self.day).feeds
            self.day += 1
            rows = to_server("trades", raw_columns(feed.schema, feed.table), "BENCH.SIM")
            send = self.by_ilp if by == "ilp" else self.by_parquet
            bare.append(send("trades", rows, self.day * ROWS) / ROWS)
        return float(100 * np.median(ours) / np.median(bare))

    def by_ilp(self, schema: str, rows: Any, held: int) -> float:
        """Seconds of the client."""
        from questdb import Sender

        words = ["symbol"] + ["aggressor"] * (schema == "trades")
        start = time.perf_counter()
        conf = (
            f"http::addr=127.0.0.1:{self.server.http_port};auto_flush_rows=131072;auto_flush_interval=off;auto_flush_bytes=off;"
        )
        with Sender.from_conf(conf) as sender:
            sender.dataframe(rows.to_pandas(), table_name=schema, symbols=words, at="ts_event")
        self.wait(schema, held)
        return time.perf_counter() - start

    def by_parquet(self, schema: str, rows: Any, held: int) -> float:
        """Seconds of the INSERT."""
        import pyarrow.parquet as pq

        pq.write_table(rows, Path(self.folder.name) / "import" / "day.parquet", compression="none")
        columns = ", ".join(f'"{name}"' for name in rows.column_names)
        start = time.perf_counter()
        with self.client.server.open() as transport:
            transport.ask(f"insert into {schema} ({columns}) select {columns} from read_parquet('day.parquet')")
        self.wait(schema, held)
        return time.perf_counter() - start


class LoadCatalog(_Served):
    """All three schemas of a day of a synthetic market, out of a catalog."""

    params = WAYS
    param_names = ("by",)

    def setup_cache(self) -> None:
        """Makes the market, once for each time that it is loaded."""
        import cift
        from cift.data.demo import generate

        for turn in range(WARM + REPEAT):
            generate(cift.Catalog(f"questdb_catalog_{turn}"), f"TURN{turn}.SIM", "2026-01-05", ROWS, seed=4)

    def setup(self, by: str) -> None:
        """A server that is warm."""
        self.serve()
        for turn in range(WARM):
            self.load_catalog(turn, by)

    def load_catalog(self, turn: int, by: str) -> float:
        """Seconds per row."""
        import cift

        start = time.perf_counter()
        report = self.client.load(cift.Catalog(f"questdb_catalog_{turn}"), by=by)
        assert report.rows_sent > ROWS
        return (time.perf_counter() - start) / report.rows

    @unit("ns/row")
    def track_load(self, by: str) -> float:
        """Decoded, checked, hashed, sent, confirmed."""
        return float(np.median([self.load_catalog(turn, by) for turn in range(WARM, WARM + REPEAT)])) * 1e9


class Read(_Served):
    """A million prints of one day that was loaded."""

    def setup(self) -> None:
        """A server that holds them, and has answered before."""
        self.serve()
        self.load("trades", "parquet")
        for _ in range(WARM):
            self.frame()
            self.feed()
            self.bare()

    def frame(self) -> None:
        """All columns as a polars frame."""
        assert len(self.client.frame("trades", "BENCH.SIM", "2026-01-05")) == ROWS

    def feed(self) -> None:
        """What a run reads, in chunks, checked for gaps."""
        (feed,) = self.client.ticks("BENCH.SIM", "2026-01-05").feeds
        assert sum(chunk.rows for chunk in feed.chunks(65_536)) == ROWS

    def bare(self) -> None:
        """One request, and polars."""
        import polars as pl

        query = urllib.parse.urlencode({"query": "select * from trades where symbol = 'BENCH.SIM'", "fmt": "parquet"})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.http_port}/exp?{query}") as response:
            assert len(pl.read_parquet(io.BytesIO(response.read()))) == ROWS

    @unit("ms")
    def track_frame(self) -> float:
        """`QuestDB.frame`."""
        (taken,) = seconds(lambda: self.frame(), repeat=9)
        return taken * 1e3

    @unit("ms")
    def track_feed(self) -> float:
        """The chunks of `QuestDB.ticks`."""
        (taken,) = seconds(lambda: self.feed(), repeat=9)
        return taken * 1e3

    @unit("%")
    def track_frame_against_bare(self) -> float:
        """`QuestDB.frame` in percent of one request for the same rows, by turns."""
        ours, bare = seconds(lambda: self.frame(), lambda: self.bare(), repeat=9)
        return 100 * ours / bare
