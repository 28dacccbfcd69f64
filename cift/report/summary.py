"""What a notebook cell shows of a run or a sweep: small HTML, no script, readable on a dark page and on a light one.

Everything comes in as text or as a plain frame, and all text is escaped. Colours are those of the page (currentColor)
or middle tones that stand out on either ground.
"""

from __future__ import annotations

import html as markup
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cift.report.charts import period_text, thin

if TYPE_CHECKING:
    import polars as pl

FigureRow = tuple[str, str, str]
"""Label, value as text, and what stands beside it (the period behind the value, or nothing)."""

CURVE_BUCKETS = 100
CURVE_COLOUR = "#4a86c8"
CELLS_ACROSS = 5
TABLE = "border-collapse:collapse;border:none;color:inherit;font-size:inherit"


def html(
    *,
    title: str,
    subtitle: str = "",
    leading: Sequence[FigureRow],
    equity: pl.DataFrame | None,
    initial_cash: float,
    currency: str,
    start_ns: int,
    end_ns: int,
    notes: Sequence[str] = (),
) -> str:
    """The page of a run: its leading figures, a small equity chart, and notes.

    Args:
        title, subtitle: for example the strategy's name, and its parameters and symbols.
        leading: six to ten figures as text, the most telling first.
        equity: `ts`, `equity` in `currency`; None or empty leaves the chart out.
        initial_cash: equity at the start; drawn as a dashed line.
        start_ns, end_ns: the period, ns since the epoch.
        notes: sentences, shown last.
    """
    parts = [f"<div style='font-weight:600'>{markup.escape(title)}</div>"]
    parts.append(f"<div style='opacity:.7'>{markup.escape(subtitle)}</div>" if subtitle else "")
    parts.append(f"<div style='opacity:.7'>{period_text(start_ns, end_ns)}</div>")
    parts.append(_cells(leading))
    if equity is not None and equity.height:
        parts.append(curve_svg(equity, initial_cash, currency, start_ns, end_ns))
    parts += [f"<div style='opacity:.8;font-size:90%'>{markup.escape(note)}</div>" for note in notes]
    return f"<div style='max-width:720px;font-family:sans-serif;font-size:13px;line-height:1.4'>{''.join(parts)}</div>"


def table_html(headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", limit: int = 20) -> str:
    """A table of texts, as a sweep shows its trials; at most `limit` rows, and the caption tells of the others."""
    told = caption
    if len(rows) > limit:
        told = f"{caption}{'; ' if caption else ''}{limit} of {len(rows):,} rows"
    cell = "padding:2px 10px 2px 0;text-align:right;background:none"
    head = "".join(f"<th style='{cell};font-weight:600'>{markup.escape(heading)}</th>" for heading in headings)
    lines = ["".join(f"<td style='{cell}'>{markup.escape(text)}</td>" for text in row) for row in rows[:limit]]
    body = "".join(f"<tr style='background:none'>{line}</tr>" for line in lines)
    return (
        "<div style='font-family:sans-serif;font-size:13px'>"
        + (f"<div style='opacity:.7'>{markup.escape(told)}</div>" if told else "")
        + f"<table style='{TABLE};font-variant-numeric:tabular-nums'>"
        + f"<thead><tr style='border-bottom:1px solid currentColor'>{head}</tr></thead>"
        + f"<tbody>{body}</tbody></table></div>"
    )


def curve_svg(equity: pl.DataFrame, initial_cash: float, currency: str, start_ns: int, end_ns: int, *, width: int = 700) -> str:
    """Equity over time as a small SVG: at most three points for each of 100 buckets, with the extremes kept."""
    height, left, top, bottom = 130, 92, 8, 20
    few = thin(equity.select("ts", "equity"), "equity", CURVE_BUCKETS)
    if few.height == 0:
        return ""
    values = few["equity"].to_list()
    low, high = min(*values, initial_cash), max(*values, initial_cash)
    span_ns = max(end_ns - start_ns, 1)
    room = high - low

    def x(ns: int) -> float:
        return left + (width - left - 4) * min(max((ns - start_ns) / span_ns, 0.0), 1.0)

    def y(value: float) -> float:
        return top + (height - top - bottom) * ((high - value) / room if room > 0 else 0.5)

    # Equity holds between its rows, so the line runs level to the next row and then jumps.
    path = [f"M{x(start_ns):.1f} {y(initial_cash):.1f}"]
    for ns, value in zip(few["ts"].dt.timestamp("ns").to_list(), values, strict=True):
        path.append(f"H{x(ns):.1f}V{y(value):.1f}")
    path.append(f"H{x(end_ns):.1f}")
    digits = 0 if room >= 50 else 2 if room >= 0.05 or room == 0 else 6
    beside = "".join(
        f"<text x='{left - 6}' y='{y(value) + 4:.1f}' text-anchor='end'>{value:,.{digits}f}</text>"
        for value in ([high, low] if room > 0 else [high])
    )
    base = y(initial_cash)
    return (
        f"<svg viewBox='0 0 {width} {height}' width='100%' style='max-width:{width}px' role='img' "
        f"aria-label='equity over time' font-family='sans-serif' font-size='11' fill='currentColor'>"
        f"<line x1='{left}' y1='{base:.1f}' x2='{width - 4}' y2='{base:.1f}' stroke='currentColor' "
        "stroke-opacity='.45' stroke-dasharray='3 3'/>"
        f"<path d='{''.join(path)}' fill='none' stroke='{CURVE_COLOUR}' stroke-width='1.5' stroke-linejoin='round'/>"
        f"{beside}"
        f"<text x='{left}' y='{height - 4}' opacity='.75'>equity ({markup.escape(currency)}), time in UTC; "
        "dashed: at the start</text></svg>"
    )


def _cells(leading: Sequence[FigureRow]) -> str:
    """Figures as a table of cells, label over value: tables survive where a code host strips styles."""
    rows = []
    for first in range(0, len(leading), CELLS_ACROSS):
        cells = "".join(
            "<td style='padding:4px 16px 4px 0;text-align:left;vertical-align:top;background:none'>"
            f"<div style='opacity:.7;font-size:85%;white-space:nowrap'>{markup.escape(label)}</div>"
            "<div style='font-size:115%;font-variant-numeric:tabular-nums;white-space:nowrap'>"
            f"{markup.escape(text)}</div>"
            + (f"<div style='opacity:.6;font-size:80%'>{markup.escape(beside)}</div>" if beside else "")
            + "</td>"
            for label, text, beside in leading[first : first + CELLS_ACROSS]
        )
        rows.append(f"<tr style='background:none'>{cells}</tr>")
    return f"<table style='{TABLE};margin:4px 0'>{''.join(rows)}</table>"
