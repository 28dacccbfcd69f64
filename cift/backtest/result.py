"""What a run gave: figures, tables, pictures, and a file to keep them in. No logic of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cift.errors import CorruptData
from cift.sim.fingerprint import digest_of
from cift.sim.record import RunRecord

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from cift.research.table import Figure, Statistics


class Result(Mapping[str, Any]):
    """One finished run. As the last expression of a cell it shows its figures and a small chart.

    It is also a mapping of the statistics: `result["Sharpe Ratio"]`.
    """

    def __init__(self, record: RunRecord) -> None:
        self.record = record

    # ---------------------------------------------------------------- figures

    @cached_property
    def stats(self) -> Statistics:
        """The figures of the run, under the labels of backtesting.py, and then our own."""
        from cift.research.statistics import statistics_of

        return statistics_of(self.record)

    def __getitem__(self, label: str) -> Figure:
        return self.stats[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stats)

    def __len__(self) -> int:
        return len(self.stats)

    # ---------------------------------------------------------------- frames

    @property
    def fills(self) -> pl.DataFrame:
        """One row per fill: when, at what price, what it cost, why it happened, and what stood ahead in the queue."""
        return self.record.fills

    @property
    def orders(self) -> pl.DataFrame:
        """One row per order, with its status and, where it ended unfilled, the reason."""
        return self.record.orders

    @property
    def trades(self) -> pl.DataFrame:
        """Entries and exits paired first in, first out; an open position is marked at the end."""
        return self.record.trades

    @property
    def positions(self) -> pl.DataFrame:
        """Position, average price and realised profit after each fill."""
        return self.record.positions

    @property
    def equity(self) -> pl.DataFrame:
        """Equity, cash and open profit: at each fill and once per `equity_every`."""
        return self.record.equity

    @property
    def log(self) -> pl.DataFrame:
        """What the strategy logged."""
        return self.record.log

    _trades = trades
    _equity_curve = equity

    # ---------------------------------------------------------------- identity

    @property
    def digest(self) -> str:
        """BLAKE3 over commands, order events, fills and accounts: equal digests mean equal runs, to the last bit."""
        return self.record.digest

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What the digest depends on: data, code, parameters, venue, seed and engine."""
        return self.record.fingerprint

    def save(self, path: str | Path) -> Path:
        """Writes the run to one file; `cift.load(path)` gives it back.

        Of a parameter that is no plain value (a frame, an array, an object) the file has a text only.
        """
        from cift.data.runs import save_run

        record = self.record
        meta = {name: getattr(record, name) for name in PLAIN_FIELDS}
        return save_run(path, meta, record.columns, record.journal)

    # ---------------------------------------------------------------- pictures

    def plot(self, *, symbol: str | None = None, width: int = 720) -> alt.VConcatChart:
        """Price with fills, position, equity and drawdown, stacked over one time axis in UTC."""
        from cift.report.charts import plot

        record = self.record
        return plot(
            equity=record.equity,
            fills=record.fills,
            positions=record.positions,
            prices=record.marks,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            initial_cash=record.cash,
            currency=record.currency,
            symbol=symbol,
            title=self._title,
            width=width,
        )

    def tearsheet(self, path: str | Path) -> Path:
        """Writes the whole report into one HTML file that needs nothing else, and returns its path."""
        from cift.data.runs import write_atomically
        from cift.report.tearsheet import tearsheet_html

        record = self.record
        html = tearsheet_html(
            strategy=record.strategy,
            parameters=record.parameters,
            symbols=record.symbols,
            venue=record.venue_text,
            digest=record.digest,
            fingerprint=digest_of(record.fingerprint),
            leading=self.stats.leading,
            rows=self.stats.rows,
            notes=[*record.notes, *self.stats.notes],
            equity=record.equity,
            trades=record.trades,
            fills=record.fills,
            positions=record.positions,
            prices=record.marks,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            initial_cash=record.cash,
            currency=record.currency,
        )
        return write_atomically(path, html.encode())

    @property
    def _title(self) -> str:
        parameters = ", ".join(f"{name}={value}" for name, value in self.record.parameters.items())
        return f"{self.record.strategy}({parameters})"

    def __repr__(self) -> str:
        lines = [f"{self._title} on {', '.join(self.record.symbols)}", repr(self.stats), f"digest {self.digest}"]
        return "\n".join([*lines, *self.record.notes])

    def _repr_html_(self) -> str:
        from cift.report.summary import html

        record = self.record
        return html(
            title=self._title,
            subtitle=f"{', '.join(record.symbols)}; {record.venue_text}",
            leading=self.stats.leading,
            equity=record.equity,
            initial_cash=record.cash,
            currency=record.currency,
            start_ns=record.start_ns,
            end_ns=record.end_ns,
            notes=[*record.notes, *self.stats.notes, f"digest {record.digest[:16]}"],
        )


PLAIN_FIELDS = (
    "strategy", "parameters", "symbols", "level", "start_ns", "end_ns", "calendar", "currency", "cash", "venue", "venue_text",
    "digest", "fingerprint", "inputs", "rows", "anomalies", "notes", "error", "origin",
)  # fmt: skip
"""The fields of a record that are saved as values; the others are tables and the journal."""


def load(path: str | Path) -> Result:
    """A run that `Result.save` wrote.

    Raises:
        CorruptData: where the file is not a whole saved run.
        NotSupported: where another release wrote it, in another format.
    """
    from cift.data.runs import load_run

    meta, tables, journal = load_run(path)
    if wrong := sorted(set(meta).symmetric_difference(PLAIN_FIELDS)):
        raise CorruptData(f"{path} is not a whole saved run: it has or lacks {', '.join(wrong)}; run it again")
    return Result(RunRecord(**meta, columns=tables, journal=journal))
