"""The HTML that a notebook cell shows: small, escaped, well-formed."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import polars as pl
import pytest

from cift.report.summary import curve_svg, html, table_html

from .frames import CASH, DAY_S, START_NS, run_frames, stamped

LEADING = [(f"Figure {i}", "-1,234.5678", "hourly, not annualised") for i in range(10)]


def page(**changes) -> str:
    frames = run_frames(seconds=DAY_S, fills=500)
    given = {name: frames[name] for name in ("equity", "initial_cash", "start_ns", "end_ns")}
    return html(**({"title": "EmaCross", "leading": LEADING, "currency": "USD"} | given | changes))


def test_a_result_is_well_formed_and_small():
    text = page(subtitle="fast = 10", notes=["A note."] * 5)
    ElementTree.fromstring(text)
    assert len(text.encode()) < 30_000
    assert all(label in text for label, _, _ in LEADING)
    assert "2026-01-05 00:00 to 2026-01-06 00:00 UTC" in text


def test_text_is_escaped():
    bad = "<img src=x onerror=alert(1)> & 'quotes'"
    text = page(title=bad, subtitle=bad, notes=[bad], leading=[(bad, bad, bad)], currency=bad)
    ElementTree.fromstring(text)
    assert "<img" not in text


@pytest.mark.parametrize("equity", [None, stamped([], equity=np.empty(0))])
def test_without_equity_there_is_no_chart(equity):
    text = page(equity=equity)
    ElementTree.fromstring(text)
    assert "<svg" not in text
    assert "Figure 9" in text


def test_the_curve_keeps_its_extremes_in_at_most_300_points():
    value = np.full(1_000_000, CASH)
    value[123_456] = 2 * CASH
    value[654_321] = CASH / 2
    curve = curve_svg(stamped(START_NS + np.arange(1_000_000), equity=value), CASH, "USD", START_NS, START_NS + 10**6)
    path = ElementTree.fromstring(curve).find("path").attrib["d"]
    assert path.count("V") <= 303
    heights = [float(piece.partition("H")[0]) for piece in path.split("V")[1:]]
    assert min(heights) == pytest.approx(8.0)
    assert max(heights) == pytest.approx(110.0)
    assert "2,000,000" in curve
    assert "500,000" in curve


def test_a_flat_curve_lies_in_the_middle():
    curve = curve_svg(stamped([START_NS, START_NS + 9], equity=[CASH, CASH]), CASH, "USD", START_NS, START_NS + 10)
    assert curve.count("1,000,000.00") == 1
    assert "nan" not in curve


def test_rows_outside_the_period_stay_inside_the_picture():
    frame = stamped([START_NS - 10, START_NS + 100], equity=[CASH, CASH + 1])
    path = ElementTree.fromstring(curve_svg(frame, CASH, "USD", START_NS, START_NS + 10)).find("path").attrib["d"]
    places = [float(piece.partition("V")[0]) for piece in path.split("H")[1:]]
    assert min(places) >= 92
    assert max(places) <= 700


def test_a_table_shows_its_first_rows_and_tells_of_the_others():
    rows = [[str(i), f"{i / 3:.4f}"] for i in range(5_000)]
    text = table_html(["fast", "<b>"], rows, caption="5,000 trials")
    ElementTree.fromstring(text)
    assert text.count("<tr") == 21
    assert "20 of 5,000 rows" in text
    assert "<b>" not in text
    assert len(text) < 20_000


def test_a_short_table_is_whole():
    text = table_html(["a"], [["1"]])
    ElementTree.fromstring(text)
    assert "rows" not in text


def test_a_long_run_makes_no_larger_page():
    frame = pl.DataFrame({"equity": np.arange(2_000_000.0)}).with_columns(
        ts=(pl.lit(START_NS) + pl.int_range(pl.len())).cast(pl.Datetime("ns", "UTC"))
    )
    assert len(page(equity=frame, end_ns=START_NS + 2_000_000)) < 30_000
