"""Charts of a run, from plain frames: price with fills, position, equity and drawdown over one time axis.

However long the run, a chart carries below 5,000 rows: each series is cut into buckets of time, and the lowest, the
highest and the last row of each bucket stay, so peaks survive. Charts are altair objects: join them with `|` and `&`.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cift.errors import InvalidParameter, MissingExtra, UnknownName

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

BUCKETS = 320
"""Buckets of time a series is cut into; three rows each at most."""
FILL_BUCKETS = 200
"""Buckets of time and side that fills are cut into; two rows each at most, for the lowest and the highest price."""

BUY_COLOUR = "#1d4f91"
SELL_COLOUR = "#f28e2b"
LINE_COLOUR = "#5b6470"
PALE_COLOUR = "#9aa1ab"
LOSS_COLOUR = "#b5413a"
# Dark blue and light orange stay apart in grey, and the triangles point different ways.

AXIS_WIDTH = 72
"""Room for the labels of every y axis, in pixels, so that the panels stand under each other."""

_renderer_considered = False


def set_renderer() -> None:
    """Show charts as SVG if altair's default renderer is still active; called by the first `plot` of a process.

    The default loads its scripts from the network and shows nothing offline. A renderer that the user enabled, before
    or after, stays.
    """
    global _renderer_considered
    if _renderer_considered:
        return
    import altair as alt

    _renderer_considered = True
    if alt.renderers.active == "default":
        alt.renderers.enable("svg")


def interactive(chart: Any) -> Any:
    """The chart as a widget that zooms and pans, in a notebook and without a network.

    Args:
        chart: any altair chart; one that has no selection of its own gets zooming of the time axis.
    Raises:
        MissingExtra: without anywidget, which the `notebook` extra brings.
    """
    try:
        present = find_spec("anywidget") is not None
    except ValueError:
        present = False
    if not present:
        raise MissingExtra('the zooming widget needs anywidget: pip install "cift-markets[notebook]"')
    import altair as alt

    alt.JupyterChart.enable_offline(True)
    with warnings.catch_warnings():
        # One selection over all panels is what makes them zoom together; altair remarks on merging it.
        warnings.filterwarnings("ignore", message="Automatically deduplicated", category=UserWarning)
        return alt.JupyterChart(chart if chart.to_dict().get("params") else chart.interactive(bind_y=False))


def thin(frame: pl.DataFrame, value: str, buckets: int) -> pl.DataFrame:
    """At most three rows of each bucket of time: where `value` is lowest, where it is highest, and the last.

    Rows keep their order and are real rows of `frame`, which is sorted by `ts`; nulls and NaNs go first.
    """
    import polars as pl

    frame = frame.filter(pl.col(value).is_not_null() & pl.col(value).is_not_nan())
    if frame.height <= 3 * buckets:
        return frame
    at = frame["ts"].dt.timestamp("ns")
    first, span = at[0], max(at[-1] - at[0], 1)
    # Dividing before multiplying keeps nanoseconds of many years within 64 bits.
    width = -(-(span + 1) // buckets)
    rows = (
        pl.DataFrame({"bucket": (at - first) // width, "value": frame[value]})
        .with_row_index("row")
        .group_by("bucket")
        .agg(
            low=pl.col("row").get(pl.col("value").arg_min()),
            high=pl.col("row").get(pl.col("value").arg_max()),
            last=pl.col("row").last(),
        )
    )
    keep = pl.concat([rows["low"].alias("row"), rows["high"].alias("row"), rows["last"].alias("row")]).unique().sort()
    return frame[keep]


def thin_fills(fills: pl.DataFrame, buckets: int) -> pl.DataFrame:
    """Fills as they are while they are few, else at most two of each side and bucket: lowest and highest price.

    Adds `fills`, the number that a row stands for, and makes `size` their sum.
    """
    import polars as pl

    if fills.height <= 4 * buckets:
        return fills.with_columns(fills=pl.lit(1))
    at = fills["ts"].dt.timestamp("ns")
    width = -(-(max(at[-1] - at[0], 1) + 1) // buckets)
    return (
        fills.with_columns(bucket=(at - at[0]) // width)
        .with_columns(
            low=(pl.col("price") == pl.col("price").min()).over("bucket", "side"),
            high=(pl.col("price") == pl.col("price").max()).over("bucket", "side"),
            fills=pl.len().over("bucket", "side"),
            size=pl.col("size").sum().over("bucket", "side"),
        )
        .filter(pl.col("low") | pl.col("high"))
        .unique(subset=["bucket", "side", "price"], keep="first", maintain_order=True)
        .drop("bucket", "low", "high")
    )


def plot(
    *,
    equity: pl.DataFrame | None,
    fills: pl.DataFrame | None = None,
    positions: pl.DataFrame | None = None,
    prices: pl.DataFrame | None = None,
    start_ns: int,
    end_ns: int,
    initial_cash: float,
    currency: str = "USD",
    symbol: str | None = None,
    title: str = "",
    width: int = 720,
) -> alt.VConcatChart:
    """Price with fills, position, equity and drawdown, stacked over one time axis in UTC.

    A panel whose data is missing is left out, and the subtitle says so.

    Args:
        equity: `ts`, `equity` in `currency`; None draws price and position alone.
        fills: `ts`, `symbol`, `side`, `price`, `size`; drawn on the price, or alone where there is none.
        positions: `ts`, `symbol`, `position` after each fill.
        prices: `ts`, `price` and, with several symbols, `symbol`.
        start_ns, end_ns: the period drawn, ns since the epoch.
        initial_cash: equity at the start, in `currency`; the peak before the first row.
        symbol: the one whose price and position are drawn; without it the one with the most fills.
        width: of the panels, in pixels, without the axes.
    Raises:
        UnknownName: where `symbol` has neither prices nor fills.
        InvalidParameter: where the period is empty.
    """
    import altair as alt
    import polars as pl

    if end_ns <= start_ns:
        raise InvalidParameter(f"the period to draw ends ({end_ns} ns) where it starts or before ({start_ns} ns)")
    set_renderer()
    symbols = _symbols(fills, prices, positions)
    if symbol is None:
        symbol = symbols[0] if symbols else None
    elif symbols and symbol not in symbols:
        raise UnknownName(f"{symbol!r} has neither prices nor fills here; there are {', '.join(symbols)}")
    notes = [period_text(start_ns, end_ns)]
    if len(symbols) > 1:
        whole = "" if equity is None else "; equity and drawdown of all"
        notes.append(f"Price and position of {symbol}, one of {len(symbols)} symbols{whole}.")

    fills, prices, positions = (_of(frame, symbol) for frame in (fills, prices, positions))
    panels: list[Any] = []
    if prices is not None or fills is not None:
        panels.append(_price_panel(prices, fills, currency, notes))
    else:
        notes.append("No fills and no prices: their panel is left out.")
    if positions is not None:
        panels.append(_position_panel(positions, start_ns, end_ns))
    elif fills is not None:
        notes.append("No positions were given: their panel is left out.")
    curve = None if equity is None else _curve(equity, start_ns, end_ns, initial_cash)
    if equity is not None and curve is None:
        notes.append("No equity was kept: equity and drawdown are left out.")
    if curve is not None:
        panels.append(_equity_panel(curve, initial_cash, currency))
        panels.append(_drawdown_panel(curve))
    if not panels:
        empty = pl.DataFrame({"text": ["Nothing to draw"]})
        panels.append(alt.Chart(empty).mark_text(color=LINE_COLOUR).encode(text="text:N"))

    domain = [milliseconds(start_ns), milliseconds(end_ns)]
    drawn = []
    for number, (marks, height) in enumerate(_sized(panels)):
        lowest = number == len(panels) - 1
        drawn.append(over_time(marks, domain, labels=lowest).properties(width=width, height=height))
    heading = alt.TitleParams(
        title or (symbol or "Run"),
        subtitle=notes,
        anchor="start",
        fontSize=14,
        subtitleFontSize=11,
        subtitleColor=LINE_COLOUR,
        offset=10,
    )
    stacked: alt.VConcatChart = alt.vconcat(*drawn, spacing=14, title=heading).resolve_scale(x="shared")
    return stacked


# ------------------------------------------------------------------ what is drawn


def _symbols(*frames: pl.DataFrame | None) -> list[str]:
    """Every symbol of the frames: the one with the most fills first, then by name."""
    fills = frames[0]
    counted: dict[str, int] = {}
    for frame in frames:
        if frame is not None and "symbol" in frame.columns:
            counted |= dict.fromkeys(frame["symbol"].unique().drop_nulls().to_list(), 0)
    if fills is not None and fills.height:
        counted |= dict(fills["symbol"].value_counts().iter_rows())
    return sorted(counted, key=lambda name: (-counted[name], name))


def _of(frame: pl.DataFrame | None, symbol: str | None) -> pl.DataFrame | None:
    """The rows of one symbol, None where there are none."""
    if frame is not None and symbol is not None and "symbol" in frame.columns:
        frame = frame.filter(frame["symbol"] == symbol)
    return frame if frame is not None and frame.height else None


def milliseconds(ns: int) -> float:
    """A time as a time scale counts it."""
    return ns / 1e6


def _moment(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


def period_text(start_ns: int, end_ns: int) -> str:
    """The period in words, to the minute where that is exact and else to the second."""
    start, end = _moment(start_ns), _moment(end_ns)
    if all(ns % 60_000_000_000 == 0 for ns in (start_ns, end_ns)):
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    return f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC"


def _time_format(span_ns: float) -> str:
    """A label format in which neighbouring ticks differ, and no longer than it need be."""
    minutes = span_ns / 60e9
    if minutes <= 5:
        return "%H:%M:%S"
    if minutes <= 2 * 1_440:
        return "%H:%M"
    if minutes <= 10 * 1_440:
        return "%d %b %H:%M"
    return "%d %b" if minutes <= 300 * 1_440 else "%b %Y"


def over_time(marks: Any, domain: list[float], labels: bool) -> Any:
    """Marks over the column `at`, in UTC, between two times in milliseconds; `labels` on the lowest panel only."""
    import altair as alt

    axis = alt.Axis(
        title="time (UTC)" if labels else None,
        labels=labels,
        ticks=labels,
        format=_time_format((domain[1] - domain[0]) * 1e6),
        labelOverlap=True,
        labelFlush=True,
        tickCount=8,
        gridColor="#e6e8eb",
        titleFontWeight="normal",
    )
    return marks.encode(x=alt.X("at:T", scale=alt.Scale(type="utc", domain=domain, nice=False), axis=axis))


def _y(field: str, title: str, low: float, high: float, *, zero: bool = False) -> alt.Y:
    """A y axis over the data with a little air; a flat series gets a range of its own so that it can be drawn."""
    import altair as alt

    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    air = (high - low) * 0.05
    flat = air <= max(abs(low), abs(high)) * 1e-12
    if flat:
        air = abs(high) * 0.001 or 1.0
    bounds = [low - (0 if zero and low == 0 and not flat else air), high + (0 if zero and high == 0 else air)]
    axis = alt.Axis(
        title=title,
        minExtent=AXIS_WIDTH,
        maxExtent=AXIS_WIDTH,
        tickCount=4,
        gridColor="#e6e8eb",
        titleFontWeight="normal",
        titlePadding=4,
    )
    # Rows of one instant are successive values, not parts of a sum: an area would be stacked there.
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(domain=bounds, nice=False, zero=False), axis=axis, stack=False)


def _drawable(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """`at` (milliseconds since the epoch, what the time scale counts in) and the columns asked for."""
    import polars as pl

    return frame.select((pl.col("ts").dt.timestamp("ns") / 1e6).alias("at"), *columns)


def _ends(frame: pl.DataFrame) -> tuple[float, float]:
    column = frame.to_series(1)
    return float(column.min()), float(column.max())  # type: ignore[arg-type]


def _price_panel(prices: pl.DataFrame | None, fills: pl.DataFrame | None, currency: str, notes: list[str]) -> Any:
    import altair as alt
    import polars as pl

    layers, ranges = [], []
    line = None if prices is None else _drawable(thin(prices, "price", BUCKETS), "price")
    if line is not None:
        ranges.append(_ends(line))
    else:
        notes.append("No prices were given: fills are drawn alone.")
    dots = None
    if fills is not None:
        few = thin_fills(fills.select("ts", "price", "size", "side"), FILL_BUCKETS)
        dots = _drawable(few, "price", "side", "size", "fills").with_columns(
            pl.col("size").round(9), time=few["ts"].dt.strftime("%Y-%m-%d %H:%M:%S%.6f")
        )
        ranges.append(_ends(dots))
        if dots.height < fills.height:
            notes.append(f"{fills.height:,} fills, drawn as the lowest and highest of each side and moment.")
    else:
        notes.append("No fills were made, so no position was held.")
    low, high = min(x for x, _ in ranges), max(x for _, x in ranges)
    y = _y("price", f"price ({currency})", low, high)
    if line is not None:
        drawn = alt.Chart(line).mark_line(interpolate="step-after", clip=True, strokeWidth=1, color=PALE_COLOUR)
        layers.append(drawn.encode(y=y))
    if dots is not None:
        sides = ["buy", "sell"]
        size = 140 if dots.height <= 20 else 60 if dots.height <= 100 else 26 if dots.height <= 300 else 14
        layers.append(
            alt.Chart(dots)
            .mark_point(filled=True, size=size, opacity=0.85, stroke="white", strokeWidth=0.3)
            .encode(
                y=y,
                color=alt.Color(
                    "side:N",
                    scale=alt.Scale(domain=sides, range=[BUY_COLOUR, SELL_COLOUR]),
                    legend=alt.Legend(title=None, orient="top", padding=0, offset=4, symbolOpacity=1, symbolSize=60),
                ),
                shape=alt.Shape("side:N", scale=alt.Scale(domain=sides, range=["triangle-up", "triangle-down"])),
                tooltip=[
                    alt.Tooltip("time:N", title="time (UTC)"),
                    "side:N",
                    "price:Q",
                    "size:Q",
                    "fills:Q",
                ],
            )
        )
    return alt.layer(*layers)


def _position_panel(positions: pl.DataFrame, start_ns: int, end_ns: int) -> Any:
    import altair as alt

    held = _steps(positions.select("ts", "position"), start_ns, end_ns, 0.0)
    frame = _drawable(thin(held, "position", BUCKETS), "position")
    y = _y("position", "position (units)", *_ends(frame), zero=True)
    return alt.layer(
        alt.Chart(frame).mark_area(interpolate="step-after", clip=True, color=LINE_COLOUR, opacity=0.25).encode(y=y),
        alt.Chart(frame).mark_line(interpolate="step-after", clip=True, strokeWidth=1, color=LINE_COLOUR).encode(y=y),
    )


def _equity_panel(curve: pl.DataFrame, initial_cash: float, currency: str) -> Any:
    import altair as alt
    import polars as pl

    frame = _drawable(thin(curve, "equity", BUCKETS), "equity")
    low, high = _ends(frame)
    y = _y("equity", f"equity ({currency})", min(low, initial_cash), max(high, initial_cash))
    start = pl.DataFrame({"at": [frame["at"][0], frame["at"][-1]], "equity": [initial_cash, initial_cash]})
    return alt.layer(
        alt.Chart(start).mark_line(strokeDash=[3, 3], strokeWidth=1, color=PALE_COLOUR).encode(y=y),
        alt.Chart(frame).mark_line(interpolate="step-after", clip=True, strokeWidth=1.4, color=BUY_COLOUR).encode(y=y),
    )


def _drawdown_panel(curve: pl.DataFrame) -> Any:
    import altair as alt

    frame = _drawable(thin(curve, "drawdown", BUCKETS), "drawdown")
    y = _y("drawdown", "drawdown (%)", *_ends(frame), zero=True)
    return alt.Chart(frame).mark_area(interpolate="step-after", clip=True, color=LOSS_COLOUR, opacity=0.7).encode(y=y)


def _curve(equity: pl.DataFrame, start_ns: int, end_ns: int, initial_cash: float) -> pl.DataFrame | None:
    """Equity from start to end with its drawdown from the running peak, in percent."""
    import polars as pl

    if equity.height == 0:
        return None
    peak = pl.col("equity").cum_max()
    return _steps(equity.select("ts", "equity"), start_ns, end_ns, initial_cash).with_columns(
        drawdown=pl.when(peak > 0).then((pl.col("equity") / peak - 1) * 100).otherwise(0.0)
    )


def _steps(frame: pl.DataFrame, start_ns: int, end_ns: int, before: float) -> pl.DataFrame:
    """A series that holds between its rows, drawn from the start of the period to its end."""
    import polars as pl

    name = frame.columns[1]
    value = frame[name].cast(pl.Float64)
    ts = frame["ts"].dt.timestamp("ns")
    tail = [end_ns] if ts[-1] < end_ns else []
    at = pl.concat([pl.Series("ts", [min(start_ns, ts[0])]), ts, pl.Series("ts", tail, dtype=pl.Int64)])
    values = pl.concat([pl.Series(name, [before]), value, pl.Series(name, [value[-1]] * len(tail), dtype=pl.Float64)])
    return pl.DataFrame([at.cast(pl.Datetime("ns", "UTC")), values])


def _sized(panels: list[Any]) -> list[tuple[Any, int]]:
    """Panels with their heights: the first is the tallest."""
    return [(panel, 200 if number == 0 else 95) for number, panel in enumerate(panels)]
