"""`cift data`: import, ls, describe, verify."""

from __future__ import annotations

import shutil

import polars as pl
import pytest

import cift
from tests.data import dbn, depth
from tests.data.archive import serving, zipped

MESSAGES = """\
34200.000000001,1,11,100,1000000,1
34200.000000002,1,12,50,1000200,-1
34200.5,4,11,40,1000000,1
34201,3,12,50,1000200,-1
"""


def test_ls_lists_partitions(call, catalog):
    answer = call("data", "ls", catalog.path, "--json")
    assert answer.code == 0
    assert {(row["schema"], row["symbol"], row["date"]) for row in answer.json["partitions"]} == {
        (schema, symbol, "2026-01-05") for schema in ("mbo", "quotes", "trades") for symbol in ("ONE.SIM", "TWO.SIM")
    }
    text = call("data", "ls", catalog.path).out
    assert len(text.splitlines()) == 6
    assert "ONE.SIM" in text


def test_describe_says_what_is_stored(call, catalog):
    answer = call("data", "describe", catalog.path, "ONE.SIM", "--json")
    (one,) = answer.json["symbols"]
    assert one == catalog.describe("ONE.SIM")
    text = call("data", "describe", catalog.path).out
    assert "TWO.SIM" in text
    assert "tick_size 0.01" in text
    wrong = call("data", "describe", catalog.path, "OEN.SIM")
    assert wrong.code == 2
    assert "did you mean ONE.SIM" in wrong.err


def test_verify_reads_every_file(call, catalog, tmp_path):
    assert call("data", "verify", catalog.path, "--json").json["partitions"] == 6
    copy = tmp_path / "copy"
    shutil.copytree(catalog.path, copy)
    file = sorted(copy.glob("trades/*/*/*.parquet"))[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    answer = call("data", "verify", copy)
    assert answer.code == 1
    assert file.name in answer.err
    assert call("data", "verify", copy, "--json").json["ok"] is False


def test_a_lobster_file_is_imported(call, tmp_path):
    messages = tmp_path / "ABC_2012-06-21_message.csv"
    messages.write_text(MESSAGES)
    answer = call("data", "import", "lobster", messages, "--to", tmp_path / "catalog", "--symbol", "ABC.XNAS", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == {
        "source", "symbol", "rows_read", "rows_written", "counts", "elapsed_s", "notes", "quarantined",
    }  # fmt: skip
    assert answer.json["rows_read"] == 4
    assert cift.Catalog(tmp_path / "catalog").describe("ABC.XNAS")["schemas"]["mbo"]["rows"] == answer.json["rows_written"]
    messages.write_text(MESSAGES + "not a message\n")
    wrong = call("data", "import", "lobster", messages, "--to", tmp_path / "other", "--symbol", "ABC.XNAS")
    assert wrong.code == 2
    assert "row 5" in wrong.err
    assert cift.Catalog(tmp_path / "other").symbols() == []


def test_what_becomes_of_a_kind_of_bad_row_can_be_chosen(call, tmp_path):
    messages = tmp_path / "ABC_2012-06-21_message.csv"
    messages.write_text(MESSAGES + "34202,1,11,70,1000100,1\n")
    command = ("data", "import", "lobster", messages, "--symbol", "ABC.XNAS", "--json", "--to")
    counts = {}
    for policy in ("quarantine", "flag", "pass"):
        answer = call(*command, tmp_path / policy, "--policy", f"duplicate={policy}", "--policy", "price_jump=pass")
        assert answer.code == 0, answer.err
        counts[policy] = (answer.json["counts"]["duplicate"], len(answer.json["quarantined"]), answer.json["rows_written"])
    assert counts == {"quarantine": (1, 1, 7), "flag": (1, 0, 9), "pass": (1, 0, 9)}
    answer = call(*command, tmp_path / "three", "--policy", "duplicate=reject")
    assert answer.code == 2
    assert "ABC_2012-06-21_message.csv, row 5: order 11 is announced again" in answer.err
    assert cift.Catalog(tmp_path / "three").symbols() == []
    for given, told in (
        ("price_jump", "is not KIND=POLICY; write for example --policy duplicate=reject"),
        ("bad=pass", "the kinds are nan,"),
        ("nan=pass", "nan may be"),
        ("locked_quote=pass", "the kinds that do are duplicate, negative_price, zero_price, price_jump"),
    ):
        answer = call(*command, tmp_path / "three", "--policy", given)
        assert answer.code == 2
        assert told in answer.err


def test_a_bitstamp_log_that_is_none_is_refused(call, tmp_path):
    log = tmp_path / "x.log"
    log.write_text("hello\n")
    answer = call("data", "import", "bitstamp", log, "--to", tmp_path / "catalog")
    assert answer.code == 2
    assert "x.log" in answer.err


def test_a_file_of_databento_is_imported(call, tmp_path):
    records = (dbn.trade("T B 2@100.50 0"), dbn.trade("T A 1@200.75 0", ms=1, instrument_id=6))
    file = dbn.write(tmp_path / "x.dbn.zst", dbn.header("trades", {"ESH6": 5, "NQH6": 6}), *records)
    told = dbn.write(tmp_path / "d.dbn", dbn.header("definition"), dbn.definition())
    command = ("data", "import", "databento", file, "--json", "--to", tmp_path / "catalog")
    answer = call(*command, "--symbol", "ESH6", "--definitions", told, "--multiplier", "50")
    assert answer.code == 0, answer.err
    assert (answer.json["symbol"], answer.json["rows_written"]) == ("ESH6.GLBX", 1)
    instrument = cift.Catalog(tmp_path / "catalog").instruments()["ESH6.GLBX"]
    assert (float(instrument.tick_size), instrument.multiplier) == (0.25, 50)
    wrong = call(*command, "--symbol", "ESH7")
    assert wrong.code == 2
    assert "it holds ESH6.GLBX, NQH6.GLBX" in wrong.err


TABLES = {
    "table": (
        "x.csv",
        "when,EX,last,size\n7,N,10.5,3\n8,P,10.5,4\n",
        [
            "--schema",
            "trades",
            "--column",
            "ts_event=when",
            "--column",
            "price=last",
            "--date",
            "2026-01-05",
            "--time-unit",
            "ms",
            "--where",
            "EX=N",
        ],
    ),
    "taq": (
        "x.csv",
        "ts_us,EX,SYMBOL,PRICE,SIZE,COND,CORR\n1767571200000000,N,ABC,10.5,3,,0\n1767571200000000,N,ABC,10.5,3,T,0\n",
        ("--all-hours", "--skip-conditions", "T", "--exchange", "N"),
    ),
    "tardis": (
        "x.csv",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\nSIM,ABC,1767571200000000,1767571200000001,1,buy,1,1\n",
        ("--tick-size", "0.5"),
    ),
    "binance": ("x.csv", "7,10.5,0.5,5.25,1767571200000,True,True\n", ("--lot-size", "0.1")),
    "bybit": (
        "x.data",
        '{"topic":"orderbook.1.ABC","type":"delta","ts":1767571200000,"data":{"s":"ABC","b":[["1","2"]],"a":[],"u":7}}\n',
        ("--tick-size", "0.5"),
    ),
    "hyperliquid": (
        "x.log",
        '{"channel":"trades","data":[{"coin":"ABC","side":"B","px":"1","sz":"2","time":1767571200000,"tid":7}]}\n',
        ("--tick-size", "0.5"),
    ),
    "lean": ("20260105_abc.csv", "7,1.25,1.5\n", ("--size", "1000", "--tick-size", "0.25")),
    "truefx": ("x.csv", "timestamp,bid,ask\n2026-01-05 00:00:00Z,1.25,1.5\n", ("--size", "1000")),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_imported(call, tmp_path, name):
    file, text, options = TABLES[name]
    path = tmp_path / file
    path.write_text(text)
    command = ("data", "import", name, path, "--json", "--symbol", "ABC.SIM", "--to", tmp_path / "catalog")
    answer = call(*command, *options)
    assert answer.code == 0, answer.err
    assert (answer.json["symbol"], answer.json["rows_written"]) == ("ABC.SIM", 1)
    assert cift.Catalog(tmp_path / "catalog").symbols() == ["ABC.SIM"]


def test_parquet_is_a_table_too_and_a_wrong_option_is_told(call, tmp_path):
    path = tmp_path / "x.parquet"
    pl.DataFrame({"ts_event": [1_767_571_200_000_000_000], "price": [1.5], "size": [2]}).write_parquet(path)
    command = ("data", "import", "table", path, "--schema", "trades", "--symbol", "ABC.SIM", "--to", tmp_path / "catalog")
    assert call(*command).code == 0
    wrong = call(*command, "--names", "a,b")
    assert wrong.code == 2
    assert "Parquet names its columns" in wrong.err
    bare = tmp_path / "bare.csv"
    bare.write_text("1767571200000000000;1.5;2\n")
    command = (*command[:3], bare, *command[4:])
    answer = call(*command, "--names", "ts,price,size", "--delimiter", ";", "--json")
    assert (answer.code, answer.json["rows_written"]) == (0, 1)
    wrong = call(*command, "--column", "price")
    assert wrong.code == 2
    assert "--column price is not OURS=THEIRS; write for example --column bid_price=BID" in wrong.err


def test_no_catalog_is_told(call, tmp_path):
    for command in ("ls", "describe", "verify"):
        answer = call("data", command, tmp_path / "nowhere")
        assert answer.code == 2
        assert "there is no catalog" in answer.err


def test_the_version_is_told(call):
    assert call("--version").out == f"cift {cift.__version__}\n"


def test_a_table_of_bars_is_imported(call, tmp_path):
    file = tmp_path / "abc.csv"
    file.write_text("Date,Open,High,Low,Close,Adj Close,Volume\n2026-01-05,100.5,101.25,100,101,50.5,1000\n")
    command = ("data", "import", "table", file, "--to", tmp_path / "catalog", "--symbol", "ABC.XNYS", "--schema", "bars")
    answer = call(*command, "--spec", "1d", "--calendar", "XNYS", "--json")
    assert answer.code == 0, answer.err
    assert "session of its date" in answer.json["notes"][0]
    bar = cift.Catalog(tmp_path / "catalog").bars("ABC.XNYS", "1d").row(0, named=True)
    assert (bar["ts_open"].hour, bar["ts_event"].hour, bar["volume"]) == (14, 21, 1000)
    other = call(*command, "--spec", "1h", "--stamp", "close", "--json")
    assert "stamp='close'" in other.json["notes"][0]
    wrong = call(*command)
    assert wrong.code == 2
    assert "pass spec=" in wrong.err


def test_a_day_is_fetched_from_an_archive(call, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CIFT_CACHE", str(tmp_path / "cache"))
    name = "BTCUSDT-trades-2026-01-05"
    command = ("data", "fetch", "binance", "BTCUSDT", "2026-01-05", "--to", tmp_path / "catalog", "--json", "--base-url")
    with serving() as archive:
        path = f"/data/spot/daily/trades/BTCUSDT/{name}.zip"
        archive.put(path, zipped(f"{name}.csv", "1,100.5,1,1,1767571200000000,True,True\n"))
        answer = call(*command, archive.url)
        missing = call(
            "data", "fetch", "binance", "ETHUSDT", "2026-01-05", "--to", tmp_path / "catalog", "--base-url", archive.url
        )
    assert answer.code == 0, answer.err
    (day,) = answer.json["days"]
    assert (day["symbol"], day["rows_written"]) == ("BTCUSDT.BINANCE", 1)
    assert missing.code == 2
    assert "check that ETHUSDT was traded that day" in missing.err


def test_several_recordings_are_imported_in_their_order(call, tmp_path):
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text(depth.snapshot(1, {10: 1}, {11: 1}) + depth.diff(2, 2, {10: 2}, {}))
    second.write_text(depth.diff(3, 3, {}, {11: 5}))
    answer = call("data", "import", "binance", first, second, "--json", "--to", tmp_path / "catalog")
    assert answer.code == 0, answer.err
    assert (answer.json["symbol"], answer.json["rows_written"]) == ("BTCUSDT.BINANCE", 5)
    assert "gaps" not in answer.json["counts"]
