"""A diagnosis: what was found, as a frame, as text, and as plain values."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from textwrap import indent, wrap
from typing import TYPE_CHECKING, Any

from cift.data.doctor.casebook import Finding
from cift.data.doctor.examination import Part
from cift.data.doctor.kinds import SEVERITIES
from cift.data.times import DAY_NS, iso

if TYPE_CHECKING:
    import polars as pl

TEXT_WIDTH = 118


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the doctor found in some data; the last expression of a cell shows it as a table.

    Args:
        source: what was looked at.
        parts: one for each symbol and schema.
        elapsed_s: seconds that it took.
    """

    source: str
    parts: tuple[Part, ...]
    elapsed_s: float

    @property
    def findings(self) -> list[Finding]:
        """All findings, the gravest first."""
        return sorted((finding for part in self.parts for finding in part.findings), key=lambda finding: finding.rank)

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return sum(part.rows for part in self.parts)

    @property
    def counts(self) -> Counter[str]:
        """How often each kind was met, over all symbols and schemas."""
        total: Counter[str] = Counter()
        for finding in self.findings:
            total[finding.kind] += finding.count
        return total

    @property
    def worst(self) -> str | None:
        """ "error", "warning", "info", or None where nothing was found."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per finding: symbol, schema, kind, severity, count, share, first, last, rows (numbers of the examples), example
        (the first in full), meaning, advice.
        """
        import polars as pl

        time = pl.Datetime("ns", "UTC")
        found = self.findings
        return pl.DataFrame(
            {
                "symbol": pl.Series([each.symbol for each in found], dtype=pl.String),
                "schema": pl.Series([each.schema for each in found], dtype=pl.String),
                "kind": pl.Series([each.kind for each in found], dtype=pl.String),
                "severity": pl.Series([each.severity for each in found], dtype=pl.String),
                "count": pl.Series([each.count for each in found], dtype=pl.Int64),
                "share": pl.Series([each.share for each in found], dtype=pl.Float64),
                "first": pl.Series([each.first_ns for each in found], dtype=pl.Int64).cast(time),
                "last": pl.Series([each.last_ns for each in found], dtype=pl.Int64).cast(time),
                "rows": pl.Series([[example.row for example in each.examples] for each in found], dtype=pl.List(pl.Int64)),
                "example": pl.Series([each.examples[0].text if each.examples else None for each in found], dtype=pl.String),
                "meaning": pl.Series([each.meaning for each in found], dtype=pl.String),
                "advice": pl.Series([each.advice for each in found], dtype=pl.String),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `cift data check --json` prints them: source, rows, worst, elapsed_s, parts and findings."""
        return {
            "source": self.source,
            "rows": self.rows,
            "worst": self.worst,
            "elapsed_s": self.elapsed_s,
            "parts": [
                {
                    "symbol": part.symbol,
                    "schema": part.schema,
                    "rows": part.rows,
                    "first": None if part.first_ns is None else iso(part.first_ns),
                    "last": None if part.last_ns is None else iso(part.last_ns),
                    "skew": part.skew,
                    "notes": list(part.notes),
                }
                for part in self.parts
            ],
            "findings": [
                {
                    "symbol": each.symbol,
                    "schema": each.schema,
                    "kind": each.kind,
                    "severity": each.severity,
                    "count": each.count,
                    "share": each.share,
                    "first": None if each.first_ns is None else iso(each.first_ns),
                    "last": None if each.last_ns is None else iso(each.last_ns),
                    "examples": [example._asdict() for example in each.examples],
                    "meaning": each.meaning,
                    "advice": each.advice,
                }
                for each in self.findings
            ],
        }

    def pictures(self) -> list[dict[str, Any]]:
        """What is drawn of each part that has rows with a time, those with the gravest findings first: plain values and frames, for
        `cift.report.diagnosis.picture`.
        """
        import polars as pl

        drawn = []
        worst_first = {(each.symbol, each.schema): -number for number, each in enumerate(reversed(self.findings))}
        for part in sorted(self.parts, key=lambda part: worst_first.get((part.symbol, part.schema), 1)):
            if part.first_ns is None or part.last_ns is None:
                continue
            severities = {each.kind: each.severity for each in part.findings}
            marks = [
                (ts_ns, None if price != price else price, kind, severities[kind], count)
                for kind, rows in part.marks.items()
                for ts_ns, price, count in rows
                if kind in severities
            ]
            names = {"ts": pl.Int64, "price": pl.Float64, "kind": pl.String, "severity": pl.String, "count": pl.Int64}
            delays: Any = part.delays or ([], [])
            spans = [
                (max(start, part.first_ns - DAY_NS), min(end, part.last_ns + DAY_NS), kind)
                for kind, start, end in part.spans
                if kind != "clock_drift"
            ]
            # What is missing before the first row and after the last belongs into the picture.
            drawn.append(
                {
                    "symbol": part.symbol,
                    "schema": part.schema,
                    "start_ns": min([part.first_ns, *(start for start, _, _ in spans)]),
                    "end_ns": max([part.last_ns, *(end for _, end, _ in spans)]),
                    "prices": pl.DataFrame(part.prices),
                    "minutes": pl.DataFrame({"ts": part.minutes[0], "rows": part.minutes[1]}),
                    "marks": pl.DataFrame(marks, schema=names, orient="row"),
                    "spans": pl.DataFrame(spans, schema={"ts": pl.Int64, "end": pl.Int64, "kind": pl.String}, orient="row"),
                    "delays": pl.DataFrame({"ts": delays[0], "delay": delays[1]}, schema={"ts": pl.Int64, "delay": pl.Int64}),
                }
            )
        return drawn

    def __repr__(self) -> str:
        rate = f", {self.rows / self.elapsed_s / 1e6:.1f} M rows/s" if self.elapsed_s > 0.05 else ""
        lines = [f"{self.source}: {self.rows:,} rows, {self.elapsed_s:.2f} s{rate}"]
        for part in self.parts:
            lines += _part_lines(part)
        if not self.findings:
            return "\n".join([*lines, "nothing found"])
        wide = max(len(each.kind) for each in self.findings)
        several = len(self.parts) > 1
        for each in self.findings:
            where = f"  {each.symbol} {each.schema}" if several else ""
            share = "" if each.share is None else f"  {percent(each.share):>8}"
            lines.append(f"{each.severity:<8}{each.kind:<{wide}}  {each.count:>12,}{share}{where}")
            lines += [indent(line, "        ") for line in wrap(f"{each.meaning}; {each.advice}", TEXT_WIDTH - 8)]
            for example in each.examples[:2]:
                place = f"row {example.row}" if example.row >= 0 else ""
                head = ", ".join(text for text in (example.source, place) if text)
                text = f"{head}: {example.text}" if head else example.text
                lines += [indent(line, "          ") for line in wrap(text, TEXT_WIDTH - 10)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self.findings:
            return f"<p><b>{html.escape(self.source)}</b>: {self.rows:,} rows, nothing found</p>"
        cells = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(text)}</td>"
                for text in (
                    each.severity, each.symbol, each.schema, each.kind, f"{each.count:,}",
                    "" if each.share is None else percent(each.share), each.meaning,
                )
            )
            + "</tr>"
            for each in self.findings
        )  # fmt: skip
        names = ("severity", "symbol", "schema", "kind", "count", "share", "meaning")
        head = "".join(f"<th>{name}</th>" for name in names)
        return f"<p><b>{html.escape(self.source)}</b>: {self.rows:,} rows</p><table><tr>{head}</tr>{cells}</table>"


def percent(share: float) -> str:
    """A share in percent, with enough digits that a few rows of many are not 0."""
    return f"{share:.2%}" if share >= 0.0005 or share == 0 else f"{share:.1g}".replace("e-0", "e-")


def _part_lines(part: Part) -> list[str]:
    span = "" if part.first_ns is None or part.last_ns is None else f", {iso(part.first_ns)} to {iso(part.last_ns)}"
    lines = [f"  {part.symbol} {part.schema}: {part.rows:,} rows{span}"]
    if part.skew is not None:
        skew = part.skew
        ms = {name: f"{skew[f'{name}_ns'] / 1e6:,.3f}" for name in ("min", "median", "p99", "clock_offset")}
        lines.append(
            f"    ts_recv - ts_event: min {ms['min']} ms, median {ms['median']} ms, p99 {ms['p99']} ms, "
            f"{skew['negative_share']:.2%} negative"
            + (f"; clock_offset= would need {ms['clock_offset']} ms" if skew["clock_offset_ns"] else "")
        )
    return [*lines, *(f"    note: {note}" for note in part.notes)]
