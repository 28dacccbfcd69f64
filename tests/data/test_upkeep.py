"""Upkeep of a catalog: appending, deleting within days, consolidating, naming all damage, hashes of selections."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cift.data import upkeep, writing
from cift.data.catalog import Catalog
from cift.errors import CatalogError, CorruptData, NoData, TimeOrder, UnknownSymbol
from tests.data.market import ABC, DAY_NS, HOUR_NS, MONDAY_NS, SYMBOL, QuickDisk, make, read, same, schemas, take

START_NS = MONDAY_NS + 20 * HOUR_NS


def catalog_of(folder: Path, schema: str = "quotes", rows: int = 500, gap_ns: int = 6 * 10**10) -> tuple[Catalog, dict]:
    """About eight hours over a midnight."""
    catalog = Catalog(folder, disk=QuickDisk())
    columns = make(schema, rows, start_ns=START_NS, gap_ns=gap_ns)
    catalog.write(schema, SYMBOL, columns, ABC, policies={"price_jump": "pass"})
    return catalog, columns


def stored(catalog: Catalog, schema: str) -> dict:
    level = {"mbo": "L3", "mbp": "L2"}.get(schema, "L1")
    return read(catalog.ticks(SYMBOL, level=level).feeds[0], None)


# ------------------------------------------------------------------ append


@given(schema=schemas, seed=st.integers(0, 10**6), cut=st.integers(1, 299), gap=st.sampled_from([10, 10**9, 6 * 10**11]))
@settings(max_examples=15)
def test_two_parts_appended_are_one_write(tmp_path_factory, schema, seed, cut, gap):
    folder = tmp_path_factory.mktemp("append")
    columns = make(schema, 300, seed, START_NS, gap)
    once, twice = (Catalog(folder / name, disk=QuickDisk()) for name in ("once", "twice"))
    once.write(schema, SYMBOL, columns, ABC)
    first = twice.append(schema, SYMBOL, take(columns, 0, cut), ABC)
    second = twice.append(schema, SYMBOL, take(columns, cut, 300))
    assert twice.content_hash(SYMBOL) == once.content_hash(SYMBOL)
    assert first.rows_written + second.rows_written == sum(once.ls()["rows"])
    assert twice.verify() == once.verify()


def test_what_lies_before_the_end_is_not_appended(tmp_path):
    catalog, columns = catalog_of(tmp_path)
    before = catalog.content_hash(SYMBOL)
    with pytest.raises(TimeOrder, match="stored up to"):
        catalog.append("quotes", SYMBOL, take(columns, 100, 200))
    with pytest.raises(NoData):
        catalog.append("quotes", SYMBOL, take(columns, 0, 0))
    assert catalog.content_hash(SYMBOL) == before
    last = take(columns, 499, 500)
    assert catalog.append("quotes", SYMBOL, last).rows_written == 1  # of the same time: the order of rows decides
    with pytest.raises(UnknownSymbol):
        catalog.append("quotes", "NEW.SIM", last)


def test_an_append_notices_that_another_was_faster(tmp_path):
    catalog, columns = catalog_of(tmp_path, rows=100, gap_ns=10**9)
    later = {name: array.copy() for name, array in take(columns, 50, 100).items()}
    later["ts_event"] += HOUR_NS

    def slow():
        yield take(later, 0, 20)
        Catalog(tmp_path).append("quotes", SYMBOL, take(later, 0, 10))
        yield take(later, 20, 50)

    with pytest.raises(CatalogError, match="written by another"):
        catalog.append("quotes", SYMBOL, slow())
    assert len(stored(catalog, "quotes")["ts_event"]) == 110


@pytest.mark.parametrize("days_later", [0, 1])
def test_an_append_to_a_day_that_another_began_meanwhile_stores_nothing(tmp_path, days_later):
    # Nothing is stored when the first row comes; the other writes that day, or one that the rows reach later.
    columns = make("quotes", 100, start_ns=MONDAY_NS, gap_ns=10**9)
    theirs = {name: array.copy() for name, array in columns.items()}
    mine = {name: array.copy() for name, array in columns.items()}
    theirs["ts_event"] += days_later * DAY_NS
    mine["ts_event"][50:] += DAY_NS
    catalog = Catalog(tmp_path, disk=QuickDisk())

    def slow():
        yield take(mine, 0, 20)
        Catalog(tmp_path).append("quotes", SYMBOL, theirs, ABC)
        yield take(mine, 20, 100)

    with pytest.raises(CatalogError, match="written by another"):
        catalog.append("quotes", SYMBOL, slow(), ABC)
    assert catalog.ls()["rows"].to_list() == [100]
    assert (stored(catalog, "quotes")["ts_event"] == theirs["ts_event"]).all()


# ------------------------------------------------------------------ delete


@given(
    schema=schemas,
    seed=st.integers(0, 10**6),
    start=st.integers(0, 30 * 60),
    minutes=st.integers(1, 40 * 60),
    open_end=st.booleans(),
)
@settings(max_examples=20)
def test_a_deleted_period_is_gone_to_the_nanosecond(tmp_path_factory, schema, seed, start, minutes, open_end):
    folder = tmp_path_factory.mktemp("delete")
    columns = make(schema, 300, seed, START_NS, 6 * 10**11)
    catalog, other = (Catalog(folder / name, disk=QuickDisk()) for name in ("one", "other"))
    catalog.write(schema, SYMBOL, columns, ABC, policies={"duplicate": "pass"})
    rows = catalog.describe(SYMBOL)["schemas"][schema]["rows"]
    start_ns = START_NS + start * 60 * 10**9
    end_ns = None if open_end else start_ns + minutes * 60 * 10**9
    touched = catalog.delete(SYMBOL, start_ns, end_ns)
    times = columns["ts_event"]
    keep = (times < start_ns) | (times >= (2**63 - 1 if end_ns is None else end_ns))
    assert (touched == 0) == keep.all()
    if not keep.any():
        assert catalog.symbols() == []
        return
    other.write(schema, SYMBOL, {name: array[keep] for name, array in columns.items()}, ABC, policies={"duplicate": "pass"})
    assert catalog.content_hash(SYMBOL) == other.content_hash(SYMBOL)
    assert same(stored(catalog, schema), stored(other, schema))
    assert catalog.verify() == len(catalog.ls())
    assert sum(catalog.ls()["rows"]) == rows - (~keep).sum()


def test_rows_that_came_while_a_day_was_cut_are_not_deleted(tmp_path):
    columns = make("quotes", 100, start_ns=MONDAY_NS, gap_ns=10**9)
    catalog = Catalog(tmp_path, disk=QuickDisk())
    catalog.write("quotes", SYMBOL, columns, ABC)
    columns["ts_event"] += 10 * HOUR_NS
    real = upkeep.rewrite

    def slow(*given):
        gone = real(*given)
        Catalog(tmp_path).append("quotes", SYMBOL, columns)
        return gone

    with mock.patch.object(upkeep, "rewrite", slow), pytest.raises(CatalogError, match="written by another"):
        catalog.delete(SYMBOL, "2026-01-05T00:00", "2026-01-05T06:00")
    assert catalog.ls()["rows"].to_list() == [200]
    assert catalog.delete(SYMBOL, "2026-01-05T00:00", "2026-01-05T06:00") == 1
    assert (stored(catalog, "quotes")["ts_event"] == columns["ts_event"]).all()


def test_files_of_others_outlive_the_rows(tmp_path):
    catalog, columns = catalog_of(tmp_path)
    foreign = [path.with_name(name) for path in tmp_path.glob("quotes/*/*/*.parquet") for name in ("mine.parquet", ".DS_Store")]
    for path in foreign:
        path.write_bytes(b"mine")
    catalog.write("quotes", SYMBOL, columns, policies={"price_jump": "pass"})
    assert catalog.delete(SYMBOL) == 2
    assert catalog.symbols() == []
    assert len(foreign) == 4
    assert sorted(path for path in (tmp_path / "quotes").rglob("*") if path.is_file()) == sorted(foreign)
    assert {path.read_bytes() for path in foreign} == {b"mine"}


def test_two_may_delete_at_once(tmp_path):
    catalog, _ = catalog_of(tmp_path)
    real = upkeep._remove

    def raced(*given):
        return [real(*given), real(*given)][1]

    with mock.patch.object(upkeep, "_remove", raced):
        assert catalog.delete(SYMBOL) == 0  # the other removed both
    assert catalog.symbols() == []
    assert not [*tmp_path.glob("quotes/*/*")]


def test_a_damaged_day_is_removed_whole_and_not_cut(tmp_path):
    catalog, _ = catalog_of(tmp_path)
    (monday, tuesday) = sorted(tmp_path.glob("quotes/*/*/*.parquet"))
    monday.write_bytes(monday.read_bytes()[:-20])
    before = catalog.content_hash(SYMBOL, "2026-01-06")
    with pytest.raises(CorruptData):
        catalog.delete(SYMBOL, "2026-01-05T21:00", "2026-01-05T22:00")
    assert monday.exists()
    assert catalog.delete(SYMBOL, "2026-01-05") == 1
    assert not monday.exists()
    assert tuesday.exists()
    assert catalog.content_hash(SYMBOL, "2026-01-06") == before


# ------------------------------------------------------------------ consolidate and sweep


def test_small_row_groups_become_large_ones_and_rows_stay(tmp_path):
    with mock.patch.object(writing, "ROWS_PER_GROUP", 20):
        catalog, _ = catalog_of(tmp_path)
    before, hashes = stored(catalog, "quotes"), catalog.content_hash(SYMBOL)
    done = catalog.consolidate(SYMBOL)
    assert (done.partitions, done.row_groups_after) == (2, 2)
    assert done.row_groups_before >= 25
    assert done.bytes_after < done.bytes_before
    assert same(before, stored(catalog, "quotes"))
    assert catalog.content_hash(SYMBOL) == hashes
    assert catalog.verify() == 2
    assert catalog.consolidate().partitions == 0
    assert len(list(tmp_path.glob("quotes/*/*/*.parquet"))) == 2
    with pytest.raises(UnknownSymbol):
        catalog.consolidate("NO.SIM")


def test_consolidating_a_damaged_day_changes_nothing(tmp_path):
    with mock.patch.object(writing, "ROWS_PER_GROUP", 20):
        catalog, _ = catalog_of(tmp_path)
    path = sorted(tmp_path.glob("quotes/*/*/*.parquet"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptData):
        catalog.consolidate()
    assert path.read_bytes() == data


def test_what_killed_writers_left_goes_and_what_others_put_there_stays(tmp_path):
    catalog, _ = catalog_of(tmp_path)
    (one, _) = sorted(tmp_path.glob("quotes/*/*/*.parquet"))
    left, foreign = one.with_name("part-0123456789abcdef.parquet"), one.with_name("data_0.parquet")
    elsewhere = tmp_path / "trades" / "symbol=X" / "date=2026-01-05" / "part-0.parquet"
    elsewhere.parent.mkdir(parents=True)
    for path in (left, foreign, elsewhere):
        shutil.copy(one, path)
    done = catalog.consolidate()
    assert done.removed == (left,)
    assert set(done.foreign) == {foreign, elsewhere}
    assert "let be" in repr(done)
    assert (left.exists(), foreign.exists(), one.exists()) == (False, True, True)
    assert Catalog(tmp_path / "nothing").sweep() == []


# ------------------------------------------------------------------ damage and hashes


def test_every_damaged_partition_is_named(tmp_path):
    catalog, _ = catalog_of(tmp_path)
    catalog.write("trades", SYMBOL, make("trades", 50))
    files = sorted(tmp_path.glob("quotes/*/*/*.parquet"))
    for path in files:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    manifest = next(tmp_path.glob("_cift/manifests/trades/*/*.json"))
    manifest.write_text(manifest.read_text().replace("50", "51"))
    count, damages = catalog.damages()
    assert count == 3
    assert len(damages) == 3
    with pytest.raises(CorruptData) as raised:
        catalog.verify()
    assert all(path.name in str(raised.value) for path in [*files, manifest])
    files[0].unlink()
    assert len(catalog.damages()[1]) == 3


@given(seed=st.integers(0, 10**6), start=st.integers(0, 400), hours=st.integers(1, 500))
@settings(max_examples=15)
def test_the_hash_of_a_selection_is_that_of_its_rows(tmp_path_factory, seed, start, hours):
    folder = tmp_path_factory.mktemp("hash")
    catalog = Catalog(folder / "one", disk=QuickDisk())
    columns = make("trades", 300, seed, START_NS, 6 * 10**11)
    catalog.write("trades", SYMBOL, columns, ABC)
    start_ns, end_ns = START_NS + start * 6 * 10**9, START_NS + (start + hours) * 6 * 10**10
    try:
        feed = catalog.ticks(SYMBOL, start_ns, end_ns).feeds[0]
    except NoData:
        with pytest.raises(NoData):
            catalog.content_hash(SYMBOL, start_ns, end_ns)
        return
    assert catalog.content_hash(SYMBOL, start_ns, end_ns) == {"trades": feed.content_hash}
    whole = catalog.content_hash(SYMBOL)["trades"]
    assert whole == catalog.describe(SYMBOL)["schemas"]["trades"]["content_hash"]
    times = columns["ts_event"]
    assert (catalog.content_hash(SYMBOL, start_ns, end_ns)["trades"] == whole) == bool(
        ((times >= start_ns) & (times < end_ns)).all()
    )


def test_days_and_readers_are_named(tmp_path):
    catalog, _ = catalog_of(tmp_path)
    assert catalog.days("quotes", SYMBOL) == ["2026-01-05", "2026-01-06"]
    assert catalog.reader("quotes", SYMBOL, "2026-01-06").manifest.first_ns >= MONDAY_NS + DAY_NS
    with pytest.raises(CatalogError, match="holds no quotes"):
        catalog.reader("quotes", SYMBOL, "2026-01-07")
    assert np.array_equal(catalog.content_hash(SYMBOL), catalog.content_hash(SYMBOL, "2026-01-05", "2026-01-07"))
