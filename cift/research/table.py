"""The table of a run's figures: labels, values, and how they are printed."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cift.errors import UnknownFigure
from cift.research.figures import Floats, Times

if TYPE_CHECKING:
    import polars as pl

Figure: TypeAlias = float | int | str | datetime | timedelta | None

MARKOUT_SECONDS = (1, 10, 60)

LABELS = (
    "Start",
    "End",
    "Duration",
    "Exposure Time [%]",
    "Equity Final [$]",
    "Equity Peak [$]",
    "Commissions [$]",
    "Return [%]",
    "Buy & Hold Return [%]",
    "Return (Ann.) [%]",
    "Volatility (Ann.) [%]",
    "CAGR [%]",
    "Sharpe Ratio",
    "Sortino Ratio",
    "Calmar Ratio",
    "Alpha [%]",
    "Beta",
    "Max. Drawdown [%]",
    "Avg. Drawdown [%]",
    "Max. Drawdown Duration",
    "Avg. Drawdown Duration",
    "# Trades",
    "Win Rate [%]",
    "Best Trade [%]",
    "Worst Trade [%]",
    "Avg. Trade [%]",
    "Max. Trade Duration",
    "Avg. Trade Duration",
    "Profit Factor",
    "Expectancy [%]",
    "SQN",
    "Kelly Criterion",
)
"""The labels of backtesting.py, in its order."""

OWN_LABELS = (
    "P&L [$]",
    "P&L per Fill [$]",
    "P&L per Fill SE [$]",
    "Fees [$]",
    "# Fills",
    "# Orders",
    "Fill Rate [%]",
    *(f"Mark-out {seconds} s [bps]" for seconds in MARKOUT_SECONDS),
    "Sharpe Ratio (arithmetic)",
    "Period",
)
"""Our own, after them."""

FROM_RETURNS = (
    "Return (Ann.) [%]",
    "Volatility (Ann.) [%]",
    "CAGR [%]",
    "Sharpe Ratio",
    "Sortino Ratio",
    "Calmar Ratio",
    "Alpha [%]",
    "Beta",
    "Sharpe Ratio (arithmetic)",
)
"""Labels whose value depends on the period of the returns; the period is printed beside them."""

ANNUALISED = tuple(label for label in FROM_RETURNS if label not in ("Alpha [%]", "Beta"))


@dataclass(frozen=True, eq=False, repr=False)
class Statistics(Mapping[str, Figure]):
    """The figures of one run: a mapping from label to value, None where there is nothing to say.

    Attributes:
        notes: sentences that explain what is missing, or what a reader should know.
        currency: of every `[$]` label.
        period: "daily" or "hourly", the spacing of the returns.
        periods_per_year: by which the annualised figures were scaled; None where nothing is annualised.
        calendar: the name under which the run was made.
    """

    _values: dict[str, Figure]
    notes: tuple[str, ...]
    currency: str
    calendar: str
    period: str
    periods_per_year: float | None
    _return_ts_ns: Times
    _returns: Floats

    def __getitem__(self, label: str) -> Figure:
        try:
            return self._values[label]
        except KeyError:
            near = difflib.get_close_matches(str(label), self._values, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else "; list(stats) shows the labels"
            raise UnknownFigure(f"no figure {label!r}{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def returns(self) -> pl.DataFrame:
        """The returns behind the figures: `ts` (end of the period, UTC) and `return` (a fraction)."""
        import polars as pl

        ts = pl.Series("ts", self._return_ts_ns).cast(pl.Datetime("ns", "UTC"))
        return pl.DataFrame([ts, pl.Series("return", self._returns)])

    def to_dict(self) -> dict[str, Figure]:
        """The figures as a new dict: floats, ints, text, aware datetimes and timedeltas, None where absent."""
        return dict(self._values)

    def basis(self, label: str) -> str:
        """What stands beside a label: the period of the returns behind it, or nothing."""
        if label not in FROM_RETURNS:
            return ""
        if label not in ANNUALISED:
            return self.period
        if self.periods_per_year is None:
            return f"{self.period}, not annualised"
        return f"{self.period}, {self.periods_per_year:g} a year"

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """(label, value as text, basis) of every figure, in order; a missing value is `--`."""
        return [(label, figure_text(value), self.basis(label)) for label, value in self._values.items()]

    @property
    def leading(self) -> list[tuple[str, str, str]]:
        """(label, value as text, basis) of the figures that a page should open with, at most ten.

        With too few days to annualise, the page leads with P&L, P&L per fill and its standard error, fees, fill rate
        and mark-outs; else with return, risk and their ratio.
        """
        if self.periods_per_year is None:
            markouts = [label for label in self if label.startswith("Mark-out")]
            labels = ["P&L [$]", "P&L per Fill [$]", "Fees [$]", "Fill Rate [%]", *markouts]
            labels += ["Return [%]", "Max. Drawdown [%]", "# Fills"]
        else:
            labels = ["Return [%]", "Return (Ann.) [%]", "Volatility (Ann.) [%]", "Sharpe Ratio", "Max. Drawdown [%]"]
            labels += ["# Trades", "P&L [$]", "P&L per Fill [$]", "Fees [$]", "Fill Rate [%]"]
        rows = {label: (label, text, basis) for label, text, basis in self.rows}
        error = rows["P&L per Fill SE [$]"][1]
        if self["P&L per Fill SE [$]"] is not None:
            label, text, _ = rows["P&L per Fill [$]"]
            rows[label] = (label, f"{text} \N{PLUS-MINUS SIGN} {error}", "\N{PLUS-MINUS SIGN} standard error")
        return [rows[label] for label in labels]

    def __repr__(self) -> str:
        rows = self.rows
        wide = max(len(label) for label, _, _ in rows)
        across = max(len(text) for _, text, _ in rows)
        lines = [f"{label:<{wide}}  {text:>{across}}  {basis}".rstrip() for label, text, basis in rows]
        return "\n".join(lines + [f"Note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><th style='text-align:left;font-weight:normal'>{html.escape(label)}</th>"
            f"<td style='text-align:right;font-variant-numeric:tabular-nums'>{html.escape(text)}</td>"
            f"<td style='text-align:left;opacity:.7'>{html.escape(basis)}</td></tr>"
            for label, text, basis in self.rows
        )
        notes = "".join(f"<p style='margin:.2em 0'>{html.escape(note)}</p>" for note in self.notes)
        return f"<div><table>{body}</table>{notes}</div>"


def figure_text(value: Figure) -> str:
    """A figure as it is printed: grouped thousands, times in UTC to the second, `--` for None."""
    if value is None:
        return "--"
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, timedelta):
        return _duration_text(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1_000:
        return f"{value:,.2f}"
    return f"{value:.4f}" if size >= 0.001 or value == 0 else f"{value:.3g}"


def _duration_text(value: timedelta) -> str:
    seconds = value.total_seconds()
    if seconds == 0:
        return "0 s"
    if seconds < 0.001:
        return f"{seconds * 1e6:.3g} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = timedelta(days=value.days, seconds=value.seconds)
    days = f"{whole.days} day{'s' if whole.days != 1 else ''}"
    clock = timedelta(seconds=whole.seconds)
    if whole.days == 0:
        return f"{clock}".rjust(8, "0")
    return f"{days} {clock}".strip() if whole.seconds else days
