"""One self-contained page: what stands on it, and that it asks for nothing."""

import html.parser
import re

import numpy as np
import polars as pl
import pytest

from cift.report.tearsheet import tearsheet_html

from .frames import CASH, DAY_S, START_NS, run_frames, stamped, trade_frame

VOID = {"meta", "img", "br", "hr"}


class Balance(html.parser.HTMLParser):
    """Checks that every element is closed in the order it was opened, and collects text and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text: str) -> Balance:
    parser = Balance()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def sheet(frames=None, **changes) -> str:
    frames = frames or run_frames(seconds=600, fills=30)
    parts = {
        "strategy": "EmaCross",
        "parameters": {"fast": 10, "slow": 30},
        "symbols": ["DEMO.SIM"],
        "venue": "250 us there and back; taker fee 0.5 bps",
        "digest": "d" * 64,
        "fingerprint": "f" * 64,
        "leading": [("P&L [$]", "-1.00", "")],
        "rows": [("Sharpe Ratio", "--", "hourly, not annualised")],
        "notes": ["1 day of data."],
        "trades": trade_frame(30),
    }
    return tearsheet_html(**(parts | frames | changes))


def test_the_page_tells_what_was_run_and_what_came_out():
    text = " ".join(parsed(sheet(details={"Engine": "1.2.3"})).text)
    for piece in (
        "EmaCross",
        "fast = 10, slow = 30",
        "DEMO.SIM",
        "2026-01-05 00:00 to 2026-01-05 00:10 UTC",
        "1,000,000.00 USD",
        "taker fee 0.5 bps",
        "d" * 64,
        "f" * 64,
        "P&L [$]",
        "hourly, not annualised",
        "1 day of data.",
        "1.2.3",
        "By hour of the day",
        "Fills explained",
        "Trades",
        "All figures",
        "drawdown (%)",
        "time (UTC)",
    ):
        assert piece in text, piece


def test_the_page_asks_for_nothing():
    page = parsed(sheet())
    assert not [tag for tag, _, _ in page.attributes if tag in ("script", "link", "img", "iframe", "object")]
    for tag, name, value in page.attributes:
        if not name.startswith("xmlns"):
            assert "://" not in (value or ""), (tag, name)
    assert "@import" not in sheet()
    assert re.search(r"default-src 'none'", sheet())


def test_text_of_the_user_is_escaped():
    bad = "<script>alert(1)</script>"
    frames = run_frames(seconds=600, fills=3, symbol=bad)
    page = parsed(
        sheet(
            frames,
            strategy=bad,
            parameters={bad: bad},
            symbols=[bad],
            venue=bad,
            digest=bad,
            fingerprint=bad,
            leading=[(bad, bad, bad)],
            rows=[(bad, bad, bad)],
            notes=[bad],
            trades=trade_frame(2, symbol=bad),
            details={bad: bad},
        )
    )
    assert not [tag for tag, _, _ in page.attributes if tag == "script"]
    assert "script" not in page.open


def test_two_months_give_a_heat_map_whose_months_multiply_to_the_year():
    days = 59
    seen = START_NS + np.arange(1, days + 1) * DAY_S * 10**9
    equity = stamped(seen, equity=CASH * (1 + np.arange(1, days + 1) / 100))
    frames = run_frames(seconds=days * DAY_S, fills=3) | {"equity": equity}
    text = "".join(parsed(sheet(frames)).text)
    assert "Return by month (%)" in text
    assert "By hour" not in text
    # The row at the first instant of February, the 27th, closes January.
    assert "+27.00" in text
    assert f"{(1 + 55 / 100) / 1.27 * 100 - 100:+.2f}" in text
    assert "+59.00" in text


def test_hours_add_up_to_the_day():
    frames = run_frames(seconds=DAY_S, fills=200)
    page = sheet(frames)
    rows = re.findall(r"<td>(\d\d:00) to \d\d:00</td><td>([-\d.,]+)</td><td>([\d,]+)</td><td>([\d.,]+)</td>", page)
    assert [row[0] for row in rows] == [f"{hour:02d}:00" for hour in range(24)]
    assert sum(int(row[2].replace(",", "")) for row in rows) == 200
    earned = sum(float(row[1].replace(",", "")) for row in rows)
    assert earned == pytest.approx(frames["equity"]["equity"][-1] - CASH, abs=0.2)


def test_fills_are_explained_by_reason_and_by_what_stood_ahead():
    fills = run_frames(seconds=600, fills=8)["fills"].with_columns(
        reason=pl.Series(["queue"] * 5 + ["took"] * 3),
        liquidity=pl.Series(["maker"] * 5 + ["taker"] * 3),
        ahead=pl.Series([0.0, 5.0, 10.0, 99.0, 1_000.0, None, None, None]),
    )
    page = sheet(run_frames(seconds=600, fills=8) | {"fills": fills})
    assert "<td>queue</td><td>5</td><td>62.5%</td><td>100%</td>" in page
    assert "<td>took</td><td>3</td><td>37.5%</td><td>0%</td>" in page
    assert "reached its place in the queue" in page
    assert "crossed the order" not in page
    counts = re.findall(r"<td>(below 1|[\d,]+ to below [\d,]+)</td><td>(\d+)</td>", page)
    assert counts == [
        ("below 1", "1"),
        ("1 to below 10", "1"),
        ("10 to below 100", "2"),
        ("100 to below 1,000", "0"),
        ("1,000 to below 10,000", "1"),
    ]


def test_many_trades_show_the_ten_best_and_the_ten_worst():
    trades = trade_frame(100)
    page = sheet(trades=trades)
    assert "100 trades; the 10 best and the 10 worst." in page
    assert page.partition("<h2>Trades</h2>")[2].count("<td>DEMO.SIM</td>") == 20
    ranked = trades["pnl"].sort(descending=True).to_list()
    for value in ranked[:10] + ranked[-10:]:
        assert f"<td>{value:,.2f}</td>" in page


def test_few_trades_show_in_the_order_of_time():
    page = sheet(trades=trade_frame(20))
    assert page.partition("<h2>Trades</h2>")[2].count("<td>DEMO.SIM</td>") == 20
    entries = re.findall(r"<td>(2026-01-05 \d\d:\d\d:\d\d)</td><td>2026", page)
    assert entries == sorted(entries)


def test_an_open_trade_is_marked():
    trades = trade_frame(1, is_open=True).with_columns(exit_ts=pl.lit(None, pl.Datetime("ns", "UTC")))
    page = sheet(trades=trades)
    assert "<td>open</td>" in page
    assert "(mark)" in page


def test_a_run_without_trades_says_so():
    frames = run_frames(seconds=600, fills=0)
    text = "".join(parsed(sheet(frames, trades=trade_frame(0))).text)
    assert "No order was filled." in text
    assert "No position was opened." in text
    assert "By hour" not in text


def test_a_run_without_equity_still_gives_a_page():
    frames = run_frames(seconds=600, fills=0)
    frames["equity"] = frames["equity"].clear()
    assert "No equity was kept" in "".join(parsed(sheet(frames, trades=trade_frame(0))).text)


def test_several_symbols_have_a_chart_each_and_equity_once():
    one = run_frames(seconds=600, fills=5, symbol="A.SIM")
    two = run_frames(seconds=600, fills=9, symbol="B.SIM", seed=2)
    both = one | {name: pl.concat([one[name], two[name]]).sort("ts") for name in ("fills", "positions", "prices")}
    page = sheet(both, symbols=["A.SIM", "B.SIM"])
    assert page.count("<svg") == 2
    assert page.count("drawdown (%)</text>") == 1
    assert page.count("position (units)</text>") == 2


def test_a_busy_day_stays_small():
    assert len(sheet(run_frames(seconds=DAY_S, fills=5_000))) < 800_000
