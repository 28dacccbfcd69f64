"""What a chart carries: below 5,000 rows, with the peaks, in UTC, without touching the user's choices."""

import subprocess
import sys
import warnings

import altair as alt
import numpy as np
import polars as pl
import pytest

from cift.errors import InvalidParameter, MissingExtra, UnknownName
from cift.report import charts

from .frames import CASH, DAY_S, START_NS, run_frames, stamped


def rows_of(chart) -> int:
    return sum(len(rows) for rows in chart.to_dict()["datasets"].values())


def values_of(chart, field: str) -> list[float]:
    return [row[field] for rows in chart.to_dict()["datasets"].values() for row in rows if field in row]


def titles_of(chart) -> list[str]:
    """The titles of the y axes, from the top."""
    panels = []
    for panel in chart.to_dict()["vconcat"]:
        first = panel["layer"][0] if "layer" in panel else panel
        panels.append(first["encoding"]["y"]["title"])
    return panels


def subtitle_of(chart) -> str:
    return " ".join(chart.to_dict()["title"]["subtitle"])


@pytest.mark.parametrize(("seconds", "fills"), [(600, 0), (600, 1), (DAY_S, 40), (DAY_S, 5_000), (365 * DAY_S, 20_000)])
def test_a_chart_stays_below_5000_rows(seconds, fills):
    chart = charts.plot(**run_frames(seconds=seconds, fills=fills))
    assert 0 < rows_of(chart) < 5_000


@pytest.mark.parametrize("buckets", [1, 7, 320])
@pytest.mark.parametrize("row", [0, 1, 499_999, 500_000, 999_999])
@pytest.mark.parametrize("spike", [50.0, -50.0])
def test_a_spike_survives_thinning(buckets, row, spike):
    value = np.sin(np.arange(1_000_000) / 1e5)
    value[row] = spike
    few = charts.thin(stamped(START_NS + np.arange(1_000_000) * 10**6, value=value), "value", buckets)
    assert few.height <= 3 * buckets + 3
    assert spike in few["value"].to_list()
    assert few["ts"].is_sorted()
    assert few["value"][-1] == value[-1]


def test_a_spike_in_equity_and_the_drawdown_after_it_are_drawn():
    frames = run_frames(seconds=DAY_S, fills=3)
    value = frames["equity"]["equity"].to_numpy().copy()
    value[40_000] = 2 * CASH
    value[40_001] = CASH / 2
    chart = charts.plot(**(frames | {"equity": frames["equity"].with_columns(equity=value)}))
    assert 2 * CASH in values_of(chart, "equity")
    assert min(values_of(chart, "drawdown")) == pytest.approx(-75.0)


def test_thinning_leaves_short_series_alone():
    frame = stamped(START_NS + np.arange(10), value=np.arange(10.0))
    assert charts.thin(frame, "value", 320).equals(frame)


def test_thinned_rows_are_real_rows_in_order():
    rng = np.random.default_rng(1)
    frame = stamped(START_NS + np.sort(rng.integers(0, 10**12, 5_000)), value=rng.normal(size=5_000))
    few = charts.thin(frame, "value", 50)
    assert few.join(frame, on=["ts", "value"], how="anti").height == 0
    # Every bucket keeps its extremes: compared with a slow walk over the same buckets.
    ns = frame["ts"].dt.timestamp("ns").to_numpy()
    width = -(-(ns[-1] - ns[0] + 1) // 50)
    kept = set(few["value"].to_list())
    for bucket in range(50):
        inside = frame["value"].to_numpy()[(ns - ns[0]) // width == bucket]
        if len(inside):
            assert {inside.min(), inside.max(), inside[-1]} <= kept


def test_many_fills_keep_their_extremes_and_their_number():
    frames = run_frames(seconds=DAY_S, fills=10_000, prices=100_000)
    fills = frames["fills"].with_columns(price=pl.when(pl.int_range(pl.len()) == 5_000).then(500.0).otherwise("price"))
    few = charts.thin_fills(fills.select("ts", "side", "price", "size"), 200)
    assert few.height <= 800
    assert few["price"].max() == 500.0
    drawn = few.unique(subset=["side", "fills", "size"], maintain_order=True)
    assert drawn.filter(pl.col("side") == "buy")["fills"].sum() <= fills.filter(pl.col("side") == "buy").height
    assert few["fills"].max() > 1
    chart = charts.plot(**(frames | {"fills": fills}))
    assert 500.0 in values_of(chart, "price")
    assert "10,000 fills" in subtitle_of(chart)


def test_panels_stand_in_order_and_carry_units():
    chart = charts.plot(**run_frames(seconds=600, fills=5), currency="EUR")
    assert titles_of(chart) == ["price (EUR)", "position (units)", "equity (EUR)", "drawdown (%)"]


def test_time_is_drawn_in_utc_over_the_whole_period():
    frames = run_frames(seconds=600, fills=5)
    spec = charts.plot(**frames).to_dict()
    domain = [START_NS / 1e6, frames["end_ns"] / 1e6]
    for panel in spec["vconcat"]:
        assert panel["encoding"]["x"]["scale"] == {"domain": domain, "nice": False, "type": "utc"}
    shown = [panel["encoding"]["x"]["axis"]["labels"] for panel in spec["vconcat"]]
    assert shown == [False, False, False, True]
    assert spec["vconcat"][-1]["encoding"]["x"]["axis"]["title"] == "time (UTC)"
    assert "2026-01-05 00:00 to 2026-01-05 00:10 UTC" in subtitle_of(charts.plot(**frames))


@pytest.mark.parametrize(
    ("missing", "panels", "sentence"),
    [
        ({"prices": None}, ["price (USD)", "position (units)", "equity (USD)", "drawdown (%)"], "fills are drawn alone"),
        ({"fills": None, "positions": None}, ["price (USD)", "equity (USD)", "drawdown (%)"], "No fills were made"),
        ({"positions": None}, ["price (USD)", "equity (USD)", "drawdown (%)"], "No positions were given"),
        ({"fills": None, "prices": None, "positions": None}, ["equity (USD)", "drawdown (%)"], "No fills and no prices"),
    ],
)
def test_a_missing_part_is_left_out_with_a_sentence(missing, panels, sentence):
    chart = charts.plot(**(run_frames(seconds=600, fills=5) | missing))
    assert titles_of(chart) == panels
    assert sentence in subtitle_of(chart)


def test_empty_frames_count_as_missing():
    frames = run_frames(seconds=600, fills=5)
    empty = {name: frames[name].clear() for name in ("fills", "positions", "prices")}
    assert titles_of(charts.plot(**(frames | empty))) == ["equity (USD)", "drawdown (%)"]


def test_nothing_at_all_still_gives_a_chart_that_says_so():
    chart = charts.plot(equity=stamped([], equity=np.empty(0)), start_ns=0, end_ns=10**9, initial_cash=1.0)
    assert "No equity was kept" in subtitle_of(chart)
    assert values_of(chart, "text") == ["Nothing to draw"]


def test_several_values_of_one_instant_are_not_stacked():
    frames = run_frames(seconds=600, fills=3)
    first = frames["positions"].head(1)
    frames["positions"] = pl.concat([first, first.with_columns(position=-pl.col("position")), frames["positions"].tail(2)])
    marks = []
    for panel in charts.plot(**frames).to_dict()["vconcat"]:
        marks += panel.get("layer", [panel])
    areas = [mark for mark in marks if mark["mark"]["type"] == "area"]
    assert len(areas) == 2
    assert [area["encoding"]["y"]["stack"] for area in areas] == [False, False]


def test_flat_equity_has_a_range_to_be_drawn_in():
    frames = run_frames(seconds=600, fills=0)
    panels = charts.plot(**frames).to_dict()["vconcat"]
    low, high = panels[-2]["layer"][1]["encoding"]["y"]["scale"]["domain"]
    assert low < CASH < high
    low, high = panels[-1]["encoding"]["y"]["scale"]["domain"]
    assert low < 0 == high


def test_with_several_symbols_the_busiest_is_drawn_or_the_one_asked_for():
    one = run_frames(seconds=600, fills=5, symbol="A.SIM")
    two = run_frames(seconds=600, fills=9, symbol="B.SIM", seed=2)
    both = one | {name: pl.concat([one[name], two[name]]).sort("ts") for name in ("fills", "positions", "prices")}
    chart = charts.plot(**both)
    assert chart.to_dict()["title"]["text"] == "B.SIM"
    assert len(values_of(chart, "fills")) == 9
    assert "one of 2 symbols" in subtitle_of(chart)
    assert len(values_of(charts.plot(**both, symbol="A.SIM"), "fills")) == 5
    with pytest.raises(UnknownName, match=r"'C.SIM' .* there are B.SIM, A.SIM"):
        charts.plot(**both, symbol="C.SIM")


def test_an_empty_period_is_refused():
    frames = run_frames(seconds=600, fills=5)
    with pytest.raises(InvalidParameter, match="ends"):
        charts.plot(**(frames | {"end_ns": START_NS}))


def test_charts_join_beside_and_below():
    chart = charts.plot(**run_frames(seconds=600, fills=5))
    assert (chart | chart).to_dict()["hconcat"]
    assert (chart & chart).to_dict()["vconcat"]


@pytest.mark.parametrize("fills", [0, 1, 300])
def test_a_chart_becomes_svg_without_a_browser(tmp_path, fills):
    path = tmp_path / "chart.svg"
    charts.plot(**run_frames(seconds=600, fills=fills)).save(path)
    text = path.read_text()
    assert "time (UTC)" in text
    assert "NaN" not in text


@pytest.mark.parametrize(
    ("seconds", "form"),
    [
        (60, "%H:%M:%S"),
        (600, "%H:%M"),
        (DAY_S, "%H:%M"),
        (7 * DAY_S, "%d %b %H:%M"),
        (90 * DAY_S, "%d %b"),
        (366 * DAY_S, "%b %Y"),
    ],
)
def test_time_labels_suit_the_span(seconds, form):
    spec = charts.plot(**run_frames(seconds=seconds, fills=1, prices=1_000)).to_dict()
    assert spec["vconcat"][-1]["encoding"]["x"]["axis"]["format"] == form


# ------------------------------------------------------------------ renderer and widget


@pytest.fixture
def fresh_renderer(monkeypatch):
    monkeypatch.setattr(charts, "_renderer_considered", False)
    before = alt.renderers.active
    yield
    alt.renderers.enable(before)


@pytest.mark.usefixtures("fresh_renderer")
def test_the_first_plot_replaces_the_default_renderer():
    alt.renderers.enable("default")
    charts.plot(**run_frames(seconds=600, fills=1))
    assert alt.renderers.active == "svg"


@pytest.mark.usefixtures("fresh_renderer")
def test_a_renderer_that_the_user_chose_stays():
    alt.renderers.enable("png")
    charts.plot(**run_frames(seconds=600, fills=1))
    assert alt.renderers.active == "png"


@pytest.mark.usefixtures("fresh_renderer")
def test_a_user_may_go_back_to_the_default():
    alt.renderers.enable("default")
    charts.set_renderer()
    alt.renderers.enable("default")
    charts.set_renderer()
    assert alt.renderers.active == "default"


def test_importing_the_report_loads_no_heavy_library():
    code = (
        "import sys, cift.report.charts, cift.report.summary, cift.report.tearsheet, cift.research.statistics;"
        "print([m for m in ('altair', 'polars', 'pyarrow', 'duckdb', 'numba', 'vl_convert') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_widget_zooms_and_asks_for_nothing_from_the_network():
    pytest.importorskip("anywidget")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        widget = charts.interactive(charts.plot(**run_frames(seconds=600, fills=3)))
    [zoom] = widget.spec["params"]
    assert zoom["bind"] == "scales"
    assert zoom["select"]["encodings"] == ["x"]
    assert len(zoom["views"]) >= 4
    source = str(widget._esm)
    assert len(source) > 100_000
    assert "https://esm.sh" not in source


def test_a_chart_with_its_own_selection_is_left_as_it_is():
    pytest.importorskip("anywidget")
    own = alt.selection_point(name="mine")
    frame = pl.DataFrame({"a": [1, 2]})
    widget = charts.interactive(alt.Chart(frame).mark_point().encode(x="a").add_params(own))
    assert [param["name"] for param in widget.spec["params"]] == ["mine"]


def test_without_anywidget_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtra, match=r'pip install "cift-markets\[notebook\]"'):
        charts.interactive(alt.Chart(pl.DataFrame({"a": [1]})).mark_point())
