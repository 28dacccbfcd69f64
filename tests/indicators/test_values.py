"""Values against slow references, other tools' files, and the laws of looking back (reliability D4, D5, U7)."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cift.errors import InvalidParameter, OffTickPrice
from cift.indicators import EMA, MACD, RSI, SMA, Bollinger, Indicator, Microprice, OrderFlowImbalance, Spread

N = 14
RELATIVE = 1e-9
LENGTHS = (0, 1, N - 1, N, N + 1, 1_000)


def prices(seed: int, rows: int) -> np.ndarray[Any, Any]:
    """A random walk on cents that stays near 100 (a mean of zero has no relative error), for odd seeds off any grid."""
    scale = min(0.05, 10 / math.sqrt(max(rows, 1)))
    walk = np.random.default_rng(seed).normal(scale=scale, size=rows).cumsum() + 100.0
    return walk if seed % 2 else np.round(walk, 2)


def quotes(seed: int, rows: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Bid price and size, ask price and size; about one row in three moves a price."""
    rng = np.random.default_rng(seed)
    bid_ticks = 10_000 + rng.choice([-1, 0, 0, 0, 1], size=rows).cumsum()
    ask_ticks = bid_ticks + rng.integers(1, 4, size=rows)
    sizes = rng.integers(1, 20, size=(2, rows)) / 10
    return bid_ticks / 100, sizes[0], ask_ticks / 100, sizes[1]


def columns_for(indicator: Indicator, seed: int, rows: int) -> tuple[np.ndarray[Any, Any], ...]:
    return quotes(seed, rows) if indicator.on == "quote" else (prices(seed, rows),)


# ------------------------------------------------------------------ slow references


def slow_ema(column: list[float], n: int, seed: str) -> list[float]:
    answer, value, weight = [], math.nan, 2 / (n + 1)
    for row, x in enumerate(column):
        if seed == "first":
            value = x if row == 0 else value + weight * (x - value)
        elif row == n - 1:
            value = 0.0
            for earlier in column[:n]:
                value += earlier
            value /= n
        elif row >= n:
            value = value + weight * (x - value)
        answer.append(value)
    return answer


def slow_sma(column: list[float], n: int) -> list[float]:
    return [math.fsum(column[row - n + 1 : row + 1]) / n if row >= n - 1 else math.nan for row in range(len(column))]


def slow_flow(columns: tuple[list[float], ...], window: int) -> list[float]:
    rows = list(zip(*columns, strict=True))
    flows: list[float] = []
    for (bid0, bid_size0, ask0, ask_size0), (bid, bid_size, ask, ask_size) in pairwise(rows):
        flow = 0.0
        if bid >= bid0:
            flow += bid_size
        if bid <= bid0:
            flow -= bid_size0
        if ask <= ask0:
            flow -= ask_size
        if ask >= ask0:
            flow += ask_size0
        flows.append(flow)
    return [math.fsum(flows[row - window : row]) if row >= window else math.nan for row in range(len(rows))]


def assert_close(answer: np.ndarray[Any, Any], expected: list[float], absolute: float = 0.0) -> None:
    want = np.array(expected, dtype=np.float64)
    np.testing.assert_array_equal(np.isnan(answer), np.isnan(want))
    np.testing.assert_allclose(answer, want, rtol=RELATIVE, atol=absolute)


# ------------------------------------------------------------------ U7


@pytest.mark.parametrize("rows", LENGTHS)
@pytest.mark.parametrize("seeding", ["sma", "first"])
def test_ema_has_the_bits_of_the_plain_recursion(rows: int, seeding: Any) -> None:
    for seed in range(100):
        column = prices(seed, rows)
        # Equal bits also say that no multiply and add were fused and nothing was reordered.
        np.testing.assert_array_equal(EMA(N, seeding)(column), slow_ema(column.tolist(), N, seeding))


@pytest.mark.parametrize("rows", LENGTHS)
def test_sma_is_the_mean_of_each_window(rows: int) -> None:
    for seed in range(100):
        column = prices(seed, rows)
        assert_close(SMA(N)(column), slow_sma(column.tolist(), N))


@pytest.mark.parametrize("rows", LENGTHS)
def test_order_flow_is_the_sum_of_its_changes(rows: int) -> None:
    for seed in range(100):
        columns = quotes(seed, rows)
        expected = slow_flow(tuple(column.tolist() for column in columns), N)
        assert_close(OrderFlowImbalance(N)(*columns), expected, absolute=1e-12)
        assert_close(OrderFlowImbalance(N)(*columns, lot="0.1"), expected, absolute=1e-12)


def check_a_million_rows(seed: int) -> None:
    column = prices(seed, 1_000_000)
    np.testing.assert_array_equal(EMA(N)(column), slow_ema(column.tolist(), N, "sma"))
    windows = np.lib.stride_tricks.sliding_window_view(column, N)
    expected = np.concatenate([np.full(N - 1, np.nan), windows.sum(axis=1) / N])
    np.testing.assert_allclose(SMA(N)(column), expected, rtol=RELATIVE)


@pytest.mark.parametrize("seed", range(4))
def test_a_million_rows_do_not_drift(seed: int) -> None:
    check_a_million_rows(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4, 100))
def test_a_million_rows_do_not_drift_in_100_series(seed: int) -> None:
    check_a_million_rows(seed)


# ------------------------------------------------------------------ other tools

BANDS = ("upper", "middle", "lower")
LINES = ("macd", "signal", "histogram")


def talib_answers(column: np.ndarray[Any, Any]) -> list[tuple[Indicator, np.ndarray[Any, Any]]]:
    """Indicators of ours, each with what TA-Lib gives."""
    talib = pytest.importorskip("talib")
    bands = talib.BBANDS(column, timeperiod=N, nbdevup=1.5, nbdevdn=1.5)
    lines = talib.MACD(column, fastperiod=5, slowperiod=N, signalperiod=4)
    return [
        (EMA(N), talib.EMA(column, N)),
        (SMA(N), talib.SMA(column, N)),
        (RSI(N), talib.RSI(column, N)),
        *((Bollinger(N, 1.5, band), answer) for band, answer in zip(BANDS, bands, strict=True)),  # type: ignore[arg-type]
        *((MACD(5, N, 4, line), answer) for line, answer in zip(LINES, lines, strict=True)),  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("rows", [*LENGTHS, N + 2, N + 3, N + 4])
def test_values_and_warm_up_equal_those_of_ta_lib(rows: int) -> None:
    for seed in range(100):
        column = prices(seed, rows)
        if rows == 0:
            continue  # TA-Lib takes no empty column
        for indicator, answer in talib_answers(column):
            # Bands and differences near zero have no relative error; TA-Lib takes the deviation from sums of squares.
            assert_close(indicator(column), answer.tolist(), absolute=1e-6 if isinstance(indicator, Bollinger) else 1e-11)


def test_an_empty_column_has_no_values() -> None:
    for indicator in (RSI(N), Bollinger(N), MACD()):
        assert len(indicator(np.empty(0))) == 0


def test_a_flat_column_has_no_strength_and_no_width() -> None:
    flat = np.full(60, 100.1)
    assert set(RSI(5)(flat)[5:]) == {0.0}
    assert set(Bollinger(5, band="width")(flat, tick="0.1")[4:]) == {0.0}
    assert np.isnan(Bollinger(5, band="percent")(flat, tick="0.1")).all()


def test_a_band_is_where_its_name_says() -> None:
    column = prices(3, 300)
    at = {band: Bollinger(20, 2, band)(column)[19:] for band in ("middle", "upper", "lower", "width", "percent")}  # type: ignore[arg-type]
    np.testing.assert_allclose(at["upper"] - at["middle"], at["middle"] - at["lower"], rtol=1e-9)
    np.testing.assert_allclose(at["width"], (at["upper"] - at["lower"]) / at["middle"], rtol=1e-9)
    np.testing.assert_allclose(at["percent"], (column[19:] - at["lower"]) / (at["upper"] - at["lower"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RSI(0), "n must be a whole number of at least 1"),
        (lambda: Bollinger(20, -1), "k must be a number of at least 0, not -1"),
        (lambda: Bollinger(20, math.nan), "k must be a number of at least 0"),
        (lambda: Bollinger(band="top"), "band must be one of middle, upper, lower, width, percent, not 'top'"),  # type: ignore[arg-type]
        (lambda: MACD(26, 12), "fast must be below slow, not 26 and 12"),
        (lambda: MACD(line="hist"), "line must be one of macd, signal, histogram"),  # type: ignore[arg-type]
        (lambda: MACD(1, 1 << 21), "lengths must be below 1,048,576"),
        (lambda: MACD(seed="zero"), "seed must be 'sma' or 'first'"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_parameter_says_what_was_expected(make: Any, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        make()


def test_momentum_and_bands_equal_tulip(real_data: Path) -> None:
    lines = (real_data / "indicators/tulip_untest.txt").read_text().splitlines()

    def case(name: str, outputs: int) -> list[list[float]]:
        at = lines.index(name)
        return [[float(v) for v in line.strip("{}").split(",")] for line in lines[at + 1 : at + 2 + outputs]]

    close, strength = case("rsi 5", 1)
    np.testing.assert_allclose(RSI(5)(close)[5:], strength, atol=5.0001e-4)
    close, lower, middle, upper = case("bbands 5 2", 3)
    for band, expected in (("lower", lower), ("middle", middle), ("upper", upper)):
        np.testing.assert_allclose(Bollinger(5, 2, band)(close, tick="0.01")[4:], expected, atol=5.0001e-4)  # type: ignore[arg-type]
    close, *answers = case("macd 2 5 9", 3)
    for line, expected in zip(LINES, answers, strict=True):
        np.testing.assert_allclose(MACD(2, 5, 9, line, seed="first")(close)[4:], expected, atol=5.0001e-4)  # type: ignore[arg-type]


def test_bollinger_bands_equal_the_spy_file(real_data: Path) -> None:
    with (real_data / "indicators/spy/spy_bollinger_bands.txt").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    close = np.array([float(row["Close"]) for row in rows])
    for name, band, scale in (("Top", "upper", 1), ("Bottom", "lower", 1), ("BandWidth", "width", 100), ("%B", "percent", 1)):
        (column,) = (key for key in rows[0] if key.endswith(name))
        expected = [float(row[column] or "nan") for row in rows]
        ours = Bollinger(20, 2, band)(close, tick="0.01") * scale  # type: ignore[arg-type]
        # Four decimals, some of them cut; the width is made of cut bands.
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-4 if band == "width" else 1.01e-4)


def test_macd_equals_the_spy_file_once_its_beginning_is_forgotten(real_data: Path) -> None:
    with (real_data / "indicators/spy/spy_with_macd.txt").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    close = np.array([float(row["Close"]) for row in rows])
    known = np.flatnonzero([row["MACD"] != "" for row in rows])[60:]
    assert len(known) > 100
    for name, line in (("MACD", "macd"), ("Signal", "signal"), ("Histogram", "histogram")):
        expected = [float(rows[row][name]) for row in known]
        np.testing.assert_allclose(MACD(12, 26, 9, line)(close)[known], expected, rtol=0, atol=1e-5)  # type: ignore[arg-type]


def test_ema_equals_the_spy_file(real_data: Path) -> None:
    with (real_data / "indicators/spy/spy_ema.csv").open() as file:
        rows = list(csv.DictReader(file))
    close = [float(row["close"]) for row in rows]
    assert len(close) == 364
    assert_close(EMA(14)(np.array(close)), [float(row["EMA14"]) for row in rows])


def test_sma_equals_the_middle_bollinger_band_of_spy(real_data: Path) -> None:
    with (real_data / "indicators/spy/spy_bollinger_bands.txt").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    close = np.array([float(row["Close"]) for row in rows])
    expected = [float(row["Moving Average 20"] or "nan") for row in rows]
    assert sum(not math.isnan(value) for value in expected) > 400
    np.testing.assert_allclose(SMA(20)(close, tick="0.01"), expected, rtol=0, atol=6e-5)  # the file has four decimals


def tulip(real_data: Path, name: str) -> tuple[list[float], list[float]]:
    lines = (real_data / "indicators/tulip_untest.txt").read_text().splitlines()
    at = lines.index(name)
    given, expected = ([float(v) for v in line.strip("{}").split(",")] for line in lines[at + 1 : at + 3])
    return given, expected


def test_ema_from_the_first_value_equals_tulip(real_data: Path) -> None:
    given, expected = tulip(real_data, "ema 5")
    np.testing.assert_allclose(EMA(5, seed="first")(given), expected, atol=5.0001e-4)  # three decimals


def test_sma_equals_tulip(real_data: Path) -> None:
    given, expected = tulip(real_data, "sma 5")
    np.testing.assert_allclose(SMA(5)(given, tick="0.01")[4:], expected, atol=5.0001e-4)


# ------------------------------------------------------------------ exact sums


@pytest.mark.parametrize(
    ("tick", "decimals"), [("0.01", 2), ("0.005", 3), (0.01, 2), ("0.25", 2), ("0.000025", 6), ("2.5", 1), (5, 0)]
)
def test_an_sma_in_ticks_is_the_exact_mean_rounded_once(tick: Any, decimals: int) -> None:
    step = Fraction(str(tick))
    ticks = np.random.default_rng(7).integers(9_000, 11_000, size=500).tolist()
    column = np.array([count * step.numerator / step.denominator for count in ticks])
    answer = SMA(N)(column, tick=tick)
    for row in range(N - 1, len(ticks)):
        assert answer[row] == float(Fraction(sum(ticks[row - N + 1 : row + 1])) * step / N)
    assert np.round(column, decimals).tolist() == column.tolist()


def test_equal_windows_tie_exactly_in_ticks_and_need_not_in_floats() -> None:
    column = np.round(100 + np.random.default_rng(3).integers(-30, 30, size=100_000) / 100, 2)
    quick, calm = SMA(10)(column, tick="0.01"), SMA(50)(column, tick="0.01")
    ticks = np.rint(column * 100).astype(np.int64)
    sums = {n: np.concatenate([np.zeros(n - 1), np.convolve(ticks, np.ones(n, np.int64), "valid")]) for n in (10, 50)}
    ties = (sums[10] * 5 == sums[50])[49:]
    assert ties.sum() > 50
    np.testing.assert_array_equal(quick[49:] == calm[49:], ties)
    assert (SMA(10)(column)[49:][ties] != SMA(50)(column)[49:][ties]).any()


def test_a_price_off_the_tick_is_named_and_changes_nothing() -> None:
    runner = SMA(2).runner(tick="0.01")
    runner.run((np.array([1.0, 1.01]),))
    before = runner.state
    with pytest.raises(OffTickPrice, match=r"row 1: mid 1\.005 is not a whole number of steps of 0\.01"):
        runner.run((np.array([1.0, 1.005]),))
    assert runner.state == before


@pytest.mark.parametrize("value", [math.inf, 1e18])
def test_what_no_integer_can_hold_is_refused_on_a_grid(value: float) -> None:
    with pytest.raises(OffTickPrice):
        SMA(2)([1.0, value], tick="0.01")


def test_a_spread_in_ticks_is_the_decimal() -> None:
    bid, ask = [100.01, 100.05, 0.07], [100.02, 100.07, 0.1]
    sizes = [1.0, 1.0, 1.0]
    assert Spread()(bid, sizes, ask, sizes, tick="0.01") == [0.01, 0.02, 0.03]
    assert Spread()(bid, sizes, ask, sizes) != [0.01, 0.02, 0.03]


def test_a_microprice_leans_to_the_side_with_less() -> None:
    assert Microprice()([10.0, 10.0, 10.0], [1.0, 3.0, 0.0], [11.0, 11.0, 11.0], [1.0, 1.0, 0.0])[:2] == [10.5, 10.75]
    assert math.isnan(Microprice()([10.0], [0.0], [11.0], [0.0])[0])


@pytest.mark.parametrize(
    ("after", "flow"),
    [
        ((10.0, 7.0, 11.0, 5.0), 2.0),  # the bid grows by 2
        ((10.0, 5.0, 11.0, 8.0), -3.0),  # the ask grows by 3
        ((10.5, 4.0, 11.0, 5.0), 4.0),  # a better bid of 4
        ((9.5, 4.0, 11.0, 5.0), -5.0),  # the bid of 5 is gone
        ((10.0, 5.0, 10.5, 4.0), -4.0),  # a better ask of 4
        ((10.0, 5.0, 11.5, 4.0), 5.0),  # the ask of 5 is gone
        ((10.0, 5.0, 11.0, 5.0), 0.0),
    ],
)
def test_order_flow_of_one_change(after: tuple[float, ...], flow: float) -> None:
    stream = OrderFlowImbalance().stream()
    assert math.isnan(stream.update((10.0, 5.0, 11.0, 5.0)))
    assert stream.update(after) == flow


# ------------------------------------------------------------------ constants, infinities, gaps


@pytest.mark.parametrize("indicator", [EMA(N, "first"), SMA(N)], ids=str)
def test_a_constant_column_stays_itself(indicator: Indicator) -> None:
    values = indicator(np.full(200, 100.125))
    assert set(values[indicator.lookback :].tolist()) == {100.125}


def test_an_infinity_that_left_the_window_has_left_no_trace() -> None:
    column = prices(1, 100)
    column[20] = math.inf
    clean = SMA(N)(np.concatenate([np.full(21, 1.0), column[21:]]))
    spoilt = SMA(N)(column)
    assert np.isposinf(spoilt[20 : 20 + N]).all()
    np.testing.assert_allclose(spoilt[20 + N :], clean[20 + N :], rtol=RELATIVE)


@pytest.mark.parametrize(
    "indicator",
    [
        EMA(5),
        EMA(5, "first"),
        SMA(5),
        RSI(5),
        Bollinger(5, 2, "lower"),
        MACD(3, 5, 2),
        OrderFlowImbalance(5),
        Microprice(),
        Spread(),
    ],
    ids=str,
)
def test_a_missing_value_is_no_observation(indicator: Indicator) -> None:
    columns = columns_for(indicator, 4, 200)
    missing = np.random.default_rng(0).random(200) < 0.3
    for column in range(len(columns)):
        holed = [np.array(c) for c in columns]
        holed[column][missing] = np.nan
        values = indicator(*holed)
        assert np.isnan(values[missing]).all()
        np.testing.assert_array_equal(values[~missing], indicator(*(c[~missing] for c in columns)))


# ------------------------------------------------------------------ D4 and D5

SHIPPED: list[tuple[Indicator, dict[str, Any]]] = [
    (EMA(10), {}),
    (EMA(10, "first"), {}),
    (EMA(1), {}),
    (SMA(10), {}),
    (SMA(10), {"tick": "0.01"}),
    (SMA(1), {}),
    (Microprice(), {}),
    (Spread(), {}),
    (Spread(), {"tick": "0.01"}),
    (OrderFlowImbalance(), {}),
    (OrderFlowImbalance(20), {"lot": "0.1"}),
    (OrderFlowImbalance(20), {}),
    (RSI(10), {}),
    (RSI(1), {}),
    (Bollinger(10), {}),
    (Bollinger(10, 1.5, "upper"), {"tick": "0.01"}),
    (Bollinger(10, 1.5, "width"), {}),
    (MACD(), {}),
    (MACD(3, 10, 4, "signal"), {}),
    (MACD(3, 10, 4, "histogram", "first"), {}),
]


@pytest.mark.parametrize(("indicator", "grid"), SHIPPED, ids=str)
def test_no_value_before_a_cut_knows_what_comes_after(indicator: Indicator, grid: dict[str, Any]) -> None:
    columns = columns_for(indicator, 8, 3_000)
    full = indicator(*columns, **grid)
    assert not np.isnan(full[indicator.lookback :]).any()
    assert np.isnan(full[: indicator.lookback]).all()
    for cut in np.random.default_rng(1).integers(0, 3_000, size=200):
        assert indicator(*(column[:cut] for column in columns), **grid).tobytes() == full[:cut].tobytes()
    for poison in (math.nan, 1e12):
        for cut in (1, 15, 1_500):
            spoilt = [np.concatenate([column[:cut], np.full(3_000 - cut, poison)]) for column in columns]
            assert indicator(*spoilt, **grid)[:cut].tobytes() == full[:cut].tobytes()


@pytest.mark.parametrize(("indicator", "grid"), SHIPPED, ids=str)
def test_what_lies_beyond_the_memory_does_not_matter(indicator: Indicator, grid: dict[str, Any]) -> None:
    columns = columns_for(indicator, 10, 4_000)
    last = indicator(*columns, **grid)[-1]
    assert indicator.memory is not None
    for more in (0, 1, 7, 100, 1_000):
        rows = indicator.memory + 1 + more
        value = indicator(*(column[-rows:] for column in columns), **grid)[-1]
        assert value == pytest.approx(last, rel=RELATIVE, abs=1e-12)


def test_a_memory_shorter_than_declared_would_be_seen() -> None:
    column = prices(10, 4_000)
    indicator = EMA(200)
    assert indicator.memory is not None
    short = indicator(column[-indicator.memory // 2 :])[-1]
    assert short != pytest.approx(indicator(column)[-1], rel=RELATIVE)
