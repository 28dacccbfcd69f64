"""The figures of a run, under the labels that users of backtesting.py know, and some of our own after them.

Returns are daily (session close; UTC midnight for a 24/7 market). Below 20 days they are hourly, and then nothing is
annualised. A figure that the data cannot support is None with a sentence in `Statistics.notes`, never 0.
docs/statistics.md gives each label's formula and source, and where it differs from backtesting.py and why.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cift.domain.calendar import ALWAYS_OPEN, sessions
from cift.errors import InvalidParameter, MissingExtra, UnknownName
from cift.research.figures import (
    Floats,
    Times,
    annualised_return,
    annualised_volatility,
    beta,
    downside_deviation,
    drawdowns,
    geometric_mean,
    mean_and_error,
    sharpe,
)
from cift.research.table import LABELS, MARKOUT_SECONDS, OWN_LABELS, Figure, Statistics

if TYPE_CHECKING:
    import polars as pl

    from cift.sim.record import RunRecord

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
DAYS_FOR_DAILY = 20
"""Below this number of daily returns the figures use hourly ones, and nothing is annualised."""

COLUMNS = {
    "equity": ("ts", "equity"),
    "trades": ("entry_ts", "exit_ts", "pnl", "return_pct", "is_open"),
    "fills": ("ts", "symbol", "side", "price", "size", "fee"),
    "orders": ("size", "filled", "status", "reason"),
    "mids": ("ts", "mid"),
}


def statistics_of(record: RunRecord) -> Statistics:
    """The figures of a run, from its record."""
    return statistics(
        equity=record.equity,
        trades=record.trades,
        fills=record.fills,
        orders=record.orders,
        start_ns=record.start_ns,
        end_ns=record.end_ns,
        initial_cash=record.cash,
        currency=record.currency,
        calendar=record.calendar,
        mids=record.marks.rename({"price": "mid"}),
    )


class _Marks(NamedTuple):
    """Equity at the end of each period that had any: the period's end, and the value."""

    ts_ns: Times
    equity: Floats


def statistics(
    *,
    equity: pl.DataFrame,
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    orders: pl.DataFrame,
    start_ns: int,
    end_ns: int,
    initial_cash: float,
    currency: str = "USD",
    calendar: str = ALWAYS_OPEN,
    mids: pl.DataFrame | None = None,
    session_closes_ns: Times | None = None,
    periods_per_year: float | None = None,
) -> Statistics:
    """The figures of a run, from the frames that it yields.

    Args:
        equity: `ts`, `equity`; sorted by `ts`, in `currency`.
        trades: entries and exits paired first in, first out: `entry_ts`, `exit_ts`, `pnl` (after fees, in currency),
            `return_pct` (after fees, in percent of the entry's value; null where that is 0), `is_open`. Open trades
            count in equity, not in the trades' figures.
        fills: `ts`, `symbol`, `side` ("buy" or "sell"), `price`, `size`, `fee` (in currency, negative for a rebate).
        orders: `size`, `filled`, `status`, `reason`.
        start_ns, end_ns: the period asked for, ns since the epoch.
        initial_cash: equity at the start, above 0.
        calendar: "24/7" (days end at UTC midnight, 365 a year), or an exchange's, "XNYS": days are its sessions, and a year
            has as many as the calendar counts in the years of the period.
        mids: `ts`, `mid` and, with several symbols, `symbol`; sorted by `ts`. Used for Buy & Hold, Alpha, Beta and the
            mark-outs, which are None without it.
        session_closes_ns: overrides the calendar's closes: of the sessions that the period touches, ascending. What comes
            after the last belongs to its session.
        periods_per_year: overrides the calendar's number.
    Raises:
        UnknownName: where a frame lacks a column, or the calendar does not exist.
        InvalidParameter: where `initial_cash` is not above 0, or the period ends before it starts.
    """
    if not initial_cash > 0:
        raise InvalidParameter(f"initial_cash is {initial_cash}; returns need a starting equity above 0")
    if end_ns < start_ns:
        raise InvalidParameter(f"the period ends ({end_ns} ns) before it starts ({start_ns} ns); swap the two")
    frames = {"equity": equity, "trades": trades, "fills": fills, "orders": orders}
    for name, frame in frames.items() if mids is None else [*frames.items(), ("mids", mids)]:
        _require(frame, name)

    notes = [] if currency == "USD" else [f"Labels in [$] are in {currency}."]
    equity_ts, value = _times(equity, "ts"), equity["equity"].to_numpy().astype(np.float64)
    traded = fills.height > 0 and len(value) > 0
    if len(value) == 0:
        notes.append("No data: the run kept no equity, so no figure could be computed.")
    elif not traded:
        notes.append(_why_no_fills(orders))

    days = _days(calendar, start_ns, end_ns, notes)
    closes = days.closes_ns if session_closes_ns is None else session_closes_ns
    period, marks = _marks(equity_ts, value, start_ns, closes, notes if traded else [])
    yearly = days.per_year if periods_per_year is None else periods_per_year
    scale = yearly if period == "daily" and _is_daily(marks, notes) else None
    returns = np.diff(marks.equity, prepend=initial_cash)
    before = np.concatenate(([initial_cash], marks.equity[:-1]))
    ruined = bool(np.any(before <= 0) or np.any(marks.equity <= 0))
    returns = np.divide(returns, before, out=np.zeros_like(returns), where=before > 0)
    if ruined:
        notes.append("Equity fell to 0 or below: compounded figures do not exist from there on.")

    figures: dict[str, Figure] = {
        "Start": _moment(start_ns),
        "End": _moment(end_ns),
        "Duration": _span(end_ns - start_ns),
    }
    figures |= _account(value, fills, trades, start_ns, end_ns, initial_cash, traded)
    baskets = None if mids is None or mids.height == 0 else _basket(mids, marks.ts_ns)
    hold = None if baskets is None else float(baskets[-1] - 1) * 100
    figures["Buy & Hold Return [%]"] = hold
    falls = _falls(equity_ts, value, start_ns, initial_cash, traded)
    deepest, years = falls["Max. Drawdown [%]"], (end_ns - start_ns) / (365.25 * DAY_NS)
    usable = traded and not ruined
    figures |= _risk(returns, scale if usable else None, deepest, years, value, initial_cash)
    slope = None
    if usable and baskets is not None and np.all(baskets > 0):
        slope = beta(np.log1p(returns), np.diff(np.log(baskets[:-1])))
    total = figures["Return [%]"]
    known = slope is not None and hold is not None and isinstance(total, float)
    figures["Alpha [%]"] = total - slope * hold if known else None  # type: ignore[operator]
    figures["Beta"] = slope
    figures |= falls
    figures |= _round_trips(trades, notes)
    figures |= _execution(equity_ts, value, fills, orders, initial_cash, traded, notes)
    figures |= _markouts(fills, mids, notes)
    figures["Sharpe Ratio (arithmetic)"] = sharpe(returns, scale) if usable and scale is not None else None
    figures["Period"] = f"{period} returns, " + ("not annualised" if scale is None else f"{scale:g} a year")
    if mids is None and traded:
        notes.append("No mid prices were given: Buy & Hold, Alpha, Beta and mark-outs are left out.")
    return Statistics(
        _values={label: _finite(figures[label]) for label in [*LABELS, *OWN_LABELS]},
        notes=tuple(notes),
        currency=currency,
        calendar=calendar,
        period=period,
        periods_per_year=scale,
        _return_ts_ns=marks.ts_ns,
        _returns=returns,
    )


def _require(frame: pl.DataFrame, name: str) -> None:
    missing = [column for column in COLUMNS[name] if column not in frame.columns]
    if missing:
        raise UnknownName(f"the {name} frame has no column {missing[0]!r}; found {', '.join(frame.columns) or 'none'}")


def _times(frame: pl.DataFrame, column: str) -> Times:
    return frame[column].dt.timestamp("ns").to_numpy().astype(np.int64)


def _moment(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


def _span(ns: float) -> timedelta:
    return timedelta(microseconds=ns / 1_000)


def _finite(value: Figure) -> Figure:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _why_no_fills(orders: pl.DataFrame) -> str:
    if orders.height == 0:
        return "No trades: the strategy sent no order, so figures of trading are left out."
    text = f"No trades: none of {orders.height:,} orders was filled, so figures of trading are left out."
    refused = orders.filter(orders["status"] == "rejected")
    if refused.height == 0:
        return text
    reasons = refused["reason"].drop_nulls().value_counts(sort=True)
    why = f", most often because: {reasons.row(0)[0]}" if reasons.height else ""
    return f"{text} {refused.height:,} of them were rejected{why}."


class _Days(NamedTuple):
    """Where days end (None: at UTC midnight), and how many a year has (None: nobody knows)."""

    closes_ns: Times | None
    per_year: float | None


def _days(calendar: str, start_ns: int, end_ns: int, notes: list[str]) -> _Days:
    if calendar == ALWAYS_OPEN:
        return _Days(None, 365.0)
    # A period this short has too few sessions for daily returns, those that it cuts included; to look at the calendar would
    # cost the first figures of a process a second.
    if end_ns - start_ns < (DAYS_FOR_DAILY - 3) * DAY_NS:
        return _Days(None, None)
    try:
        found = sessions(calendar, start_ns, end_ns)
    except MissingExtra as missing:
        notes.append(f"Days end at UTC midnight, not annualised: {missing}")
        return _Days(None, None)
    if found is None:
        notes.append(
            f"The calendar {calendar} does not know all years of the period: days end at UTC midnight, not annualised."
        )
        return _Days(None, None)
    return _Days(found.closes_ns, found.per_year)


def _marks(ts_ns: Times, value: Floats, start_ns: int, closes_ns: Times | None, notes: list[str]) -> tuple[str, _Marks]:
    """Daily marks where there are enough of them, else hourly ones; what is at or before the start is the base."""
    later = ts_ns > start_ns
    ts_ns, value = ts_ns[later], value[later]
    if closes_ns is None or len(closes_ns) == 0:
        daily = _last_of_each(value, -(-ts_ns // DAY_NS) * DAY_NS)
    else:
        # What comes after the last close has no session of its own: late answers, trading after hours.
        daily = _last_of_each(value, closes_ns[np.searchsorted(closes_ns[:-1], ts_ns, side="left")])
    if len(daily.ts_ns) >= DAYS_FOR_DAILY:
        return "daily", daily
    days = len(daily.ts_ns)
    notes.append(
        f"{days} {'day' if days == 1 else 'days'} of data: below {DAYS_FOR_DAILY} the returns are hourly and nothing "
        "is annualised."
    )
    return "hourly", _last_of_each(value, -(-ts_ns // HOUR_NS) * HOUR_NS)


def _last_of_each(value: Floats, ends_ns: Times) -> _Marks:
    last = np.flatnonzero(np.diff(ends_ns, append=np.iinfo(np.int64).max))
    return _Marks(ends_ns[last], value[last])


def _is_daily(marks: _Marks, notes: list[str]) -> bool:
    gap_ns = float(np.median(np.diff(marks.ts_ns)))
    if gap_ns <= 1.5 * DAY_NS:
        return True
    notes.append(f"Equity is known once per {gap_ns / DAY_NS:.3g} days: annualised figures need it daily.")
    return False


def _account(
    value: Floats,
    fills: pl.DataFrame,
    trades: pl.DataFrame,
    start_ns: int,
    end_ns: int,
    initial_cash: float,
    traded: bool,
) -> dict[str, Figure]:
    held = None
    if traded and end_ns > start_ns:
        held = 100 * _time_held(trades, start_ns, end_ns) / (end_ns - start_ns)
    return {
        "Exposure Time [%]": held,
        "Equity Final [$]": float(value[-1]) if len(value) else None,
        "Equity Peak [$]": max(float(value.max()), initial_cash) if len(value) else None,
        "Commissions [$]": _fees(fills) if traded else None,
        "Return [%]": (float(value[-1]) - initial_cash) / initial_cash * 100 if traded else None,
    }


def _time_held(trades: pl.DataFrame, start_ns: int, end_ns: int) -> int:
    """Nanoseconds within the period during which any position was held: the union of the trades' intervals."""
    if trades.height == 0:
        return 0
    import polars as pl

    ends = trades.with_columns(pl.when("is_open").then(None).otherwise("exit_ts").alias("exit_ts"))["exit_ts"]
    entry = _times(trades, "entry_ts").clip(start_ns, end_ns)
    leave = ends.dt.timestamp("ns").fill_null(end_ns).to_numpy().clip(start_ns, end_ns)
    order = np.argsort(entry, kind="stable")
    entry, leave = entry[order], leave[order]
    reached = np.maximum.accumulate(np.concatenate(([start_ns], leave[:-1])))
    return int(np.maximum(leave - np.maximum(entry, reached), 0).sum())


def _basket(mids: pl.DataFrame, at_ns: Times) -> Floats:
    """Value of 1 put into all symbols alike at their first mid: at the first, at each of `at_ns`, and at the last."""
    import polars as pl

    quoted = mids.filter(pl.col("mid").is_not_null() & pl.col("mid").is_not_nan())
    parts = quoted.partition_by("symbol") if "symbol" in quoted.columns else [quoted]
    values = []
    for part in parts:
        ts_ns, mid = _times(part, "ts"), part["mid"].to_numpy()
        if len(mid):
            row = np.maximum(np.searchsorted(ts_ns, at_ns, side="right") - 1, 0)
            values.append(np.concatenate(([mid[0]], mid[row], [mid[-1]])) / mid[0])
    return np.mean(values, axis=0) if values else np.full(len(at_ns) + 2, np.nan)


def _risk(
    returns: Floats, scale: float | None, deepest: Figure, years: float, value: Floats, initial_cash: float
) -> dict[str, Figure]:
    labels = ("Return (Ann.) [%]", "Volatility (Ann.) [%]", "CAGR [%]", "Sharpe Ratio", "Sortino Ratio", "Calmar Ratio")
    if scale is None:
        return dict.fromkeys(labels)
    yearly, risk = annualised_return(returns, scale), annualised_volatility(returns, scale)
    downside = downside_deviation(returns, scale)
    if yearly is None:
        return dict.fromkeys(labels)
    return {
        "Return (Ann.) [%]": yearly * 100,
        "Volatility (Ann.) [%]": None if risk is None else risk * 100,
        "CAGR [%]": ((float(value[-1]) / initial_cash) ** (1 / years) - 1) * 100 if years > 0 else None,
        "Sharpe Ratio": yearly / risk if risk else None,
        "Sortino Ratio": yearly / downside if downside else None,
        "Calmar Ratio": yearly / (-deepest / 100) if isinstance(deepest, float) and deepest < 0 else None,
    }


def _falls(ts_ns: Times, value: Floats, start_ns: int, initial_cash: float, traded: bool) -> dict[str, Figure]:
    labels = ("Max. Drawdown [%]", "Avg. Drawdown [%]", "Max. Drawdown Duration", "Avg. Drawdown Duration")
    if not traded:
        return dict.fromkeys(labels)
    first = min(start_ns, int(ts_ns[0]))
    falls = drawdowns(np.concatenate(([first], ts_ns)), np.concatenate(([initial_cash], value)))
    if len(falls.depth) == 0:
        return {labels[0]: 0.0} | dict.fromkeys(labels[1:])
    return {
        "Max. Drawdown [%]": -float(falls.depth.max()) * 100,
        "Avg. Drawdown [%]": -float(falls.depth.mean()) * 100,
        "Max. Drawdown Duration": _span(int(falls.duration_ns.max())),
        "Avg. Drawdown Duration": _span(float(falls.duration_ns.mean())),
    }


def _round_trips(trades: pl.DataFrame, notes: list[str]) -> dict[str, Figure]:
    closed = trades.filter(~trades["is_open"]) if trades.height else trades
    still_open = trades.height - closed.height
    if still_open:
        notes.append(
            f"{still_open:,} {'trade is' if still_open == 1 else 'trades are'} still open at the end: marked in "
            "equity, left out of the trades' figures."
        )
    figures: dict[str, Figure] = {"# Trades": closed.height}
    labels = LABELS[LABELS.index("# Trades") + 1 :]
    if closed.height == 0:
        return figures | dict.fromkeys(labels)
    gain = closed["pnl"].to_numpy().astype(np.float64)
    change = closed["return_pct"].drop_nulls().to_numpy().astype(np.float64) / 100
    held_ns = _times(closed, "exit_ts") - _times(closed, "entry_ts")
    wins, losses = gain[gain > 0], gain[gain < 0]
    won = len(wins) / len(gain)
    lost_share = float(-change[change < 0].sum())
    spread = float(gain.std(ddof=1)) if len(gain) > 1 else 0.0
    mean = geometric_mean(change)
    if len(losses) == 0 or len(wins) == 0:
        which = "lost" if len(losses) == 0 else "won"
        notes.append(f"No trade {which}: figures that divide winners by losers are left out.")
    return figures | {
        "Win Rate [%]": won * 100,
        "Best Trade [%]": float(change.max()) * 100 if len(change) else None,
        "Worst Trade [%]": float(change.min()) * 100 if len(change) else None,
        "Avg. Trade [%]": None if mean is None else mean * 100,
        "Max. Trade Duration": _span(int(held_ns.max())),
        "Avg. Trade Duration": _span(float(held_ns.mean())),
        "Profit Factor": float(change[change > 0].sum()) / lost_share if lost_share > 0 else None,
        "Expectancy [%]": float(change.mean()) * 100 if len(change) else None,
        "SQN": math.sqrt(len(gain)) * float(gain.mean()) / spread if spread > 0 else None,
        "Kelly Criterion": won - (1 - won) / float(wins.mean() / -losses.mean()) if len(wins) and len(losses) else None,
    }


def _money(amount: float, largest: float) -> float:
    """An amount that floats gave, as the decimal that the account holds: to 15 significant digits of the largest one added."""
    return round(amount, 14 - math.floor(math.log10(largest))) if 0 < largest < math.inf else amount


def _fees(fills: pl.DataFrame) -> float:
    fees = fills["fee"].to_list()
    return _money(math.fsum(fees), math.fsum(map(abs, fees)))


def _execution(
    equity_ts: Times,
    value: Floats,
    fills: pl.DataFrame,
    orders: pl.DataFrame,
    initial_cash: float,
    traded: bool,
    notes: list[str],
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {"# Fills": fills.height, "# Orders": orders.height, "Fill Rate [%]": None}
    accepted = orders.filter(orders["status"] != "rejected") if orders.height else orders
    if accepted.height:
        figures["Fill Rate [%]"] = float((accepted["filled"] / accepted["size"]).mean()) * 100  # type: ignore[arg-type]
    labels = ("P&L [$]", "P&L per Fill [$]", "P&L per Fill SE [$]", "Fees [$]")
    if not traded:
        return figures | dict.fromkeys(labels)
    # The change in equity from one fill to the next is the fill's; what follows the last fill is the last one's.
    # Fills of one instant share a cluster: they stem from one decision.
    at_ns, count = np.unique(_times(fills, "ts"), return_counts=True)
    row = np.searchsorted(equity_ts, at_ns, side="right") - 1
    after = np.where(row >= 0, value[np.maximum(row, 0)], initial_cash)
    after[-1] = value[-1]
    mean, error = mean_and_error(np.diff(after, prepend=initial_cash), count.astype(np.float64))
    if error is None:
        notes.append("All fills happened at one instant: P&L per fill has no standard error.")
    return figures | {
        "P&L [$]": _money(float(value[-1]) - initial_cash, max(initial_cash, abs(float(value[-1])))),
        "P&L per Fill [$]": mean,
        "P&L per Fill SE [$]": error,
        "Fees [$]": _fees(fills),
    }


def _markouts(fills: pl.DataFrame, mids: pl.DataFrame | None, notes: list[str]) -> dict[str, Figure]:
    """Mean move of the mid after a fill, in our favour where positive, before fees, in bps of the value traded."""
    figures: dict[str, Figure] = {f"Mark-out {seconds} s [bps]": None for seconds in MARKOUT_SECONDS}
    if mids is None or fills.height == 0:
        return figures
    import polars as pl

    quoted = mids.filter(pl.col("mid").is_not_null() & pl.col("mid").is_not_nan())
    several = "symbol" in quoted.columns
    markets = {key[0]: part for key, part in quoted.partition_by("symbol", as_dict=True).items()} if several else {}
    gained, traded, counted = (np.zeros(len(MARKOUT_SECONDS)) for _ in range(3))
    for (symbol,), part in fills.partition_by("symbol", as_dict=True).items():
        market = markets.get(symbol) if several else quoted
        if market is None or market.height == 0:
            continue
        ts_ns, mid = _times(market, "ts"), market["mid"].to_numpy()
        at_ns, price, size = _times(part, "ts"), part["price"].to_numpy(), part["size"].to_numpy()
        sign = np.where(part["side"].to_numpy() == "buy", 1.0, -1.0)
        for column, seconds in enumerate(MARKOUT_SECONDS):
            then_ns = at_ns + seconds * SECOND_NS
            # A mid from before the fill knows nothing of what followed it.
            row = np.searchsorted(ts_ns, then_ns, side="right") - 1
            seen = (then_ns <= ts_ns[-1]) & (row >= 0) & (ts_ns[np.maximum(row, 0)] > at_ns)
            there = mid[row[seen]]
            gained[column] += float((sign[seen] * size[seen] * (there - price[seen])).sum())
            traded[column] += float((size[seen] * price[seen]).sum())
            counted[column] += seen.sum()
    for column, seconds in enumerate(MARKOUT_SECONDS):
        if traded[column] > 0:
            figures[f"Mark-out {seconds} s [bps]"] = float(gained[column] / traded[column]) * 1e4
    left = [(fills.height - int(seen), seconds) for seconds, seen in zip(MARKOUT_SECONDS, counted, strict=True)]
    words = [
        f"{count:,} of {fills.height:,} fills have no mid in the {seconds} s after them" for count, seconds in left if count
    ]
    if words:
        notes.append(f"{'; '.join(words)} and are left out of that mark-out; a smaller equity_every= notes more mids.")
    return figures
