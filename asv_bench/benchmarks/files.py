"""Files as vendors give them, imported into a catalog: decoded, screened, sorted out by day, hashed, compressed, synced to disk.

Time is of the processor on all cores, so it says what one core imports. Each file holds about a million rows.
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from pathlib import Path
from typing import Any

from .measuring import seconds, unit

ROWS = 1_000_000
EVENTS = 430_000
"""Of the synthetic market: a million records of orders."""
PICTURES = 200_000
"""Records of mbp-10: each shows ten levels of both sides."""
MONDAY_NS = 1_767_571_200_000_000_000
GAP_NS = 20_000_000
SYMBOL, DATE = "BENCH.SIM", "2026-01-05"
STEPS = {"tick_size": "0.01", "lot_size": 1}
UNITS = 10**9
FILES = {
    "dbn mbo": "mbo.dbn",
    "dbn mbp-1": "quotes.dbn",
    "dbn trades": "trades.dbn",
    "dbn mbp-10": "mbp10.dbn",
    "csv quotes": "quotes.csv",
    "csv trades": "trades.csv",
    "lobster": f"BENCH_{DATE}_messages.csv",
    "binance trades": "binance.csv",
    "tardis changes": "tardis.csv",
}


def _prints(rows: int) -> Any:
    """Seeded prints on cents, as a polars frame; times in nanoseconds."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "ts_event": MONDAY_NS + np.arange(1, rows + 1) * GAP_NS,
            "price": (100_000 + np.cumsum(draw.integers(-1, 2, rows))) / 100,
            "size": draw.integers(1, 500, rows),
            "aggressor": draw.choice(["buy", "sell"], rows),
            "trade_id": np.arange(1, rows + 1),
        }
    )


def _quotes(rows: int) -> Any:
    """Seeded quotes on cents, as a polars frame."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(1)
    bid = 100_000 + np.cumsum(draw.integers(-1, 2, rows))
    return pl.DataFrame(
        {
            "ts_event": MONDAY_NS + np.arange(1, rows + 1) * GAP_NS,
            "bid_price": bid / 100,
            "bid_size": draw.integers(1, 500, rows) * 1.0,
            "ask_price": (bid + 1) / 100,
            "ask_size": draw.integers(1, 500, rows) * 1.0,
        }
    )


def _header(schema: str) -> bytes:
    """What a DBN file of one instrument begins with."""
    from types import SimpleNamespace

    import databento_dbn as dbn

    day = dt.date.fromisoformat(DATE)
    interval = SimpleNamespace(start_date=day, end_date=day + dt.timedelta(days=1), symbol="1")
    made: Any = dbn.Metadata(
        dataset="XNAS.ITCH",
        start=MONDAY_NS,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.from_str(schema),
        symbols=["BENCH"],
        mappings=[SimpleNamespace(raw_symbol="BENCH", intervals=[interval])],
        version=3,
    )
    return bytes(made.encode())


def _records(kind: Any, rows: int, rtype: int) -> Any:
    """Records of DBN with what all of them share."""
    import numpy as np

    made = np.zeros(rows, np.dtype(kind._dtypes))
    made["length"], made["rtype"], made["publisher_id"], made["instrument_id"] = made.dtype.itemsize // 4, rtype, 1, 1
    made["ts_event"] = MONDAY_NS + np.arange(1, rows + 1) * GAP_NS
    made["ts_recv"] = made["ts_event"] + 100
    made["flags"], made["sequence"] = 128, np.arange(rows)
    return made


def write_dbn_trades(path: str) -> None:
    """A million prints."""
    import databento_dbn as dbn
    import numpy as np

    prints, made = _prints(ROWS), _records(dbn.TradeMsg, ROWS, 0)
    made["price"] = np.round(prints["price"].to_numpy() * 100).astype(np.int64) * (UNITS // 100)
    made["size"], made["action"] = prints["size"], b"T"
    made["side"] = np.where((prints["aggressor"] == "buy").to_numpy(), b"B", b"A")
    Path(path).write_bytes(_header("trades") + made.tobytes())


def write_dbn_levels(path: str) -> None:
    """Pictures of ten levels a side; the best price moves in every third, and one size changes in each."""
    import databento_dbn as dbn
    import numpy as np

    draw, made = np.random.default_rng(1), _records(dbn.MBP10Msg, PICTURES, 10)
    best = 100_000 + np.cumsum(draw.integers(-1, 2, PICTURES) * (np.arange(PICTURES) % 3 == 0))
    for level in range(10):
        for side, sign, gap in (("bid", -1, 0), ("ask", 1, 1)):
            prices = best + gap + sign * level
            made[f"{side}_px_{level:02d}"] = prices * (UNITS // 100)
            # A level keeps its size for some pictures.
            made[f"{side}_sz_{level:02d}"] = 1 + (prices * 7_919 + (np.arange(PICTURES) + level) // 20) % 400
    made["action"], made["side"] = b"M", b"N"
    made["price"], made["size"] = made["bid_px_00"], made["bid_sz_00"]
    Path(path).write_bytes(_header("mbp-10") + made.tobytes())


def write_lobster(path: str, orders: Any) -> None:
    """The orders of the synthetic market as messages of LOBSTER."""
    import numpy as np
    import polars as pl

    kinds = {"add": 1, "cancel": 2, "fill": 4}
    # LOBSTER has no message for an order that is moved: those are left out.
    moved = orders.filter(pl.col("action") == "modify")["order_id"].unique()
    # An execution is one message, whose cancel is understood; with both, most orders would be taken from twice.
    filled = (pl.col("action") == "fill").any().over("ts_event", "order_id")
    said = pl.col("action").is_in(list(kinds)) & ~(filled & (pl.col("action") == "cancel"))
    rows = orders.filter(said & ~pl.col("order_id").is_in(moved.implode()))
    midnight_ns = MONDAY_NS + 5 * 3_600 * UNITS
    since = rows["ts_event"].to_physical().to_numpy() - midnight_ns
    stamps = [f"{whole}.{rest:09d}" for whole, rest in zip(*np.divmod(since, UNITS), strict=True)]
    rows.select(
        time=pl.Series(stamps),
        kind=pl.col("action").replace_strict(kinds, return_dtype=pl.Int64),
        order=pl.col("order_id"),
        size=pl.col("size").cast(pl.Int64),
        price=(pl.col("price") * 10_000).round().cast(pl.Int64),
        side=pl.when(pl.col("side") == "bid").then(1).otherwise(-1),
    ).write_csv(path, include_header=False)


def write_binance(path: str) -> None:
    """A million prints in the columns of data.binance.vision; times in microseconds."""
    import polars as pl

    _prints(ROWS).select(
        id=pl.col("trade_id"),
        price=pl.col("price"),
        qty=pl.col("size"),
        quote_qty=pl.col("price") * pl.col("size"),
        time=pl.col("ts_event") // 1_000,
        is_buyer_maker=pl.col("aggressor") == "sell",
    ).write_csv(path)


def write_tardis(path: str) -> None:
    """A million changes of a book; the first are its picture."""
    import numpy as np
    import polars as pl

    draw, rows = np.random.default_rng(1), ROWS
    bid = np.arange(rows) % 2 == 0
    level = np.where(np.arange(rows) < 200, np.arange(rows) // 2, draw.integers(0, 100, rows))
    price = np.where(bid, 100_000 - level, 100_001 + level)
    stamp = MONDAY_NS // 1_000 + np.maximum(np.arange(rows) - 199, 0) * (GAP_NS // 1_000)
    pl.DataFrame(
        {
            "exchange": pl.repeat("sim", rows, eager=True),
            "symbol": pl.repeat("BENCH", rows, eager=True),
            "timestamp": stamp,
            "local_timestamp": stamp + 50,
            "is_snapshot": np.arange(rows) < 200,
            "side": np.where(bid, "bid", "ask"),
            "price": price / 100,
            "amount": np.where(np.arange(rows) < 200, 1, draw.integers(0, 500, rows)),
        }
    ).write_csv(path)


class Files:
    """One file of each kind."""

    timeout = 600
    params = tuple(FILES)
    param_names = ("kind",)

    def setup_cache(self) -> None:
        """Writes them."""
        import cift
        from cift.data.demo import generate

        market = cift.Catalog("market")
        generate(market, SYMBOL, DATE, EVENTS, seed=4)
        market.export(FILES["dbn mbo"], schema="mbo")
        write_lobster(FILES["lobster"], market.sql("select * from mbo order by sequence"))
        quoted = cift.Catalog("quoted")
        quoted.write("quotes", SYMBOL, _quotes(ROWS), cift.Instrument(SYMBOL, **STEPS))
        quoted.export(FILES["dbn mbp-1"], schema="quotes")
        quoted.export(FILES["csv quotes"], schema="quotes")
        _prints(ROWS).write_csv(FILES["csv trades"])
        write_dbn_trades(FILES["dbn trades"])
        write_dbn_levels(FILES["dbn mbp-10"])
        write_binance(FILES["binance trades"])
        write_tardis(FILES["tardis changes"])

    def setup(self, kind: str) -> None:
        """Imported once, so that everything is compiled."""
        self.report = self.read(kind)

    def read(self, kind: str) -> Any:
        """The file into a new catalog."""
        import cift
        from cift.data import importers

        shutil.rmtree("imported", ignore_errors=True)
        catalog, file = cift.Catalog("imported"), FILES[kind]
        if kind.startswith("dbn"):
            return importers.import_databento(catalog, file, **STEPS)
        if kind.startswith("csv"):
            return importers.import_csv(catalog, file, schema=kind.split()[1], symbol=SYMBOL, **STEPS)
        if kind == "lobster":
            return importers.import_lobster(catalog, file, symbol=SYMBOL, **STEPS)
        if kind == "binance trades":
            return importers.import_binance(catalog, file, symbol=SYMBOL, **STEPS)
        return importers.import_tardis(catalog, file, **STEPS)

    @unit("ns/row")
    def track_read(self, kind: str) -> float:
        """Processor time by records of the file."""
        (taken,) = seconds(lambda: self.read(kind), repeat=3, clock=time.process_time)
        return taken / self.report.rows_read * 1e9

    @unit("ns/row")
    def track_written(self, kind: str) -> float:
        """Processor time by rows that the catalog holds then: a picture of ten levels is up to twenty of them."""
        (taken,) = seconds(lambda: self.read(kind), repeat=3, clock=time.process_time)
        return taken / self.report.rows_written * 1e9
