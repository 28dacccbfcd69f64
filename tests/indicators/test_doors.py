"""One kernel behind every door: columns, expressions, streams and chunks give the same bits."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cift.errors import InvalidParameter, NotSupported, ShapeMismatch, UnknownName
from cift.indicators import EMA, MACD, RSI, SMA, Bollinger, Indicator, Microprice, OrderFlowImbalance, Quote, Spread, kernel
from cift.indicators.sources import SOURCES, step_of

COUNTS = st.integers(9_000, 11_000)
HOLES = st.one_of(COUNTS, COUNTS, COUNTS, st.none())
INDICATORS: list[tuple[Indicator, dict[str, Any]]] = [
    (EMA(4), {}),
    (EMA(4, "first"), {}),
    (SMA(4), {}),
    (SMA(4), {"tick": "0.01"}),
    (Microprice(), {}),
    (Spread(), {"tick": "0.01"}),
    (OrderFlowImbalance(3), {}),
    (OrderFlowImbalance(3), {"lot": "0.01"}),
    (RSI(4), {}),
    (Bollinger(4, 2, "upper"), {}),
    (Bollinger(4, 2, "lower"), {"tick": "0.01"}),
    (MACD(2, 4, 3, "histogram"), {}),
]


def bits(values: Any) -> bytes:
    """The bytes of float64 values, every NaN written alike."""
    array = np.array(values, dtype=np.float64)
    array[np.isnan(array)] = math.nan
    return array.tobytes()


# ------------------------------------------------------------------ the same bits


@pytest.mark.parametrize(("indicator", "grid"), INDICATORS, ids=str)
@given(data=st.data())
def test_batch_stream_and_chunks_agree_to_the_last_bit(indicator: Indicator, grid: dict[str, Any], data: Any) -> None:
    width = len(indicator.inputs)
    rows = data.draw(st.lists(st.tuples(*[HOLES] * width), max_size=60))
    columns = [np.array([math.nan if row[i] is None else row[i] / 100 for row in rows]) for i in range(width)]
    batch = indicator(*columns, **grid)

    stream = indicator.stream(**grid)
    streamed, ready = [], []
    for row in zip(*columns, strict=True):
        streamed.append(stream.update(float(row[0]) if width == 1 else tuple(map(float, row))))
        assert bits([stream.value]) == bits([streamed[-1]])
        ready.append(stream.ready)
    assert bits(streamed) == bits(batch)
    observed = np.cumsum(~np.isnan(np.array(columns).reshape(width, -1)).any(axis=0))
    assert ready == (observed > indicator.lookback).tolist()

    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    runner = indicator.runner(**grid)
    chunked: list[float] = []
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        chunked += runner.run(tuple(column[start:end] for column in columns)).tolist()
        continued = indicator.runner(**grid)
        continued.state = pickle.loads(pickle.dumps(runner.state))
        assert continued.ready == runner.ready
        runner = continued
    assert bits(chunked) == bits(batch)


def test_none_is_no_observation_in_a_stream() -> None:
    stream = EMA(2, "first").stream()
    assert [stream.update(1.0), stream.ready] == [1.0, True]
    assert math.isnan(stream.update(None))
    assert stream.update(1.0) == 1.0
    assert math.isnan(Spread().stream().update(None))


def test_two_streams_of_one_indicator_do_not_share_their_windows() -> None:
    indicator = SMA(2)
    one, other = indicator.stream(), indicator.stream()
    one.update(1.0)
    other.update(5.0)
    assert (one.update(3.0), other.update(7.0)) == (2.0, 6.0)


def test_a_state_of_another_indicator_is_refused() -> None:
    runner = SMA(3).runner()
    with pytest.raises(ShapeMismatch, match="another indicator"):
        runner.state = SMA(4).runner().state


# ------------------------------------------------------------------ kinds of columns


def test_a_column_comes_back_in_its_own_kind() -> None:
    expected = [math.nan, 1.5, 2.5]
    arrow = SMA(2)(pa.array([1, 2, 3]))
    chunked = SMA(2)(pa.chunked_array([[1.0], [2.0, 3.0]]))
    series = SMA(2)(pl.Series("mid", [1, 2, 3]))
    pandas = SMA(2)(pd.Series([1, 2, 3], index=["a", "b", "c"], name="mid"))
    array = SMA(2)(np.array([1, 2, 3], dtype=np.int32))
    answer = SMA(2)([1, 2, 3])
    assert isinstance(arrow, pa.DoubleArray)
    assert isinstance(chunked, pa.ChunkedArray)
    assert isinstance(series, pl.Series)
    assert series.name == "mid"
    assert isinstance(pandas, pd.Series)
    assert (pandas.name, list(pandas.index)) == ("mid", ["a", "b", "c"])
    assert isinstance(array, np.ndarray)
    assert isinstance(answer, list)
    for given_back in (arrow.to_pylist(), chunked.to_pylist(), series.to_list(), pandas.tolist(), array, answer):
        assert bits(given_back) == bits(expected)


@pytest.mark.parametrize(
    "column",
    [
        [1.0, None, 3.0],
        np.array([1.0, math.nan, 3.0]),
        pl.Series([1.0, None, 3.0]),
        pl.Series([1, None, 3]),
        pl.concat([pl.Series([1.0, None]), pl.Series([3.0])], rechunk=False),
        pa.array([1.0, None, 3.0]),
        pa.array([1, None, 3]),
        pd.Series([1.0, None, 3.0]),
        pd.Series([1, None, 3], dtype="Int64"),
        pl.Series([Decimal(1), None, Decimal(3)]),
        [Decimal(1), None, Decimal(3)],
        np.array([9, 1, 9, math.nan, 9, 3.0])[1::2],
    ],
    ids=lambda column: type(column).__module__.partition(".")[0],
)
def test_null_and_nan_are_no_observation(column: Any) -> None:
    assert bits(EMA(2, "first")(column)) == bits([1.0, math.nan, 1.0 + 2 / 3 * 2])


def test_a_quote_may_come_as_a_frame() -> None:
    data = {"bid_price": [1.0, 1.0], "bid_size": [1, 3], "ask_price": [2.0, 2.0], "ask_size": [1, 1], "flags": [0, 0]}
    for frame in (pl.DataFrame(data), pd.DataFrame(data), pa.table(data)):
        assert list(map(float, Microprice()(frame))) == [1.5, 1.75]
    assert Microprice()(pl.DataFrame(data)).name == "Microprice()"
    with pytest.raises(ShapeMismatch, match="has no \\['ask_size'\\]"):
        Microprice()(pl.DataFrame(data).drop("ask_size"))


# ------------------------------------------------------------------ polars


@pytest.fixture
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    return pl.DataFrame(
        {
            "mid": np.round(rng.normal(size=5_000).cumsum() + 100, 2),
            "symbol": rng.choice(["A", "B", "C"], size=5_000),
            "row": np.arange(5_000),
        }
    ).with_columns(mid=pl.when(pl.col("row") % 97 == 5).then(None).otherwise(pl.col("mid")))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("pieces", [1, 7])
def test_an_expression_gives_the_column(frame: pl.DataFrame, engine: Any, pieces: int) -> None:
    cut = pl.concat(list(frame.iter_slices(5_000 // pieces + 1)), rechunk=False)
    assert cut["mid"].n_chunks() == pieces
    got = cut.lazy().with_columns(ema=EMA(10).expr("mid"), sma=SMA(10).expr(pl.col("mid"), tick="0.01"))
    answer = got.collect(engine=engine)
    assert answer.schema["ema"] == pl.Float64
    assert bits(answer["ema"]) == bits(EMA(10)(frame["mid"]))
    assert bits(answer["sma"]) == bits(SMA(10)(frame["mid"], tick="0.01"))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_what_follows_an_expression_does_not_cut_its_past(frame: pl.DataFrame, engine: Any) -> None:
    expected = frame.with_columns(ema=EMA(10)(frame["mid"]))
    lazy = frame.lazy().with_columns(ema=EMA(10).expr("mid"))
    for query, want in (
        (lazy.slice(100, 50), expected.slice(100, 50)),
        (lazy.tail(7), expected.tail(7)),
        (lazy.filter(pl.col("symbol") == "B"), expected.filter(pl.col("symbol") == "B")),
        (lazy.filter(pl.col("row") > 900).head(5), expected.filter(pl.col("row") > 900).head(5)),
    ):
        assert bits(query.collect(engine=engine)["ema"]) == bits(want["ema"])


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_over_runs_each_group_by_itself(frame: pl.DataFrame, engine: Any) -> None:
    answer = frame.lazy().with_columns(ema=EMA(10).expr("mid").over("symbol")).collect(engine=engine)
    grouped = frame.lazy().group_by("symbol").agg(EMA(10).expr("mid").alias("ema")).collect(engine=engine)
    for symbol in "ABC":
        alone = EMA(10)(frame.filter(pl.col("symbol") == symbol)["mid"])
        assert bits(answer.filter(pl.col("symbol") == symbol)["ema"]) == bits(alone)
        assert bits(grouped.filter(pl.col("symbol") == symbol)["ema"].item()) == bits(alone)


def test_an_expression_of_a_quote_reads_its_four_columns() -> None:
    quotes = pl.DataFrame({"bid_price": [1.0, 1.0], "bid_size": [1, 3], "ask_price": [2.0, 2.0], "ask_size": [1, 1]})
    assert quotes.select(Microprice().expr())["Microprice()"].to_list() == [1.5, 1.75]
    renamed = quotes.rename({"bid_size": "size"})
    answer = renamed.select(Microprice().expr("bid_price", "size", "ask_price", "ask_size"))
    assert answer.to_series().to_list() == [1.5, 1.75]


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "make",
    [
        lambda: EMA(0),
        lambda: EMA(-3),
        lambda: EMA("a"),  # type: ignore[arg-type]
        lambda: EMA(2.5),  # type: ignore[arg-type]
        lambda: EMA(True),
        lambda: EMA(None),  # type: ignore[arg-type]
        lambda: EMA(3, seed="last"),  # type: ignore[arg-type]
        lambda: SMA(0),
        lambda: SMA(1.0),  # type: ignore[arg-type]
        lambda: OrderFlowImbalance(0),
        lambda: SMA(2).runner(tick=0),
        lambda: SMA(2).runner(tick="a"),
        lambda: SMA(2)(["a", "b"]),
        lambda: SMA(2)([True, False]),
        lambda: SMA(2)(pl.Series(["1", "2"])),
    ],
)
def test_a_parameter_out_of_range_or_of_another_type_is_refused(make: Any) -> None:
    with pytest.raises(InvalidParameter):
        make()


def test_columns_that_do_not_fit_are_refused() -> None:
    ones = np.ones(3)
    with pytest.raises(ShapeMismatch, match="bid_price 3, bid_size 3, ask_price 2, ask_size 3"):
        Microprice()(ones, ones, np.ones(2), ones)
    with pytest.raises(ShapeMismatch, match="reads 4 columns"):
        Spread()(ones)
    with pytest.raises(ShapeMismatch, match="1 columns"):
        EMA(2)(ones, ones)
    with pytest.raises(ShapeMismatch, match=r"shape \(3, 1\)"):
        EMA(2)(np.ones((3, 1)))
    with pytest.raises(ShapeMismatch):
        Spread().runner().run((ones, ones))
    with pytest.raises(ShapeMismatch):
        Spread().stream().update((1.0, 2.0))
    with pytest.raises(InvalidParameter, match=r"takes \(mid\) at each update"):
        EMA(2).stream().update("1")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="takes"):
        Spread().stream().update(1.0)
    with pytest.raises(ShapeMismatch):
        EMA(2).expr()


def test_a_misspelt_source_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'mid'"):
        EMA(2).source("midd")
    with pytest.raises(InvalidParameter, match="reads one column"):
        EMA(2).source("quote")
    with pytest.raises(InvalidParameter, match="four columns of a quote"):
        Microprice().source("mid")
    assert [EMA(2).source(), EMA(2).source("close"), Microprice().source("quote")] == ["mid", "close", "quote"]


def test_each_source_has_its_step() -> None:
    steps = {on: step_of(on, "0.01", "0.1") for on in SOURCES}
    assert {on: None if step is None else str(step) for on, step in steps.items()} == {
        "quote": "0.01",
        "mid": "0.005",
        "spread": "0.01",
        "microprice": None,
        "price": "0.01",
        "size": "0.1",
        "close": "0.01",
    }


# ------------------------------------------------------------------ one's own


class Held(NamedTuple):
    best: float = -math.inf
    rows: int = 0
    rising: bool = False


def larger(one: float, other: float) -> float:
    return one if one > other else other


@kernel(on="price", lookback=lambda skip: skip, memory=None)
def Peak(state: Held, x: float, skip: int = 0, scale: float = 1.0) -> tuple[Held, float]:  # noqa: N802
    """The highest value so far, times `scale`."""
    best = larger(state.best, x)
    return Held(best, state.rows + 1, x > state.best), best * scale


class Past(NamedTuple):
    values: np.ndarray[Any, Any]
    at: int


@kernel(
    on="mid",
    lookback=lambda n: n,
    memory=lambda n: n,
    start=lambda n: Past(np.zeros(n), 0),
)
def Momentum(state: Past, x: float, n: int) -> tuple[Past, float]:  # noqa: N802
    """Change over `n` rows."""
    old = state.values[state.at]
    state.values[state.at] = x
    return Past(state.values, (state.at + 1) % n), x - old


@kernel(on="quote", lookback=0, memory=0)
def Imbalance(state: Held, quote: Quote) -> tuple[Held, float]:  # noqa: N802
    return state, (quote.bid_size - quote.ask_size) / (quote.bid_size + quote.ask_size)


def test_a_function_becomes_an_indicator() -> None:
    assert Peak()([3.0, 1.0, 4.0]) == [3.0, 3.0, 4.0]
    assert bits(Peak(1, scale=2)([3.0, 1.0, 4.0])) == bits([math.nan, 6.0, 8.0])
    assert bits(Momentum(2)([1.0, 2.0, 4.0, 8.0])) == bits([math.nan, math.nan, 3.0, 6.0])
    assert Imbalance()([1.0], [3.0], [2.0], [1.0]) == [0.5]
    peak = Peak(skip=3)
    assert (peak.lookback, peak.memory, peak.on, repr(peak)) == (3, None, "price", "Peak(3, 1.0)")
    assert Momentum(4).memory == 4
    assert Momentum.__doc__ == "Change over `n` rows."


@given(values=st.lists(COUNTS, max_size=40), chunk=st.integers(1, 10))
def test_ones_own_indicator_streams_and_chunks_like_a_shipped_one(values: list[int], chunk: int) -> None:
    column = np.array(values, dtype=np.float64)
    runner, stream = Momentum(3).runner(), Momentum(3).stream()
    chunked = [v for at in range(0, len(values), chunk) for v in runner.run((column[at : at + chunk],))]
    assert bits(chunked) == bits(Momentum(3)(column)) == bits([stream.update(float(x)) for x in values])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Peak("3"), "skip must be int"),  # type: ignore[arg-type]
        (lambda: Peak(1.5), "skip must be int"),  # type: ignore[arg-type]
        (lambda: Peak(True), "skip must be int"),
        (lambda: Peak(scale="x"), "scale must be float"),  # type: ignore[arg-type]
        (lambda: Peak(speed=1), "unexpected keyword argument 'speed'"),  # type: ignore[call-arg]
        (lambda: Momentum(), "missing a required argument: 'n'"),  # type: ignore[call-arg]
        (lambda: Peak(-1), "lookback must be a whole number"),
    ],
)
def test_its_parameters_are_checked(make: Any, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        make()


def test_its_shape_is_checked() -> None:
    with pytest.raises(UnknownName, match="did you mean 'quote'"):
        kernel(on="quotes", lookback=0, memory=0)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="annotate its first argument"):
        kernel(on="mid", lookback=0, memory=0)(lambda state, x: (state, x))
    with pytest.raises(InvalidParameter, match=r"must take \(state, x"):
        kernel(on="mid", lookback=0, memory=0)(lambda state: (state, 0.0))  # type: ignore[arg-type, misc]

    class Listed(NamedTuple):
        values: list[float]

    def unsuited(state: Listed, x: float) -> tuple[Listed, float]:
        return Listed(state.values), x

    with pytest.raises(InvalidParameter, match="the field values of its state is no number"):
        kernel(on="mid", lookback=0, memory=0)(unsuited)
    with pytest.raises(InvalidParameter, match="the field values of its state must be"):
        kernel(on="mid", lookback=0, memory=0, start=lambda: Listed([]))(unsuited)()([1.0])


def test_what_cannot_be_compiled_says_why_in_one_sentence() -> None:
    @kernel(on="mid", lookback=0, memory=0)
    def Printed(state: Held, x: float) -> tuple[Held, float]:  # noqa: N802
        return state, missing_name + x  # type: ignore[name-defined]  # noqa: F821

    @kernel(on="mid", lookback=0, memory=0)
    def Allocating(state: Held, x: float) -> tuple[Held, float]:  # noqa: N802
        return state, np.zeros(3).sum() + x

    with pytest.raises(NotSupported, match=r"Printed cannot be compiled: .*missing_name"):
        Printed()([1.0])
    with pytest.raises(NotSupported, match="Allocating"):
        Allocating()([1.0])


def test_an_update_that_raises_ends_the_run_with_a_sentence() -> None:
    @kernel(on="mid", lookback=0, memory=0)
    def Strict(state: Held, x: float) -> tuple[Held, float]:  # noqa: N802
        if x < 0:
            raise ValueError("negative")
        return state, x

    assert Strict()([1.0]) == [1.0]
    with pytest.raises(InvalidParameter, match="may only compute"):
        Strict()([1.0, -1.0])


# ------------------------------------------------------------------ identity and pickling


@pytest.mark.parametrize(
    "indicator", [EMA(3), EMA(3, "first"), SMA(4), Spread(), OrderFlowImbalance(2), Peak(2), Momentum(3)], ids=str
)
def test_an_indicator_survives_pickling(indicator: Indicator) -> None:
    columns = [np.arange(1.0, 9.0)] * len(indicator.inputs)
    for copy in (pickle.loads(pickle.dumps(indicator)), cloudpickle.loads(cloudpickle.dumps(indicator))):  # type: ignore[no-untyped-call]
        assert (copy, hash(copy), repr(copy)) == (indicator, hash(indicator), repr(indicator))
        assert bits(copy(*columns)) == bits(indicator(*columns))


def test_indicators_are_equal_by_kind_and_parameters() -> None:
    assert EMA(3) == EMA(3, seed="sma") != EMA(3, seed="first")
    assert EMA(3) != SMA(3)
    assert len({EMA(3), EMA(3), EMA(4), SMA(3)}) == 3
