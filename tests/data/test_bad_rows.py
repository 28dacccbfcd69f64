"""Bad rows of the files that are imported: each choice that is offered changes what becomes of them, and no other is taken."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from cift.data.catalog import Catalog
from cift.data.importers import import_bitstamp, import_lobster
from cift.data.importers.bad_rows import CHOICES
from cift.data.screen import POLICIES
from cift.errors import DataError, InvalidParameter
from tests.data.test_bitstamp import assert_book_is_sound, book, log_of, order, trade
from tests.data.test_lobster import story

LOBSTER = {
    "duplicate": "34200,1,1,100,1000100,1\n34201,1,1,60,1000100,1\n34202,3,1,60,1000100,1\n",
    "negative_price": "34200,1,1,100,1000100,-1\n34201,1,2,60,-20100,1\n",
    "zero_price": "34200,1,1,100,1000100,-1\n34201,1,2,60,0,1\n",
    "price_jump": "34200,5,0,7,1000100,1\n34201,5,0,7,2000000000,1\n",
}
BITSTAMP = {
    "duplicate": log_of(
        order("created", 1, "bid", "100.01", "1.00000000"),
        order("created", 1, "bid", "100.02", "0.60000000"),
        order("deleted", 1, "bid", "100.02", "0.60000000"),
    ),
    "negative_price": log_of(
        order("created", 1, "ask", "100.01", "1.00000000"), order("created", 2, "bid", "-2.01", "0.60000000")
    ),
    "zero_price": log_of(order("created", 1, "ask", "100.01", "1.00000000"), order("created", 2, "bid", "0.00", "0.60000000")),
    "price_jump": log_of(trade(100.01, 0.5), trade(200000.0, 0.5)),
}
FILES = {"lobster": LOBSTER, "bitstamp": BITSTAMP}
CASES = [(vendor, kind) for vendor in FILES for kind in CHOICES]


def imported(folder: Path, vendor: str, text: str, **policies: str) -> tuple[Catalog, Any]:
    path = folder / "2012-06-21.txt"
    path.write_text(text)
    catalog = Catalog(folder / "catalog")
    if vendor == "lobster":
        return catalog, import_lobster(catalog, path, symbol="ABC.XNAS", policies=policies)
    return catalog, import_bitstamp(catalog, path, policies=policies)


def suspects(catalog: Catalog) -> list[str]:
    import polars as pl

    frame = pl.scan_parquet(catalog.path / "mbo").sort("sequence").collect()
    marked = frame["flags"].to_list()
    return [line for line, flags in zip(story(catalog), marked, strict=True) if flags & 4]


@pytest.mark.parametrize(("vendor", "kind"), CASES)
def test_reject_names_file_row_and_value_and_leaves_the_catalog_as_it_was(tmp_path: Path, vendor: str, kind: str) -> None:
    good = FILES[vendor]["price_jump"]
    catalog, _ = imported(tmp_path, vendor, good, price_jump="pass")
    before = story(catalog)
    value = {
        "duplicate": "order 1 is announced again",
        "negative_price": "price -2",
        "zero_price": "price 0",
        "price_jump": "price 200000.0",
    }[kind]
    with pytest.raises(DataError, match=rf"2012-06-21\.txt, row 2: .*{value}") as caught:
        imported(tmp_path, vendor, FILES[vendor][kind], **{kind: "reject"})
    assert f"pass policies={{'{kind}': " in str(caught.value)
    assert story(catalog) == before


@pytest.mark.parametrize(("vendor", "kind"), CASES)
def test_pass_lets_a_row_through_and_counts_it(tmp_path: Path, vendor: str, kind: str) -> None:
    catalog, report = imported(tmp_path, vendor, FILES[vendor][kind], **{kind: "pass"})
    assert report.counts[kind] == 1
    assert report.quarantine == ()
    assert any(line.startswith("2: ") for line in story(catalog))
    assert suspects(catalog) == []
    assert_book_is_sound(catalog)


@pytest.mark.parametrize(("vendor", "kind"), [(vendor, kind) for vendor, kind in CASES if "flag" in POLICIES[kind]])
def test_flag_lets_a_row_through_marks_and_counts_it(tmp_path: Path, vendor: str, kind: str) -> None:
    catalog, report = imported(tmp_path, vendor, FILES[vendor][kind], **{kind: "flag"})
    assert report.counts[kind] == 1
    assert suspects(catalog) == [line for line in story(catalog) if line.startswith("2: ")] != []


@pytest.mark.parametrize("vendor", FILES)
def test_a_duplicate_is_left_out_unless_it_is_asked_for(tmp_path: Path, vendor: str) -> None:
    stories = []
    for policies in ({}, {"duplicate": "quarantine"}):
        catalog, report = imported(tmp_path, vendor, FILES[vendor]["duplicate"], **policies)
        assert [(row.row, row.reason) for row in report.quarantine] == [(2, "duplicate")]
        assert report.counts["duplicate"] == report.counts["quarantined"] == 1
        stories.append(story(catalog))
    assert stories[0] == stories[1]
    assert not [line for line in stories[0] if line.startswith("2: ")]


@pytest.mark.parametrize("vendor", FILES)
def test_an_order_announced_again_stands_as_the_second_announcement_says(tmp_path: Path, vendor: str) -> None:
    catalog, report = imported(tmp_path, vendor, FILES[vendor]["duplicate"], duplicate="pass")
    first, second = ("100", "60@100.01") if vendor == "lobster" else ("1", "0.6@100.02")
    assert story(catalog)[1:] == [
        f"1: add bid {first}@100.01 #1 L",
        f"2: cancel bid {first}@100.01 #1",
        f"2: add bid {second} #1 L",
        f"3: cancel bid {second} #1 L",
    ]
    assert "delete_of_another_size" not in report.counts


def test_an_order_announced_again_may_cross_be_empty_or_come_a_third_time(tmp_path: Path) -> None:
    text = log_of(
        order("created", 1, "bid", "99.00", "1.00000000"),
        order("created", 2, "ask", "101.00", "0.50000000"),
        order("created", 1, "bid", "101.00", "1.00000000"),
        order("created", 1, "bid", "98.00", "2.00000000"),
        order("created", 1, "bid", "98.00", "0.00000000"),
        book({"98.00": "2.00000000"}, {}),
    )
    catalog, report = imported(tmp_path, "bitstamp", text, duplicate="flag")
    assert_book_is_sound(catalog)
    assert report.counts["duplicate"] == 3
    assert report.counts["books_reproduced"] == 1
    assert [(row.row, row.reason) for row in report.quarantine] == [(5, "zero_size")]


@pytest.mark.parametrize("vendor", FILES)
def test_the_choice_of_a_kind_that_cannot_act_is_refused(tmp_path: Path, vendor: str) -> None:
    others = [(kind, policy) for kind, allowed in POLICIES.items() if kind not in CHOICES for policy in allowed]
    for kind, policy in others:
        with pytest.raises(InvalidParameter, match=f"'{kind}'.*; the kinds that do are {', '.join(CHOICES)}"):
            imported(tmp_path, vendor, FILES[vendor]["duplicate"], **{kind: policy})
    # Left out alone, a print would be missing beside the fill that it belongs to.
    with pytest.raises(InvalidParameter, match="price_jump may be flag or pass or reject, not 'quarantine'"):
        imported(tmp_path, vendor, FILES[vendor]["duplicate"], price_jump="quarantine")


@pytest.mark.parametrize("vendor", FILES)
def test_a_file_without_bad_rows_is_the_same_under_any_choice(tmp_path: Path, vendor: str) -> None:
    good = "34200,1,1,100,1000100,1\n" if vendor == "lobster" else log_of(order("created", 1, "bid", "99.00", "1.00000000"))
    stories = set()
    for duplicate, price in itertools.product(POLICIES["duplicate"], POLICIES["zero_price"]):
        catalog, report = imported(tmp_path, vendor, good, duplicate=duplicate, zero_price=price, negative_price=price)
        stories.add((*story(catalog), *report.counts))
    assert len(stories) == 1
