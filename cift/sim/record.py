"""What a run yields, as plain columns, and as frames for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cift.data.runs import TEXTS

if TYPE_CHECKING:
    from mmap import mmap

    import polars as pl

TIMES = frozenset({"ts", "entry_ts", "exit_ts", "ts_submitted", "ts_accepted", "ts_closed"})
NOT_A_TIME = -(2**63)
NULLABLE = frozenset({"price", "ahead", "average_price", "mid", "exit_price", "exit_order"})
"""Columns in which NaN (or -1 for an order) says that there is none."""


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One finished run. Columns hold NumPy arrays and lists, in natural units; those of a long run are frames, mapped from disk.

    Attributes:
        strategy: name of the class. parameters: all of them, with their values.
        symbols, level, start_ns, end_ns, calendar, currency, cash: what was run on; the period is that of the data.
        venue: its settings, plain. venue_text: the same in words.
        columns: `fills`, `orders`, `trades`, `equity`, `marks`, `log`.
        digest: BLAKE3 over all outputs, hex. fingerprint: what the digest depends on, by part.
        journal: the bytes of the journal, of a long run mapped from disk. inputs: how many it numbers.
        rows: rows delivered, by symbol and schema. anomalies: records that did not fit the book, by kind.
        notes: sentences that the reader should see. error: what ended the run early, None otherwise.
        origin: where strategy and data were found, and with which versions, for whoever runs it again.
    """

    strategy: str
    parameters: Mapping[str, Any]
    symbols: tuple[str, ...]
    level: str
    start_ns: int
    end_ns: int
    calendar: str
    currency: str
    cash: float
    venue: Mapping[str, Any]
    venue_text: str
    columns: Mapping[str, Mapping[str, Any] | pl.DataFrame]
    digest: str
    fingerprint: Mapping[str, Any]
    journal: bytes | mmap
    inputs: int
    rows: Mapping[str, int]
    anomalies: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())
    error: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fills(self) -> pl.DataFrame:
        """One row per fill, oldest first."""
        return _frame(self.columns["fills"]).drop("average_price", "realised_pnl", "fees")

    @cached_property
    def positions(self) -> pl.DataFrame:
        """Position, average price, realised profit and fees after each fill."""
        names = ["ts", "symbol", "position", "average_price", "realised_pnl", "fees"]
        return _frame(self.columns["fills"]).select(names)

    @cached_property
    def orders(self) -> pl.DataFrame:
        """One row per order, in the order they were sent."""
        frame = _frame(self.columns["orders"])
        # Those of a long run were put aside in the order of their ends.
        return frame if frame["order_id"].is_sorted() else frame.sort("order_id")

    @cached_property
    def equity(self) -> pl.DataFrame:
        """Equity, cash and open profit: at each fill and once per period."""
        return _frame(self.columns["equity"])

    @cached_property
    def marks(self) -> pl.DataFrame:
        """What each symbol was marked at, once per period."""
        return _frame(self.columns["marks"])

    @cached_property
    def log(self) -> pl.DataFrame:
        """What the strategy logged."""
        return _frame(self.columns["log"])

    @cached_property
    def trades(self) -> pl.DataFrame:
        """Entries and exits paired first in, first out; an open position is marked at the end, not closed."""
        import polars as pl

        frame = _frame(self.columns["trades"])
        last = self.marks.group_by("symbol").agg(pl.col("price").last().alias("last_mark"))
        instruments = self.fingerprint["instruments"]
        value_per_point = {symbol: float(instrument["multiplier"]) for symbol, instrument in instruments.items()}
        value = pl.col("symbol").replace_strict(value_per_point, default=1.0, return_dtype=pl.Float64)
        frame = frame.join(last, on="symbol", how="left", maintain_order="left").with_columns(
            exit_price=pl.coalesce("exit_price", "last_mark")
        )
        open_profit = (pl.col("exit_price") - pl.col("entry_price")) * pl.col("size") * value
        entry_value = pl.col("entry_price").abs() * pl.col("size").abs() * value
        end = pl.lit(self.end_ns).cast(pl.Datetime("ns", "UTC"))
        return frame.with_columns(
            pnl=pl.coalesce("profit", open_profit) - pl.col("fees"),
            duration=pl.coalesce("exit_ts", end) - pl.col("entry_ts"),
        ).select(
            "symbol", "size", "entry_ts", "exit_ts", "entry_price", "exit_price", "pnl", "fees",
            pl.when(entry_value > 0).then(pl.col("pnl") / entry_value * 100.0).alias("return_pct"),
            "duration", "entry_order", "exit_order", "is_open",
        )  # fmt: skip


def _frame(columns: Mapping[str, Any] | pl.DataFrame) -> pl.DataFrame:
    """Columns as a frame: times get their type, and what says "none" becomes null."""
    import polars as pl

    if isinstance(columns, pl.DataFrame):
        frame = columns
    else:
        typed = {name: pl.Series(name, values, pl.String if name in TEXTS else None) for name, values in columns.items()}
        frame = pl.DataFrame(typed)
    fixes = []
    for name in frame.columns:
        column = pl.col(name)
        if name in TIMES:
            column = pl.when(column != NOT_A_TIME).then(column).cast(pl.Datetime("ns", "UTC")).alias(name)
        elif name == "exit_order":
            column = pl.when(column >= 0).then(column).alias(name)
        elif name in NULLABLE or name == "profit":
            column = column.fill_nan(None)
        else:
            continue
        fixes.append(column)
    return frame.with_columns(fixes)
