"""`cift data export`."""

from __future__ import annotations

import polars as pl

import cift


def test_a_symbol_is_written_as_one_file(call, catalog, tmp_path):
    target = tmp_path / "one.parquet"
    answer = call("data", "export", catalog.path, "--symbol", "ONE.SIM", "--schema", "quotes", "--to", target, "--json")
    assert answer.code == 0, answer.err
    stored = catalog.describe("ONE.SIM")["schemas"]["quotes"]
    assert set(answer.json) == {
        "catalog", "path", "format", "symbol", "schema", "rows", "bytes", "content_hash", "elapsed_s", "notes",
    }  # fmt: skip
    assert (answer.json["rows"], answer.json["content_hash"]) == (stored["rows"], stored["content_hash"])
    assert pl.read_parquet(target).height == stored["rows"]
    again = call("data", "export", catalog.path, "--symbol", "ONE.SIM", "--schema", "quotes", "--to", target)
    assert again.code == 2
    assert "--overwrite" in again.err
    text = call("data", "export", catalog.path, "--symbol", "ONE.SIM", "--schema", "quotes", "--to", target, "--overwrite").out
    assert f"{stored['rows']:,} rows" in text


def test_what_was_exported_is_imported_with_the_same_content(call, catalog, tmp_path):
    for name in ("t.csv.gz", "t.dbn.zst"):
        schema = "quotes" if ".dbn" in name else "trades"
        choice = ("--symbol", "ONE.SIM", "--schema", schema)
        told = call("data", "export", catalog.path, *choice, "--to", tmp_path / name, "--json").json
        kind = ("databento",) if ".dbn" in name else ("table",)
        told_again = () if ".dbn" in name else choice
        made = call("data", "import", *kind, tmp_path / name, "--to", tmp_path / "new", *told_again)
        assert made.code == 0, made.err
        assert cift.Catalog(tmp_path / "new").describe("ONE.SIM")["schemas"][schema]["content_hash"] == told["content_hash"]


def test_a_period_and_a_format_can_be_asked_for(call, catalog, tmp_path):
    choice = ("--symbol", "TWO.SIM", "--schema", "trades", "--start", "2026-01-05T10:00", "--end", "2026-01-05T11:00")
    target = tmp_path / "t.csv"
    answer = call("data", "export", catalog.path, *choice, "--to", target, "--format", "dbn-csv", "--json")
    assert answer.code == 0, answer.err
    lines = target.read_text().splitlines()
    assert lines[0].startswith("ts_recv,ts_event,rtype,publisher_id,")
    assert len(lines) - 1 == answer.json["rows"] < catalog.describe("TWO.SIM")["schemas"]["trades"]["rows"]


def test_wrong_use_is_a_sentence(call, catalog, tmp_path):
    wrong = call("data", "export", catalog.path, "--to", tmp_path / "x.csv")
    assert wrong.code == 2
    assert "--symbol" in wrong.err
    server = call("data", "export", catalog.path, "--symbol", "ONE.SIM", "--to", "questdb://localhost:9000")
    assert server.code == 2
    assert "cift data load" in server.err
    absent = call("data", "export", tmp_path / "none", "--to", tmp_path / "x.csv")
    assert absent.code == 2
    assert list(tmp_path.iterdir()) == []
