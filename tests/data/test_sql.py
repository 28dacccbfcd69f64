"""SELECTs over a catalog: what they see, what they may not do, and that damage is no number."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import cift
from cift.data.demo import generate
from cift.errors import CorruptData, InvalidParameter, NoData


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> cift.Catalog:
    catalog = cift.Catalog(tmp_path_factory.mktemp("catalog"))
    for symbol, day in (("ONE.SIM", "2026-01-05"), ("ONE.SIM", "2026-01-06"), ("A/B C.SIM", "2026-01-05")):
        generate(catalog, symbol, day, 3_000, seed=1)
    return catalog


def test_a_select_sees_what_the_catalog_holds(catalog: cift.Catalog) -> None:
    found = catalog.sql("select symbol, date, count(*) as rows from mbo group by all order by all")
    stored = catalog.ls().filter(pl.col("schema") == "mbo").sort("symbol", "date")
    assert found["symbol"].to_list() == ["A/B C.SIM", "ONE.SIM", "ONE.SIM"]
    assert found["date"].to_list() == [date(2026, 1, 5), date(2026, 1, 5), date(2026, 1, 6)]
    assert found["rows"].to_list() == stored["rows"].to_list()


def test_times_are_nanoseconds_of_utc_and_words_are_words(catalog: cift.Catalog) -> None:
    found = catalog.sql(
        "select ts_event, aggressor, price from trades where symbol = ? order by ts_event, sequence limit 5", ["ONE.SIM"]
    )
    feed = next(feed for feed in catalog.ticks("ONE.SIM", level="L1").feeds if feed.schema == "trades")
    (chunk,) = feed.chunks(None)
    assert found.schema["ts_event"] == pl.Datetime("ns", "UTC")
    assert found["ts_event"].cast(pl.Int64).to_list() == chunk.columns["ts_event"][:5].tolist()
    assert found["price"].to_list() == chunk.columns["price"][:5].tolist()
    assert set(found["aggressor"]) <= {"buy", "sell", "none"}


def test_values_are_bound_by_place_and_by_name_and_stay_values(catalog: cift.Catalog) -> None:
    evil = "x' or 1=1; drop table trades; --"
    assert catalog.sql("select * from trades where symbol = ?", [evil]).is_empty()
    assert catalog.sql("select * from trades where symbol = $name", {"name": evil}).is_empty()
    assert catalog.sql("select $name as said", {"name": evil}).item() == evil


def test_a_query_joins_frames_that_it_is_given(catalog: cift.Catalog) -> None:
    mine = pl.DataFrame({"symbol": ["ONE.SIM"], "note": ["mine"]})
    found = catalog.sql("select distinct note from trades join mine using (symbol)", tables={"mine": mine})
    assert found["note"].to_list() == ["mine"]
    with pytest.raises(InvalidParameter, match="tables= names 'trades', which the catalog has itself"):
        catalog.sql("select 1", tables={"trades": mine})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "one SELECT"),
        ("select 1; select 2", "one SELECT"),
        ("drop table trades", "one SELECT"),
        ("copy trades to 'out.csv'", "one SELECT"),
        ("attach 'other.db'", "one SELECT"),
        ("install httpfs", "one SELECT"),
        ("set enable_external_access = true", "one SELECT"),
        ("select * from read_csv('/etc/passwd')", "disabled by configuration"),
        ("select * from '/etc/passwd'", "Tables are mbo, quotes, trades"),
        ("select * from prints", "Tables are mbo, quotes, trades"),
        ("select prize from trades", 'Candidate bindings: "price"'),
        ("selec 1", "syntax error"),
        ("select * from trades where symbol = ?", "Values were not provided"),
    ],
)
def test_what_cannot_be_answered_is_said_and_changes_nothing(catalog: cift.Catalog, text: str, words: str) -> None:
    before = sorted(catalog.path.rglob("*"))
    with pytest.raises(InvalidParameter, match=words):
        catalog.sql(text)
    assert sorted(catalog.path.rglob("*")) == before


def test_names_of_the_caller_are_not_tables(catalog: cift.Catalog) -> None:
    secret = pl.DataFrame({"x": [1]})  # noqa: F841 (the query names it)
    with pytest.raises(InvalidParameter, match="secret does not exist"):
        catalog.sql("select * from secret")


@pytest.mark.parametrize("place", ["page", "footer"])
def test_a_flipped_bit_is_an_error(tmp_path: Path, place: str) -> None:
    catalog = cift.Catalog(tmp_path)
    generate(catalog, "ONE.SIM", "2026-01-05", 2_000, seed=1)
    (file,) = tmp_path.glob("trades/symbol=*/date=*/*.parquet")
    content: Any = bytearray(file.read_bytes())
    content[len(content) // 3 if place == "page" else -40] ^= 16
    file.write_bytes(content)
    with pytest.raises(CorruptData):
        catalog.sql("select * from trades")


def test_an_empty_catalog_has_nothing_to_ask_for(tmp_path: Path) -> None:
    with pytest.raises(NoData, match="holds no data"):
        cift.Catalog(tmp_path).sql("select 1")
