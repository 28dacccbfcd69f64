"""Where the doctor's rows come from: files of any make, folders, frames, days of a catalog."""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cift.data.catalog import Catalog
from cift.data.columns import to_arrow
from cift.data.doctor import check
from cift.domain.instrument import Instrument
from cift.errors import CatalogError, DataError, InvalidParameter, NoData, UnknownName, UnknownSymbol
from tests.data.doctor.clean import clean
from tests.data.market import ABC, SYMBOL, take

STEPS = {"tick_size": "0.01", "lot_size": 1}


def table(schema="trades", rows=2_000, start=0) -> pa.Table:
    return to_arrow(schema, take(clean(schema), start, start + rows))


@pytest.mark.parametrize("schema", ["mbo", "quotes", "trades"])
def test_a_frame_is_looked_at_like_a_file(tmp_path, schema):
    arrow = table(schema)
    frame = pl.from_arrow(arrow)
    pq.write_table(arrow, tmp_path / "a.parquet")
    for source in (arrow, frame, frame.lazy(), frame.to_pandas(), tmp_path / "a.parquet"):
        found = check(source, **STEPS)
        assert (found.findings, found.rows, found.parts[0].schema, found.parts[0].symbol) == ([], 2_000, schema, "DATA")
    assert check(arrow, "ABC.SIM").parts[0].symbol == "ABC.SIM"
    assert check(arrow, instrument=Instrument("X.Y", tick_size=1, lot_size=1)).parts[0].symbol == "X.Y"


def test_files_of_a_folder_are_one_series(tmp_path):
    folder = tmp_path / "symbol=ABC%2FD.SIM"
    folder.mkdir()
    for number, start in enumerate((0, 500, 1_000, 1_500)):
        pq.write_table(table(rows=500, start=start), folder / f"{number}.parquet")
    found = check(tmp_path, **STEPS)
    assert (found.findings, found.rows) == ([], 2_000)
    assert [part.symbol for part in found.parts] == ["ABC/D.SIM"]
    (folder / "1.parquet").rename(folder / "4.parquet")
    (back,) = (each for each in check(tmp_path, **STEPS).findings if each.kind == "time_back")
    assert [(example.source, example.row) for example in back.examples] == [("4.parquet", 0)]


def test_another_form_is_a_drift(tmp_path):
    pq.write_table(table(rows=500), tmp_path / "a.parquet")
    other = table(rows=500, start=500).drop_columns(["trade_id"])
    pq.write_table(other.set_column(2, "price", other["price"].cast(pa.float32())), tmp_path / "b.parquet")
    (drift,) = (each for each in check(tmp_path, **STEPS).findings if each.kind == "schema_drift")
    assert drift.examples[0].source == "b.parquet"
    assert drift.examples[0].text == "beside a.parquet: price is float; it lacks trade_id"


def test_what_is_missing_is_a_finding_and_no_end(tmp_path):
    frame = pl.from_arrow(table())
    row = pl.int_range(pl.len())
    holes = frame.with_columns(
        price=pl.when(row == 5).then(None).otherwise("price"),
        size=pl.when(row == 6).then(None).otherwise("size"),
        ts_event=pl.when(row == 7).then(None).otherwise("ts_event"),
    )
    holes.write_parquet(tmp_path / "holes.parquet")
    holes.with_columns(pl.col("ts_event", "ts_recv").to_physical()).write_csv(tmp_path / "holes.csv")
    for name, first in (("holes.parquet", 0), ("holes.csv", 2)):
        found = check(tmp_path / name, **STEPS)
        told = {each.kind: [example.row - first for example in each.examples] for each in found.findings}
        assert told == {"nan": [5, 6], "no_time": [7]}
        assert found.rows == 2_000


def test_what_cannot_be_read_is_a_finding_too(tmp_path):
    sound = tmp_path / "a.csv"
    sound.write_text("ts_event,price,size\n1767571200000000000,100.0,1\n1767571200000000001,cheap,1\n")
    (tmp_path / "b.csv").write_text("ts_event,price,size\n1767571200000000002,100.0,1\n")
    (tmp_path / "c.csv").write_text("")
    (tmp_path / "d.csv").write_text("ts_event,price,size\n")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 and no more")
    found = check(
        [tmp_path / f"{name}" for name in ("a.csv", "b.csv", "c.csv", "d.csv", "e.parquet")], schema="trades", **STEPS
    )
    told = {(each.kind, example.source) for each in found.findings for example in each.examples}
    assert told == {("unreadable", "a.csv"), ("unreadable", "c.csv"), ("unreadable", "d.csv"), ("damaged", "e.parquet")}
    assert found.rows == 1
    assert found.worst == "error"
    assert len(found.frame) == len(found.findings)


def test_wrong_use_is_an_error(tmp_path):
    pq.write_table(table(), tmp_path / "a.parquet")
    two = table().append_column("symbol", pa.array(["A.SIM", "B.SIM"] * 1_000))
    with pytest.raises(InvalidParameter, match=r"holds A\.SIM, B\.SIM"):
        check(two, **STEPS)
    assert check(two, where={"symbol": "A.SIM"}, **STEPS).rows == 1_000
    with pytest.raises(InvalidParameter, match="are for catalogs"):
        check(tmp_path / "a.parquet", start="2026-01-05")
    with pytest.raises(CatalogError, match="neither a file nor a folder"):
        check(tmp_path / "nothing.parquet")
    with pytest.raises(DataError, match="tell no schema"):
        check(pa.table({"a": [1]}))
    with pytest.raises(DataError, match="'size' missing"):
        check(pa.table({"ts_event": [1], "price": [1.0]}), schema="trades")
    with pytest.raises(UnknownName, match="policies"):
        check(tmp_path / "a.parquet", policies={"nonsense": "pass"})
    with pytest.raises(InvalidParameter, match="no files"):
        check([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoData, match="neither a catalog nor"):
        check(tmp_path / "empty")


def test_days_of_a_catalog_and_a_foreign_file_among_them(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.write("trades", SYMBOL, table(), ABC)
    assert check(catalog).findings == catalog.check(SYMBOL, "2026-01-05").findings == []
    (path,) = catalog.path.glob("trades/*/*/*.parquet")
    assert check(path).parts[0].symbol == SYMBOL
    foreign = path.with_name("mine.parquet")
    shutil.copy(path, foreign)
    found = check(foreign)
    assert found.rows == 2_000
    assert any("taken to be" in note for note in found.parts[0].notes)  # read as a file, not as the catalog's day
    with pytest.raises(UnknownSymbol, match="did you mean"):
        check(catalog, "ABD.SIM")
    with pytest.raises(NoData, match="of quotes"):
        check(catalog, schema="quotes")
    nothing = check(catalog, SYMBOL, "2027-01-01")
    assert (nothing.rows, nothing.worst) == (0, None)


def test_a_step_is_guessed_from_nearly_all_prices():
    columns = clean("trades", 5_000)
    columns["price"][[10, 20]] += 0.003
    part = check(to_arrow("trades", columns)).parts[0]
    assert any(note.startswith("tick size taken to be 0.01") for note in part.notes)
    assert {each.kind: each.count for each in part.findings} == {"off_grid_prints": 2}
    columns["price"] = columns["price"] + np.random.default_rng(0).random(5_000) * 1e-3
    assert any("the grid was not looked at" in note for note in check(to_arrow("trades", columns)).parts[0].notes)
