"""Repair: a mended copy, every change written down, the original untouched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cift.data.catalog import Catalog
from cift.data.columns import RawColumns, to_arrow
from cift.data.doctor import check, repair
from cift.data.doctor.kinds import IMPOSSIBLE
from cift.data.doctor.repairing import MARKED
from cift.domain.action import Action
from cift.domain.instrument import Instrument
from cift.domain.schemas import BAD_TS_RECV, LAST, NO_TIME_NS, SUSPECT, arrow_schema
from cift.errors import CorruptData, InvalidParameter, NoData
from tests.data.doctor.clean import clean
from tests.data.market import ABC, MONDAY_NS, SYMBOL

STEPS = {"tick_size": "0.01", "lot_size": 1}
NAN, INF = float("nan"), float("inf")


def write(path: Path, schema: str, columns: RawColumns) -> Path:
    """A file as it may come: with every fault that Arrow can hold."""
    relaxed = pa.schema([field.with_nullable(True) for field in arrow_schema(schema)])
    table = to_arrow(schema, columns)
    pq.write_table(pa.Table.from_arrays(table.columns, schema=relaxed), path)
    return path


def digest(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def spoiled(schema: str, seed: int, faults: int, rows: int = 400) -> RawColumns:
    columns = clean(schema, rows, seed)
    rng = np.random.default_rng(seed)
    for row in rng.integers(0, rows, faults).tolist():
        name = str(rng.choice([name for name in columns if name not in ("sequence", "flags", "order_id", "action", "side")]))
        if columns[name].dtype.kind == "f":
            old = columns[name][row]
            columns[name][row] = rng.choice([NAN, INF, -old, 0.0, -0.0, old * 1e4, old * 1.2, old + 0.003])
        elif name == "ts_event":
            columns[name][row] = rng.choice([0, 5, columns[name][row] // 1_000, columns[name][max(0, row - 40)], 2**62])
        elif name == "ts_recv":
            columns[name][row] = rng.choice([0, NO_TIME_NS, 2**62])
        elif row:
            for each in columns.values():
                each[row] = each[row - 1]
    return columns


@given(schema=st.sampled_from(["mbo", "quotes", "trades"]), seed=st.integers(0, 10**6), faults=st.integers(0, 60))
@settings(max_examples=25)
def test_repairing_twice_changes_nothing_more(tmp_path_factory, schema, seed, faults):
    folder = tmp_path_factory.mktemp("repair")
    source = write(folder / "bad.parquet", schema, spoiled(schema, seed, faults))
    before = digest(source)
    first = repair(source, schema=schema, **STEPS)
    assert digest(source) == before
    assert first.path == folder / "bad.repaired.parquet"
    assert first.rows_read == 400
    left_out = first.repairs.filter(pl.col("action") == "left_out")
    assert first.rows_written == 400 - left_out.height
    found = check(first.path, **STEPS)
    assert not set(found.counts) & (
        {*IMPOSSIBLE, "time_back", "price_jump", "duplicate", "own_sequence_gap", "negative_zero"} - KEPT[schema]
    )
    again = repair(first.path, **STEPS)
    assert (dict(again.counts), again.rows_written) == ({}, first.rows_written)
    assert (again.quarantine_path, again.repairs_path) == (None, None)
    assert pq.read_table(again.path).equals(pq.read_table(first.path))
    if left_out.height:
        quarantine = pl.read_parquet(first.quarantine_path)
        assert sorted(quarantine["row"]) == sorted(left_out["row"])
        assert sorted(zip(quarantine["row"], quarantine["kind"], strict=True)) == sorted(left_out.select("row", "kind").rows())
    # What the repair took for a catalog's rows, a catalog takes.
    catalog = Catalog(folder / "catalog")
    policies = {"price_jump": "pass"}
    catalog.write(schema, SYMBOL, pq.read_table(first.path), ABC, policies=policies)


KEPT = {"mbo": {"price_jump"}, "quotes": set(), "trades": set()}
"""What is flagged rather than left out, and so found again."""


def test_each_change_is_written_down(tmp_path):
    columns = clean("trades", 400)
    columns["price"][10] = NAN
    columns["size"][20] = 0.0
    columns["price"][30] *= 10_000
    columns["price"][40] = 130.0
    columns["ts_event"][50] = columns["ts_event"][45] - 1
    columns["ts_recv"][60] = 4
    for array in columns.values():
        array[70] = array[69]
    done = repair(write(tmp_path / "bad.parquet", "trades", columns), **STEPS)
    told = {(row, kind, action) for row, kind, action in done.repairs.select("row", "kind", "action").rows()}
    assert told == {
        (10, "nan", "left_out"), (20, "zero_size", "left_out"), (30, "price_jump", "left_out"), (40, "outlier", "flagged"),
        (50, "time_back", "moved"), (60, "bad_ts_recv", "flagged"), (70, "duplicate", "left_out"),
    }  # fmt: skip
    assert (done.rows_read, done.rows_written) == (400, 396)
    mended = pl.read_parquet(done.path)
    assert mended["ts_event"].is_sorted()
    assert mended["sequence"].to_list() == list(range(396))
    assert (mended.filter(pl.col("price") == 130.0)["flags"] & SUSPECT).to_list() == [SUSPECT]
    assert (mended["flags"] & BAD_TS_RECV).sum() == BAD_TS_RECV
    (moved,) = done.repairs.filter(pl.col("kind") == "time_back").rows(named=True)
    assert moved["after"] == "to place 43 by time"  # rows 10 and 20 are gone from in front of it
    quarantine = pl.read_parquet(done.quarantine_path)
    assert set(quarantine["row"]) == {10, 20, 30, 70}
    assert quarantine.filter(pl.col("row") == 30)["price"].item() == columns["price"][30]
    assert pl.read_parquet(done.repairs_path).equals(done.repairs)
    assert "396 of 400" in repr(done)


def test_sides_of_quotes_become_missing_ones(tmp_path):
    columns = clean("quotes", 300)
    columns["bid_size"][10] = 0.0
    for name in ("bid_price", "bid_size", "ask_price", "ask_size"):
        columns[name][20] = 0.0
    columns["ask_price"][30], columns["ask_size"][30] = NAN, NAN
    columns["bid_price"][40] = columns["ask_price"][40]
    done = repair(write(tmp_path / "bad.parquet", "quotes", columns), **STEPS)
    assert (done.rows_written, dict(done.counts)) == (
        300,
        {"locked_quote": 1, "missing_side": 1, "zero_quote": 2, "zero_size": 1},
    )
    mended = pl.read_parquet(done.path)
    assert mended["bid_price"].is_null().arg_true().to_list() == [10, 20]
    assert mended["ask_price"].is_null().arg_true().to_list() == [20, 30]
    assert mended["ask_size"].to_list()[20] == mended["ask_size"].to_list()[30] == 0.0
    assert ((mended["flags"] & SUSPECT) > 0).arg_true().to_list() == [40]


def test_a_catalog_is_repaired_into_another(tmp_path):
    catalog = Catalog(tmp_path / "one")
    quotes, trades = clean("quotes"), clean("trades")
    trades["ts_event"][:] = quotes["ts_event"] + 1
    trades["price"][700] = np.round(trades["price"][700] + 0.05, 2)
    quotes["bid_price"][500] = np.round(quotes["ask_price"][500] + 0.02, 2)
    for array in trades.values():
        array[70] = array[69]
    let = {"crossed_quote": "pass", "duplicate": "pass"}
    catalog.write("quotes", SYMBOL, quotes, ABC, policies=let)
    catalog.write("trades", SYMBOL, trades, policies=let)
    assert dict(check(catalog).counts) == {"crossed_quote": 1, "duplicate": 1, "outside_quote": 1, "sequence_gap": 1}
    before = digest(catalog.path)
    done = repair(catalog, tmp_path / "two")
    assert digest(catalog.path) == before
    assert dict(done.counts) == {"crossed_quote": 1, "duplicate": 1, "outside_quote": 1}
    assert done.quarantine_path == tmp_path / "two.quarantine.parquet"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "two.quarantine.parquet", "two.repairs.parquet"}
    again = repair(Catalog(tmp_path / "two"), tmp_path / "three")
    assert dict(again.counts) == {}
    assert Catalog(tmp_path / "three").content_hash(SYMBOL) == Catalog(tmp_path / "two").content_hash(SYMBOL)
    assert Catalog(tmp_path / "two").instruments() == catalog.instruments()


def test_nothing_that_exists_is_written_onto(tmp_path):
    source = write(tmp_path / "bad.parquet", "trades", spoiled("trades", 1, 20))
    before = digest(source)
    hard, soft, dangling = (tmp_path / f"{name}.parquet" for name in ("hard", "soft", "dangling"))
    os.link(source, hard)
    soft.symlink_to(source)
    dangling.symlink_to(tmp_path / "nowhere.parquet")
    for target in (source, hard, soft, dangling, tmp_path / "." / "bad.parquet"):
        with pytest.raises(InvalidParameter, match="exists"):
            repair(source, target, **STEPS)
    with pytest.raises(InvalidParameter, match="Parquet"):
        repair(source, tmp_path / "new.csv", **STEPS)
    (tmp_path / "new.repairs.parquet").touch()
    with pytest.raises(InvalidParameter, match="move it away"):
        repair(source, tmp_path / "new.parquet", **STEPS)
    assert digest(source) == before
    catalog = Catalog(tmp_path / "catalog")
    catalog.write("trades", SYMBOL, clean("trades", 50), ABC)
    (tmp_path / "link").symlink_to(catalog.path)
    for target in (catalog.path, catalog.path / "new", tmp_path / "link" / "new"):
        with pytest.raises(InvalidParameter, match=r"exists|lies in"):
            repair(catalog, target)
    with pytest.raises(InvalidParameter, match="say where"):
        repair(catalog)
    assert sorted(path.name for path in catalog.path.iterdir()) == ["_cift", "instruments.json", "trades"]


def test_the_copy_of_a_file_of_a_catalog_is_a_file(tmp_path):
    """By the catalog's instrument, which the file brings."""
    catalog = Catalog(tmp_path / "catalog")
    quotes = clean("quotes", 300)
    quotes["bid_price"][50] = np.round(quotes["ask_price"][50] + 0.02, 2)
    catalog.write("quotes", SYMBOL, quotes, ABC, policies={"crossed_quote": "pass"})
    catalog.write("trades", SYMBOL, clean("trades", 50))
    (path,) = catalog.path.glob("quotes/*/*/*.parquet")
    before = digest(catalog.path)
    done = repair(path, tmp_path / "x.parquet")
    assert (done.path, dict(done.counts), done.rows_written) == (tmp_path / "x.parquet", {"crossed_quote": 1}, 300)
    assert done.path.is_file()
    assert ((pl.read_parquet(done.path)["flags"] & SUSPECT) > 0).arg_true().to_list() == [50]
    assert pq.read_metadata(done.path).metadata[b"cift.symbol"] == SYMBOL.encode()
    for to, told in (
        (None, "say where"),
        (tmp_path / "folder", "is Parquet"),
        (path.with_name("y.parquet"), "lies in the catalog"),
    ):
        with pytest.raises(InvalidParameter, match=told):
            repair(str(path), to)
    assert digest(catalog.path) == before
    assert {each.name for each in tmp_path.iterdir()} == {"catalog", "x.parquet", "x.repairs.parquet"}


def test_what_cannot_be_read_is_not_repaired(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.write("trades", SYMBOL, clean("trades", 50), ABC)
    (path,) = catalog.path.glob("trades/*/*/*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptData, match="cannot be repaired"):
        repair(catalog, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    columns = clean("trades", 20)
    columns["price"][:] = NAN
    with pytest.raises(NoData, match="no row passed"):
        repair(write(tmp_path / "bad.parquet", "trades", columns), **STEPS)
    assert not (tmp_path / "bad.repaired.parquet").exists()
    two = [write(tmp_path / f"{schema}.parquet", schema, clean(schema, 50)) for schema in ("quotes", "trades")]
    with pytest.raises(InvalidParameter, match="one file"):
        repair(two, tmp_path / "new.parquet")


def test_a_damaged_table_of_instruments_is_a_finding(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.write("trades", SYMBOL, clean("trades", 50), ABC)
    (catalog.path / "instruments.json").write_text("{}")
    found = check(catalog)
    assert [(each.kind, each.examples[0].source) for each in found.findings] == [("damaged", "instruments.json")]
    assert found.rows == 50
    with pytest.raises(CorruptData, match="cannot be repaired"):
        repair(catalog, tmp_path / "new")
    manifest = next((catalog.path / "_cift").rglob("date=*.json"))
    manifest.write_text("{}")
    assert check(catalog).counts == {"damaged": 2}


def test_a_kind_that_is_right_here_is_let_be(tmp_path):
    columns = clean("trades", 300)
    columns["price"] *= -1
    source = write(tmp_path / "spread.parquet", "trades", columns)
    with pytest.raises(NoData):
        repair(source, **STEPS)
    done = repair(source, **STEPS, policies={"negative_price": "pass"})
    assert (dict(done.counts), done.rows_written) == ({}, 300)


def test_a_guessed_grid_condemns_no_row(tmp_path):
    columns = clean("quotes", 3_000)
    columns["bid_price"][7] = np.round(columns["bid_price"][7] - 0.005, 3)
    source = write(tmp_path / "quotes.parquet", "quotes", columns)
    (finding,) = check(source).findings
    assert (finding.kind, finding.severity) == ("off_tick", "warning")
    assert dict(repair(source).counts) == {}
    assert dict(repair(source, tmp_path / "stated.parquet", **STEPS).counts) == {"off_tick": 1}


def test_rows_of_one_time_stay_in_their_order(tmp_path):
    columns = clean("trades", 200)
    columns["ts_event"][:] = MONDAY_NS + np.random.default_rng(0).integers(0, 20, 200)
    columns["ts_recv"][:] = columns["ts_event"] + 100
    done = repair(write(tmp_path / "bad.parquet", "trades", columns), **STEPS)
    order = np.argsort(columns["ts_event"], kind="stable")
    assert pl.read_parquet(done.path)["trade_id"].to_list() == columns["trade_id"][order].tolist()
    assert set(MARKED).isdisjoint(done.counts)


def test_the_row_before_ends_the_event_of_a_row_left_out(tmp_path):
    columns = clean("mbo", 300)
    columns["ts_event"][[10, 11, 12]] = columns["ts_event"][12]
    columns["flags"][[10, 11]] = 0
    columns["size"][[11, 12]] = NAN
    columns["size"][20] = NAN  # an event of its own
    done = repair(write(tmp_path / "bad.parquet", "mbo", columns), **STEPS)
    mended = pl.read_parquet(done.path)
    assert mended["flags"].to_list() == [LAST] * 297
    assert "open_event" not in check(done.path, **STEPS).counts
    changed = done.repairs.filter(pl.col("kind") == "open_event")
    assert changed.select("row", "action", "before", "after").rows() == [(10, "changed", "flags 0", f"flags {LAST}")]


def test_the_copy_of_a_catalog_has_its_instruments_and_actions(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.write("trades", SYMBOL, clean("trades", 50), ABC)
    catalog.write_instruments([Instrument("TOCOME.SIM", "0.25", 1, multiplier=50)])
    dividend = Action(SYMBOL, "2020-05-08", "dividend", amount="0.1234567890123456789", currency="USD", close="303.74")
    catalog.write_actions([Action(SYMBOL, "2020-08-31", "split", ratio="4:1"), dividend])
    catalog.write_actions([Action("TOCOME.SIM", "2021-08-31", "split", ratio="3:2")])
    copy = Catalog(repair(catalog, tmp_path / "all").path)
    assert copy.instruments() == catalog.instruments()
    # To the last digit, which a frame of floats would not show.
    assert copy._layout.actions.read_bytes() == catalog._layout.actions.read_bytes()
    one = Catalog(repair(catalog, tmp_path / "one", SYMBOL).path)
    assert list(one.instruments()) == [SYMBOL]
    assert one._actions() == [action for action in catalog._actions() if action.symbol == SYMBOL] != []
