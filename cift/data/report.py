"""What an import met, kept and left aside."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars as pl

QUARANTINE_ROWS_KEPT = 10_000
"""Rows kept in full; beyond it they are counted only."""


class QuarantinedRow(NamedTuple):
    """A row that was left out: where it stood (counted from 1), why, and what it said."""

    source: str
    row: int
    reason: str
    text: str


@dataclass(frozen=True, eq=False)
class ImportReport:
    """The outcome of one import; the last expression of a cell shows it as a table.

    Args:
        source: the file or frame that was read.
        symbol: what it was stored as.
        rows_read: rows (lines, messages) of the source.
        rows_written: records in the catalog.
        counts: how often each thing was met: kinds of message, and every policy that acted.
        elapsed_s: seconds that the import took.
        notes: what was assumed, a sentence each.
        quarantine: rows that were left out, the first 10,000.
    """

    source: str
    symbol: str
    rows_read: int
    rows_written: int
    counts: Mapping[str, int]
    elapsed_s: float
    notes: tuple[str, ...] = ()
    quarantine: tuple[QuarantinedRow, ...] = ()

    @property
    def quarantined(self) -> pl.DataFrame:
        """The rows that were left out, as a frame: source, row, reason, text."""
        import polars as pl

        schema = {"source": pl.String, "row": pl.Int64, "reason": pl.String, "text": pl.String}
        return pl.DataFrame([row._asdict() for row in self.quarantine], schema=schema)

    def __repr__(self) -> str:
        width = max((len(name) for name in self.counts), default=0)
        lines = [
            f"{self.source} -> {self.symbol}: {self.rows_read:,} rows read, {self.rows_written:,} records written, "
            f"{self.elapsed_s:.2f} s"
        ]
        lines += [f"  {name:<{width}}  {count:>12,}" for name, count in self.counts.items()]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td style='text-align:right'>{count:,}</td></tr>"
            for name, count in self.counts.items()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><b>{html.escape(self.source)}</b> &rarr; {html.escape(self.symbol)}: {self.rows_read:,} rows read, "
            f"{self.rows_written:,} records written, {self.elapsed_s:.2f} s</p>"
            f"<table><tbody>{rows}</tbody></table>" + (f"<ul>{notes}</ul>" if notes else "")
        )


@dataclass
class Tally:
    """Counts and quarantined rows while an import runs."""

    source: str
    counts: Counter[str] = field(default_factory=Counter)
    quarantine: list[QuarantinedRow] = field(default_factory=list)

    def keep_aside(self, row: int, reason: str, text: str) -> None:
        """Counts a row that is left out, and keeps it."""
        self.counts[reason] += 1
        self.counts["quarantined"] += 1
        if len(self.quarantine) < QUARANTINE_ROWS_KEPT:
            self.quarantine.append(QuarantinedRow(self.source, row, reason, text))

    def report(
        self, symbol: str, rows_read: int, rows_written: int, elapsed_s: float, notes: tuple[str, ...] = ()
    ) -> ImportReport:
        """The finished report."""
        counts = {name: count for name, count in self.counts.items() if count}
        return ImportReport(self.source, symbol, rows_read, rows_written, counts, elapsed_s, notes, tuple(self.quarantine))
