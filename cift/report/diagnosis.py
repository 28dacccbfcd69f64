"""A diagnosis of data on one page: what was found, and a picture of where.

The page is self-contained like the tear sheet: charts are SVG, and its security policy forbids any request.
"""

from __future__ import annotations

import html as markup
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cift.report.charts import (
    BUY_COLOUR,
    LINE_COLOUR,
    LOSS_COLOUR,
    PALE_COLOUR,
    SELL_COLOUR,
    milliseconds,
    over_time,
    period_text,
)
from cift.report.tearsheet import STYLE

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

COLOURS = {"error": LOSS_COLOUR, "warning": SELL_COLOUR, "info": BUY_COLOUR}
LABELS_WIDTH = 118
"""Room for the labels of every y axis, in pixels: the longest name of a kind."""
WIDTH = 690
LANE_HEIGHT = 17
BUCKETS = 350
CIRCLES_MAX = 100
"""Kinds with more marks than this would hide the price, and have their lane alone."""
EXAMPLES_SHOWN = 3
MOST_PICTURES = 8
CAPTION = (
    "Price: the last of each moment, with its lowest and highest in pale grey; a circle is a finding of a kind with few, and one at "
    "the edge lies beyond it. Shaded: times without rows. Delay from ts_event to ts_recv: the least of each moment in blue, the "
    "median in grey."
)
_STYLE = """
.chart { margin-top: 16px }
.error, .warning, .info { color: #fff; padding: 1px 7px; border-radius: 8px; font-size: 11.5px }
.error { background: #b5413a } .warning { background: #b3611a } .info { background: #1d4f91 }
.found td { white-space: normal; vertical-align: top; text-align: left; overflow-wrap: anywhere }
.found td.name { white-space: nowrap } .found td.number { white-space: nowrap; text-align: right }
.found code { font-size: 11.5px; color: #5b6470 }
.found tr { border-bottom: 1px solid #eceef0 }
"""


def diagnosis_html(record: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]] = ()) -> str:
    """A diagnosis as one HTML text, without scripts or links.

    Args:
        record: source, rows, worst, parts and findings, as `Diagnosis.to_dict` gives them.
        pictures: for each part what `picture` takes, as `Diagnosis.pictures` gives it.
    """
    findings = record["findings"]
    counted = {severity: sum(each["severity"] == severity for each in findings) for severity in COLOURS}
    verdict = ", ".join(f"{count} {severity}{'s' * (count != 1)}" for severity, count in counted.items() if count)
    sections = [
        f"<h1>{markup.escape(str(record['source']))}</h1>",
        f"<p>{record['rows']:,} rows looked at: {verdict or 'nothing found'}.</p>",
        _parts(record["parts"]),
    ]
    for drawn in pictures[:MOST_PICTURES]:
        chart = picture(**drawn)
        if chart is not None:
            text = io.StringIO()
            chart.save(text, format="svg")
            sections.append(f"<div class='chart'>{text.getvalue()}</div>")
    if pictures:
        sections.append(f"<p class='quiet'>{CAPTION}</p>")
    if len(pictures) > MOST_PICTURES:
        sections.append(f"<p class='quiet'>{MOST_PICTURES} of {len(pictures)} are drawn, those with the gravest findings.</p>")
    if findings:
        sections += ["<h2>Findings</h2>", _findings(findings)]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{markup.escape(str(record['source']))}</title><style>{STYLE}{_STYLE}</style></head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def picture(
    *,
    symbol: str,
    schema: str,
    start_ns: int,
    end_ns: int,
    prices: pl.DataFrame,
    minutes: pl.DataFrame,
    marks: pl.DataFrame,
    spans: pl.DataFrame,
    delays: pl.DataFrame,
) -> alt.VConcatChart | None:
    """Prices with the findings on them, which kind was found when, rows over time, and the delay between the two stamps.

    Args:
        symbol, schema: whose rows.
        start_ns, end_ns: the period drawn, ns since the epoch.
        prices: `ts`, `low`, `high`, `last`; `ts` is ns since the epoch in every frame.
        minutes: `ts`, `rows` of each minute that has some.
        marks: `ts`, `price` (null where the row has none), `kind`, `severity`, `count`.
        spans: `ts`, `end`, `kind`: times that a finding is about.
        delays: `ts`, `delay` in ns.
    Returns:
        The chart, None where there is nothing to draw.
    """
    import altair as alt

    marks = marks.filter((marks["ts"] >= start_ns) & (marks["ts"] <= end_ns))
    shaded = spans.filter(spans["kind"] != "burst")
    panels: list[tuple[Any, int]] = []
    if prices.height:
        panels.append((_price_panel(prices, marks, shaded), 190))
    if marks.height:
        kinds = marks["kind"].unique().len()
        panels.append((_lanes(marks), max(30, LANE_HEIGHT * kinds)))
    if minutes.height:
        panels.append((_rows_panel(minutes, shaded, start_ns, end_ns), 80))
    if delays.height:
        panels.append((_delay_panel(delays), 80))
    if not panels:
        return None
    domain = [milliseconds(start_ns), milliseconds(max(end_ns, start_ns + 1_000_000))]
    drawn = [
        over_time(panel, domain, labels=number == len(panels) - 1).properties(width=WIDTH, height=height)
        for number, (panel, height) in enumerate(panels)
    ]
    heading = alt.TitleParams(
        f"{symbol} {schema}",
        subtitle=period_text(start_ns, end_ns),
        anchor="start",
        fontSize=14,
        subtitleFontSize=11,
        subtitleColor=LINE_COLOUR,
        offset=8,
    )
    stacked: alt.VConcatChart = alt.vconcat(*drawn, spacing=14, title=heading).resolve_scale(x="shared", color="independent")
    return stacked


# ------------------------------------------------------------------ panels


def _y(field: str, title: str, **scale: Any) -> alt.Y:
    import altair as alt

    axis = alt.Axis(
        title=title,
        minExtent=LABELS_WIDTH,
        maxExtent=LABELS_WIDTH,
        tickCount=4,
        gridColor="#e6e8eb",
        titleFontWeight="normal",
        titlePadding=4,
    )
    return alt.Y(f"{field}:Q", scale=alt.Scale(nice=False, **scale), axis=axis, stack=False)


def _at(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    import polars as pl

    return frame.select((pl.col("ts") / 1e6).alias("at"), *columns)


def _shades(spans: pl.DataFrame) -> Any:
    """The times without rows, as bands over the whole height."""
    import altair as alt
    import polars as pl

    bands = _at(spans.head(400), "kind").with_columns(until=spans.head(400)["end"] / 1e6, kind=pl.col("kind"))
    return alt.Chart(bands).mark_rect(opacity=0.18, color=SELL_COLOUR, clip=True).encode(x2="until:Q", tooltip=["kind:N"])


def _price_panel(prices: pl.DataFrame, marks: pl.DataFrame, spans: pl.DataFrame) -> Any:
    import altair as alt
    import polars as pl

    frame = _at(prices, "low", "high", "last")
    # What lies far off would press the rest into a line: the axis holds what is usual, and the marks beyond stand at its edge.
    low, high = (float(prices["last"].quantile(share) or 0.0) for share in (0.02, 0.98))
    air = (high - low) * 0.3 or abs(high) * 0.001 or 1.0
    bounds = [low - air, high + air]
    y = _y("last", "price", domain=bounds, clamp=True)
    layers = [_shades(spans)] if spans.height else []
    layers += [
        alt.Chart(frame)
        .mark_area(clip=True, interpolate="step-after", opacity=0.25, color=PALE_COLOUR)
        .encode(y=_y("low", "price", domain=bounds, clamp=True), y2="high:Q"),
        alt.Chart(frame).mark_line(clip=True, interpolate="step-after", strokeWidth=1, color=LINE_COLOUR).encode(y=y),
    ]
    few = marks.filter(pl.len().over("kind") <= CIRCLES_MAX)
    dots = _at(few, "price", "kind", "severity", "count").drop_nulls("price")
    if dots.height:
        colour = alt.Color("severity:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None)
        layers.append(
            alt.Chart(dots)
            .mark_point(size=26, filled=False, strokeWidth=1.2, opacity=0.8)
            .encode(y=_y("price", "price", domain=bounds, clamp=True), color=colour, tooltip=["kind:N", "price:Q", "count:Q"])
        )
    return alt.layer(*layers)


def _lanes(marks: pl.DataFrame) -> Any:
    """Each kind on a line of its own: when it was found."""
    import altair as alt
    import polars as pl

    rank = list(COLOURS)
    order = (
        marks.group_by("kind", "severity")
        .agg(pl.col("count").sum())
        .sort(pl.col("severity").replace_strict(rank, list(range(len(rank)))), -pl.col("count").cast(pl.Int64), "kind")
    )
    axis = alt.Axis(
        title=None,
        minExtent=LABELS_WIDTH,
        maxExtent=LABELS_WIDTH,
        labelLimit=LABELS_WIDTH - 4,
        ticks=False,
        grid=True,
        gridColor="#e6e8eb",
    )
    return (
        alt.Chart(_at(marks, "kind", "severity", "count"))
        .mark_tick(thickness=2, height=10, clip=True)
        .encode(
            y=alt.Y("kind:N", sort=order["kind"].to_list(), axis=axis, scale=alt.Scale(paddingInner=0.1)),
            color=alt.Color("severity:N", scale=alt.Scale(domain=rank, range=list(COLOURS.values())), legend=None),
            tooltip=["kind:N", "count:Q"],
        )
    )


def _rows_panel(minutes: pl.DataFrame, spans: pl.DataFrame, start_ns: int, end_ns: int) -> Any:
    """Rows of each minute, or of as many minutes as one bar stands for."""
    import altair as alt
    import polars as pl

    minute = 60_000_000_000
    width = minute * max(1, -(-(end_ns - start_ns) // (minute * BUCKETS)))
    binned = (
        minutes.group_by((pl.col("ts") // width * width).alias("ts"))
        .agg(pl.col("rows").sum())
        .sort("ts")
        .with_columns(until=(pl.col("ts") + width) / 1e6)
    )
    title = "rows a minute" if width == minute else f"rows in {_span(width)}"
    bars = alt.Chart(_at(binned, "rows", "until")).mark_rect(clip=True, color=LINE_COLOUR, opacity=0.7)
    layers = [_shades(spans)] if spans.height else []
    most = float(binned["rows"].max() or 1)  # type: ignore[arg-type]
    y = _y("rows", title, domain=[0, most * 1.05])
    return alt.layer(*layers, bars.encode(x2="until:Q", y=y, y2=alt.datum(0)))


def _span(width_ns: int) -> str:
    minutes = width_ns // 60_000_000_000
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes / 60:,.1f} hours" if minutes < 2_880 else f"{minutes / 1_440:,.1f} days"


def _delay_panel(delays: pl.DataFrame) -> Any:
    """The least and the middle delay of each period, in milliseconds."""
    import altair as alt
    import polars as pl

    times = delays["ts"].to_numpy()
    first, last = int(times.min()), int(times.max())
    width = max(1, -(-(last - first + 1) // BUCKETS))
    binned = (
        delays.group_by((pl.col("ts") - first) // width)
        .agg(pl.col("delay").min().alias("least") / 1e6, pl.col("delay").median().alias("middle") / 1e6)
        .with_columns(ts=first + pl.col("ts") * width)
        .sort("ts")
    )
    frame = _at(binned, "least", "middle")
    low, high = float(binned["least"].min()), float(binned["middle"].max())  # type: ignore[arg-type]
    air = (high - low) * 0.08 or abs(high) * 0.01 or 0.001
    bounds = [low - air, high + air]
    layers = [
        alt.Chart(frame).mark_line(strokeWidth=1, color=PALE_COLOUR).encode(y=_y("middle", "delay (ms)", domain=bounds)),
        alt.Chart(frame).mark_line(strokeWidth=1.2, color=BUY_COLOUR).encode(y=_y("least", "delay (ms)", domain=bounds)),
    ]
    if low < 0 < high:
        layers.append(alt.Chart(frame.head(1)).mark_rule(strokeDash=[3, 3], color=LOSS_COLOUR).encode(y=alt.datum(0)))
    return alt.layer(*layers)


# ------------------------------------------------------------------ tables


def _parts(parts: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for part in parts:
        skew = part["skew"]
        delay = "--" if skew is None else " / ".join(f"{skew[f'{name}_ns'] / 1e6:,.3f}" for name in ("min", "median", "p99"))
        notes = "".join(f"<p class='quiet'>{markup.escape(note)}</p>" for note in part["notes"])
        cells = (part["symbol"], part["schema"], f"{part['rows']:,}", _second(part["first"]), _second(part["last"]), delay)
        rows.append("<tr>" + "".join(f"<td>{markup.escape(str(cell))}</td>" for cell in cells) + "</tr>")
        if notes:
            rows.append(f"<tr><td colspan='6' style='white-space:normal;text-align:left'>{notes}</td></tr>")
    names = ("symbol", "schema", "rows", "first (UTC)", "last (UTC)", "delay: min / median / p99, ms")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _second(text: str | None) -> str:
    return "--" if text is None else text[:19].replace("T", " ")


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    several = len({(each["symbol"], each["schema"]) for each in findings}) > 1
    for each in findings:
        share = "" if each["share"] is None else f"<br><span class='quiet'>{each['share']:.3%}</span>"
        where = f"<br><span class='quiet'>{markup.escape(each['symbol'])} {each['schema']}</span>" if several else ""
        shown = "".join(
            f"<br><code>{markup.escape(_place(example))}{markup.escape(example['text'])}</code>"
            for example in each["examples"][:EXAMPLES_SHOWN]
        )
        rows.append(
            f"<tr><td class='name'><span class='{each['severity']}'>{each['severity']}</span></td>"
            f"<td class='name'><b>{each['kind']}</b>{where}</td><td class='number'>{each['count']:,}{share}</td>"
            f"<td>{markup.escape(each['meaning'])}; {markup.escape(each['advice'])}.{shown}</td></tr>"
        )
    return f"<table class='found'><tbody>{''.join(rows)}</tbody></table>"


def _place(example: Mapping[str, Any]) -> str:
    parts = [example["source"], f"row {example['row']}" if example["row"] >= 0 else ""]
    place = ", ".join(part for part in parts if part)
    return f"{place}: " if place else ""
