"""The doctor on real recordings: what is known of each sample is what it finds, with its count."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

import cift
from cift.data.doctor import check
from cift.data.importers import import_bitstamp, import_databento, import_lean, import_lobster, import_taq

QUOTES = {"ts_event": "ts_us", "bid_price": "BID", "bid_size": "BIDSIZ", "ask_price": "OFR", "ask_size": "OFRSIZ"}
TRADES = {"ts_event": "ts_us", "price": "PRICE", "size": "SIZE"}
STEPS = {"time_unit": "us", "tick_size": "0.01", "lot_size": 1, "calendar": "XNYS"}


def counts(found: cift.data.doctor.Diagnosis) -> dict[str, int]:
    return dict(found.counts)


def test_lobster_ends_early_and_lacks_what_was_left_out(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_lobster(
        catalog,
        real_data / "lobster/AAPL_2012-06-21_34200_37800_message_50.csv.zst",
        real_data / "lobster/AAPL_2012-06-21_first672_orderbook_50.csv.zst",
        symbol="AAPL.XNAS",
    )
    found = check(catalog)
    # One hour of six and a half, hidden executions between two ticks, and the messages that name orders nobody added.
    assert found.counts["early_end"] == 1
    assert found.counts["off_grid_prints"] == report.counts["off_grid_prints"] == 19
    numbers = pl.scan_parquet(tmp_path / "mbo").sort("sequence").collect()["venue_seq"]
    assert found.counts["sequence_gap"] == (numbers.diff() > 1).sum() == 44
    # Rebuilt, it is not crossed where an event ends, and no order changes that was not added.
    assert set(found.counts) == {"early_end", "off_grid_prints", "sequence_gap"}


def test_a_quarter_of_the_currency_quotes_is_locked_or_crossed(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    import_lean(catalog, real_data / "fx/fxcm_eurusd_tick_20140507.zip", symbol="EURUSD.FXCM")
    found = check(catalog)
    assert counts(found) == {"locked_quote": 12_823, "crossed_quote": 9_847}
    quotes = pl.scan_parquet(tmp_path / "quotes").collect()
    assert (quotes["bid_price"] == quotes["ask_price"]).sum() == 12_823
    assert (quotes["bid_price"] > quotes["ask_price"]).sum() == 9_847
    assert 0.25 < sum(each.share or 0 for each in found.findings) < 0.26


def test_uncleaned_taq_quotes_have_many(real_data: Path) -> None:
    path = real_data / "taq/sampleQDataRaw.csv.zst"
    found = check(path, schema="quotes", columns=QUOTES, **STEPS)
    raw = pl.read_csv(path.read_bytes(), infer_schema_length=None)
    names = [*QUOTES.values()]
    zero = (raw["BID"] == 0) & (raw["OFR"] == 0) & (raw["BIDSIZ"] == 0) & (raw["OFRSIZ"] == 0)
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in names)
    assert found.rows == len(raw) == 131_401
    assert found.counts["zero_quote"] == zero.sum() == 35
    assert found.counts["duplicate"] == raw.select(same.sum()).item() == 6_028
    clock = (
        pl.from_epoch("ts_us", time_unit="us").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York").dt.time()
    )
    inside = clock.is_between(dt.time(9, 30), dt.time(16, 1))
    assert found.counts["outside_session"] == raw.select((~inside).sum()).item() == 768
    # One exchange's quote far from the others': several venues in one series.
    assert found.counts["outlier"] > 5_000
    of_one = check(path, schema="quotes", columns=QUOTES, where={"EX": "N"}, **STEPS)
    assert of_one.counts["outlier"] < 20
    assert of_one.worst == "warning"


def test_uncleaned_taq_trades_lie_between_ticks(real_data: Path) -> None:
    path = real_data / "taq/sampleTDataRaw.csv.zst"
    found = check(path, schema="trades", columns=TRADES, **STEPS)
    raw = pl.read_csv(path.read_bytes(), infer_schema_length=None)
    between = ((raw["PRICE"] * 100).round() / 100 - raw["PRICE"]).abs() > 1e-6
    assert found.counts["off_grid_prints"] == between.sum() == 14_463
    assert found.counts["outside_session"] == 407


def test_prints_of_new_york_outside_its_quote(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    for name in ("sampleQDataRaw", "sampleTDataRaw"):
        import_taq(catalog, real_data / f"taq/{name}.csv.zst", symbol="XXX.XNYS", exchange="N")
    found = check(catalog)
    quotes, trades = (
        pl.scan_parquet(tmp_path / schema).sort("ts_event", "sequence").collect() for schema in ("quotes", "trades")
    )
    first = trades.filter(pl.col("ts_event").is_first_distinct()).select("ts_event", "price")
    before = first.join_asof(quotes, on="ts_event", allow_exact_matches=False)
    outside = (pl.col("price") < pl.col("bid_price")) | (pl.col("price") > pl.col("ask_price"))
    assert found.counts["outside_quote"] == before.select(outside.sum()).item() == 43


def test_bitstamp_is_put_right_as_often_as_its_import_says(real_data: Path, tmp_path: Path) -> None:
    catalog = cift.Catalog(tmp_path)
    report = import_bitstamp(catalog, real_data / "bitstamp2015/2015-05-01.log.xz")
    found = check(catalog)
    # 5,011 pushed books, of which 4,889 were reproduced: the others came as snapshots.
    assert counts(found) == {"snapshot": 5_011 - report.counts["books_reproduced"]} == {"snapshot": 122}


def test_databento_rebuilds_and_lacks_five_numbers(real_data: Path, tmp_path: Path) -> None:
    steps = {"tick_size": "0.25", "lot_size": 1, "multiplier": 50}
    for name, expected in (
        ("orderbooks_mbo_2024-05-08T00-00-00_2024-05-08T00-00-02.dbn.zst", {"sequence_gap": 5}),
        ("futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", {}),
    ):
        catalog = cift.Catalog(tmp_path / name)
        import_databento(catalog, real_data / "databento" / name, **steps)
        found = check(catalog)
        assert counts(found) == expected
        assert all(part.skew is not None and part.skew["min_ns"] >= 0 for part in found.parts)
