"""A run on one page: a self-contained HTML text that opens without a network and prints well.

The caller writes it to disk. Charts are SVG, drawn without a browser; the page's security policy forbids any request.
"""

from __future__ import annotations

import html as markup
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cift.report.charts import BUY_COLOUR, LINE_COLOUR, SELL_COLOUR, period_text, plot
from cift.report.summary import FigureRow

if TYPE_CHECKING:
    import polars as pl

EXTREME_TRADES = 10
MOST_CHARTS = 6
FULLEST_TINT = 0.55
"""Share of the full colour at which black figures on it are still easy to read."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
REASONS = {
    "took": "the order arrived and took what stood on the other side of the book",
    "queue": "an execution at the order's price reached its place in the queue",
    "crossed": "a recorded order or quote arrived that crossed the order's price",
    "swept": "a recorded execution at a worse price passed the order, which was the better one",
}
HOUR_NS = 3_600_000_000_000

STYLE = f"""
:root {{ color-scheme: light }}
body {{ font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #1c2128; background: #fff;
  max-width: 860px; margin: 24px auto; padding: 0 16px }}
h1 {{ font-size: 22px; margin: 0 }}
h2 {{ font-size: 16px; margin: 28px 0 8px; border-bottom: 1px solid #d5d9de; padding-bottom: 3px; break-after: avoid }}
p {{ margin: 4px 0 }}
.quiet {{ color: {LINE_COLOUR} }}
.leading {{ display: grid; grid-template-columns: repeat(5, 1fr); gap: 10px 16px; margin: 16px 0 }}
.leading div div:nth-child(2) {{ font-size: 17px; font-variant-numeric: tabular-nums; white-space: nowrap }}
.leading .quiet {{ font-size: 12px }}
table {{ border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums }}
th, td {{ padding: 2px 12px 2px 0; text-align: right; white-space: nowrap }}
th {{ font-weight: 600; color: {LINE_COLOUR} }}
th:first-child, td:first-child, .left {{ text-align: left }}
tr {{ break-inside: avoid }}
thead tr {{ border-bottom: 1px solid #d5d9de }}
.facts td {{ white-space: normal; overflow-wrap: anywhere; text-align: left }}
.figures {{ columns: 2; column-gap: 40px }}
.figures table {{ width: 100% }}
.figures td:last-child {{ padding-right: 0 }}
.figures td:first-child {{ white-space: normal }}
.heat td {{ text-align: center; padding: 3px 6px; min-width: 44px }}
.bar {{ background: {LINE_COLOUR}; height: 10px; display: inline-block; min-width: 1px }}
.wide {{ overflow-x: auto }}
svg {{ max-width: 100%; height: auto }}
* {{ -webkit-print-color-adjust: exact; print-color-adjust: exact }}
@page {{ size: A4; margin: 12mm }}
@media print {{ body {{ margin: 0; max-width: none; font-size: 12px }} .wide {{ overflow: visible }}
  .wide table {{ font-size: 9.5px }} .wide th, .wide td {{ padding-right: 7px }} .chart {{ break-inside: avoid }} }}
"""


def tearsheet_html(
    *,
    strategy: str,
    parameters: Mapping[str, object],
    symbols: Sequence[str],
    venue: str,
    digest: str,
    fingerprint: str,
    leading: Sequence[FigureRow],
    rows: Sequence[FigureRow],
    notes: Sequence[str],
    equity: pl.DataFrame,
    fills: pl.DataFrame,
    positions: pl.DataFrame,
    trades: pl.DataFrame,
    prices: pl.DataFrame | None,
    start_ns: int,
    end_ns: int,
    initial_cash: float,
    currency: str = "USD",
    details: Mapping[str, str] | None = None,
) -> str:
    """The tear sheet of a run as one HTML text, without scripts or links.

    Args:
        strategy: its name, the heading of the page.
        parameters: its parameters by name.
        venue: what was simulated, in words: latency, fees, queue rules.
        digest, fingerprint: what the run gave, and what it was made of.
        leading: the figures that open the page; rows: all of them. Label, value as text, what stands beside it.
        notes: sentences on what is missing or should be known.
        equity, fills, positions, trades: the frames of the run.
        prices: `ts`, `price` and, with several symbols, `symbol`; None leaves the price line out.
        start_ns, end_ns: the period, ns since the epoch.
        details: further facts for the header, by name; for example the versions in use.
    """
    facts = {
        "Parameters": ", ".join(f"{name} = {value}" for name, value in parameters.items()) or "none",
        "Symbols": ", ".join(symbols),
        "Period": period_text(start_ns, end_ns),
        "Starting cash": f"{initial_cash:,.2f} {currency}",
        "Venue": venue,
        **(details or {}),
        "Digest": digest,
        "Fingerprint": fingerprint,
    }
    sections = [
        f"<h1>{markup.escape(strategy)}</h1>",
        _facts(facts),
        _leading(leading),
        *(f"<p class='quiet'>{markup.escape(note)}</p>" for note in notes),
        "<h2>Price, position, equity, drawdown</h2>",
    ]
    sections += _charts(
        symbols,
        equity=equity,
        fills=fills,
        positions=positions,
        prices=prices,
        start_ns=start_ns,
        end_ns=end_ns,
        initial_cash=initial_cash,
        currency=currency,
    )
    sections.append(_returns(equity, fills, start_ns, initial_cash, currency))
    sections += ["<h2>Fills explained</h2>", _fills(fills, currency)]
    sections += ["<h2>Trades</h2>", _trades(trades, currency)]
    sections += ["<h2>All figures</h2>", _figures(rows)]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{markup.escape(strategy)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


# ------------------------------------------------------------------ sections


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{markup.escape(k)}</th><td>{markup.escape(str(v))}</td></tr>" for k, v in facts.items())
    return f"<table class='facts'>{rows}</table>"


def _leading(rows: Sequence[FigureRow]) -> str:
    cells = "".join(
        f"<div><div class='quiet'>{markup.escape(label)}</div><div>{markup.escape(text)}</div>"
        f"<div class='quiet'>{markup.escape(beside)}</div></div>"
        for label, text, beside in rows
    )
    return f"<div class='leading'>{cells}</div>"


def _figures(rows: Sequence[FigureRow]) -> str:
    half = -(-len(rows) // 2)
    columns = []
    for part in (rows[:half], rows[half:]):
        body = "".join(
            f"<tr><td>{markup.escape(label)} <small class='quiet'>{markup.escape(beside)}</small></td>"
            f"<td>{markup.escape(text)}</td></tr>"
            for label, text, beside in part
        )
        columns.append(f"<table style='break-inside:avoid;break-after:column'>{body}</table>")
    return f"<div class='figures'>{''.join(columns)}</div>"


def _charts(symbols: Sequence[str], *, equity: pl.DataFrame, fills: pl.DataFrame, **parts: Any) -> list[str]:
    """One chart a symbol, those with the most fills first; equity and drawdown are the run's and stand in the first."""
    if len(symbols) < 2 or fills.height == 0:
        return [_svg(plot(equity=equity, fills=fills, **parts))]
    busiest = fills["symbol"].value_counts(sort=True)["symbol"].to_list()
    shown = busiest[:MOST_CHARTS]
    charts = [
        _svg(plot(equity=equity if symbol == shown[0] else None, fills=fills, symbol=symbol, **parts)) for symbol in shown
    ]
    if len(shown) < len(symbols):
        charts.append(f"<p class='quiet'>{len(shown)} of {len(symbols)} symbols, those with the most fills.</p>")
    return charts


def _svg(chart: Any) -> str:
    text = io.StringIO()
    chart.save(text, format="svg")
    return f"<div class='chart'>{text.getvalue()}</div>"


def _returns(equity: pl.DataFrame, fills: pl.DataFrame, start_ns: int, initial_cash: float, currency: str) -> str:
    """Monthly returns where the run spans two calendar months or more, else P&L by hour of the day."""
    if equity.height == 0:
        return ""
    months = _monthly(equity, start_ns, initial_cash)
    if len(months) >= 2:
        return "<h2>Return by month (%)</h2>" + _heat_map(months)
    if fills.height == 0:
        return ""
    return "<h2>By hour of the day (UTC)</h2>" + _hours(equity, fills, start_ns, initial_cash, currency)


def _monthly(equity: pl.DataFrame, start_ns: int, initial_cash: float) -> dict[tuple[int, int], float]:
    """Return of each calendar month (UTC) that has equity, as a fraction, by (year, month).

    A row at the first instant of a month closes the month before.
    """
    import polars as pl

    later = equity.filter(equity["ts"].dt.timestamp("ns") > start_ns)
    moment = pl.col("ts") - pl.duration(nanoseconds=1)
    closes = (
        later.group_by(moment.dt.year().alias("year"), moment.dt.month().alias("month"), maintain_order=True)
        .agg(pl.col("equity").last())
        .rows()
    )
    before, returns = initial_cash, {}
    for year, month, value in closes:
        if before > 0:
            returns[year, month] = value / before - 1
        before = value
    return returns


def _heat_map(months: Mapping[tuple[int, int], float]) -> str:
    deepest = max(abs(value) for value in months.values()) or 1.0
    digits = 2 if deepest >= 0.01 else 4
    rows = []
    for year in sorted({year for year, _ in months}):
        cells = []
        for month in range(1, 13):
            value = months.get((year, month))
            if value is None:
                cells.append("<td class='quiet'>--</td>")
                continue
            colour = BUY_COLOUR if value > 0 else SELL_COLOUR
            fill = _tint(colour, FULLEST_TINT * abs(value) / deepest)
            cells.append(f"<td style='background:{fill}'>{value * 100:+.{digits}f}</td>")
        whole = math.prod(1 + months[key] for key in months if key[0] == year) - 1
        rows.append(f"<tr><th>{year}</th>{''.join(cells)}<td><b>{whole * 100:+.{digits}f}</b></td></tr>")
    head = "".join(f"<th style='text-align:center'>{name}</th>" for name in ("", *MONTHS, "Year"))
    return f"<div class='wide'><table class='heat'><thead><tr>{head}</tr></thead>{''.join(rows)}</table></div>"


def _tint(colour: str, share: float) -> str:
    """A colour laid on white: 0 gives white, 1 the colour itself."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def _hours(equity: pl.DataFrame, fills: pl.DataFrame, start_ns: int, initial_cash: float, currency: str) -> str:
    import polars as pl

    at = equity["ts"].dt.timestamp("ns")
    # An hour ends with the row at its last instant: 10:00:00.000000000 closes the hour of 09.
    ends = equity.with_columns(end=-(-at // HOUR_NS)).filter(at > start_ns)
    marks = ends.group_by("end", maintain_order=True).agg(pl.col("equity").last())
    earned = marks.select(
        hour=(pl.col("end") - 1) % 24,
        earned=pl.col("equity") - pl.col("equity").shift(1, fill_value=initial_cash),
    )
    made = fills.select(hour=(-(-fills["ts"].dt.timestamp("ns") // HOUR_NS) - 1) % 24, fee="fee")
    table = (
        earned.group_by("hour")
        .agg(pl.col("earned").sum())
        .join(made.group_by("hour").agg(fills=pl.len(), fees=pl.col("fee").sum()), on="hour", how="left")
        .sort("hour")
    )
    rows = [
        [f"{hour:02d}:00 to {(hour + 1) % 24:02d}:00", _money(pnl), f"{count or 0:,}", _money(fee or 0.0)]
        for hour, pnl, count, fee in table.iter_rows()
    ]
    return _table(["hour", f"P&L ({currency})", "fills", f"fees ({currency})"], rows)


def _fills(fills: pl.DataFrame, currency: str) -> str:
    import polars as pl

    if fills.height == 0:
        return "<p>No order was filled.</p>"
    ahead = pl.col("ahead")
    grouped = (
        fills.group_by("reason")
        .agg(
            pl.len(),
            (pl.col("liquidity") == "maker").mean(),
            pl.col("size").sum(),
            pl.col("fee").sum(),
            ahead.median().alias("median"),
            ahead.quantile(0.9).alias("high"),
            ahead.max().alias("most"),
        )
        .sort("len", descending=True)
    )
    rows = [
        [
            reason,
            f"{count:,}",
            f"{count / fills.height:.1%}",
            f"{maker:.0%}",
            _number(size),
            _money(fee),
            *(_number(value) for value in spread),
        ]
        for reason, count, maker, size, fee, *spread in grouped.iter_rows()
    ]
    words = "".join(
        f"<p class='quiet'><b>{markup.escape(reason)}</b>: {markup.escape(REASONS[reason])}.</p>"
        for reason in grouped["reason"]
        if reason in REASONS
    )
    headings = ["reason", "fills", "share", "maker", "size", f"fees ({currency})", "ahead: median", "90 %", "most"]
    known = fills["ahead"].drop_nulls()
    spread = _ahead(known.to_list()) if len(known) else "<p class='quiet'>No fill of an order that had queued.</p>"
    return _table(headings, rows) + words + spread


def _ahead(sizes: Sequence[float]) -> str:
    """Fills by the size that stood ahead when their order joined the queue, in decades."""
    decades: dict[int, int] = {}
    for size in sizes:
        decade = -1 if size < 1 else min(int(math.log10(size) + 1e-12), 12)
        decades[decade] = decades.get(decade, 0) + 1
    most = max(decades.values())
    rows = []
    for decade in range(min(decades), max(decades) + 1):
        count = decades.get(decade, 0)
        name = "below 1" if decade < 0 else f"{10**decade:,} to below {10 ** (decade + 1):,}"
        bar = f"<span class='bar' style='width:{round(300 * count / most)}px'></span>" if count else ""
        rows.append(f"<tr><td>{name}</td><td>{count:,}</td><td class='left'>{bar}</td></tr>")
    return (
        "<table style='margin-top:10px'><thead><tr><th>size ahead on joining</th><th>fills</th><th></th></tr></thead>"
        f"{''.join(rows)}</table>"
    )


def _trades(trades: pl.DataFrame, currency: str) -> str:
    if trades.height == 0:
        return "<p>No position was opened.</p>"
    if trades.height <= 2 * EXTREME_TRADES:
        return _trade_table(trades.sort("entry_ts"), currency)
    ranked = trades.sort("pnl", descending=True, maintain_order=True)
    return (
        f"<p class='quiet'>{trades.height:,} trades; the {EXTREME_TRADES} best and the {EXTREME_TRADES} worst.</p>"
        + _trade_table(ranked.head(EXTREME_TRADES), currency)
        + "<p>&nbsp;</p>"
        + _trade_table(ranked.tail(EXTREME_TRADES), currency)
    )


def _trade_table(trades: pl.DataFrame, currency: str) -> str:
    columns = ["symbol", "size", "entry_ts", "exit_ts", "entry_price", "exit_price", "pnl", "fees", "return_pct"]
    rows = []
    digits = _digits([*trades["entry_price"], *trades["exit_price"].drop_nulls()])
    for row in trades.select(*columns, "is_open").iter_rows():
        symbol, size, entry, leave, bought, sold, pnl, fees, change, is_open = row
        rows.append(
            [
                symbol,
                _number(size),
                f"{entry:%Y-%m-%d %H:%M:%S}",
                "open" if is_open or leave is None else f"{leave:%Y-%m-%d %H:%M:%S}",
                f"{bought:,.{digits}f}",
                "--" if sold is None else f"{sold:,.{digits}f}" + (" (mark)" if is_open else ""),
                _money(pnl),
                _money(fees),
                "--" if change is None else f"{change:.3f}",
            ]
        )
    headings = ["symbol", "size", "entry (UTC)", "exit (UTC)", "entry price", "exit price"]
    return _table([*headings, f"P&L ({currency})", f"fees ({currency})", "return (%)"], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{markup.escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{markup.escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _money(value: float | None) -> str:
    if value is None:
        return "--"
    return f"{value:,.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4f}"


def _digits(values: Sequence[float]) -> int:
    """Digits after the point that the most exact of the values has, at most eight, so that a column lines up."""
    return max(len(_number(value).partition(".")[2]) for value in values)


def _number(value: float | None) -> str:
    """A price or a size with the digits it has, at most eight after the point."""
    if value is None:
        return "--"
    text = f"{value:,.8f}"
    return text.rstrip("0").rstrip(".")
