"""`cift data check`, `hash`, `delete`, `consolidate`, and all that `verify` names."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import cift
from cift.data.columns import to_arrow
from tests.data.doctor.clean import clean


@pytest.fixture
def copy(catalog, tmp_path):
    """A catalog that a test may change."""
    shutil.copytree(catalog.path, tmp_path / "copy")
    return cift.Catalog(tmp_path / "copy")


def file_of(folder, **changes):
    columns = clean("trades")
    for name, (row, value) in changes.items():
        columns[name][row] = value
    path = folder / "trades.parquet"
    pq.write_table(to_arrow("trades", columns), path)
    return path


def test_a_sound_catalog_has_no_finding(call, catalog):
    answer = call("data", "check", catalog.path, "--json")
    assert answer.code == 0
    assert set(answer.json) == {"source", "rows", "worst", "elapsed_s", "parts", "findings", "exit_code", "html"}
    assert (answer.json["worst"], answer.json["findings"]) == (None, [])
    assert len(answer.json["parts"]) == 6
    text = call("data", "check", "ONE.SIM", "--catalog", catalog.path)
    assert (text.code, text.out.splitlines()[-1]) == (0, "nothing found")
    assert "TWO.SIM" not in text.out
    one_day = call(
        "data", "check", catalog.path, "--symbol", "TWO.SIM", "--start", "2026-01-05", "--schema", "trades", "--json"
    )
    assert [part["schema"] for part in one_day.json["parts"]] == ["trades"]
    (path,) = catalog.path.glob("quotes/symbol=ONE.SIM/*/*.parquet")
    assert call("data", "check", path, "--json").json["parts"][0]["symbol"] == "ONE.SIM"


@pytest.mark.parametrize(
    ("changes", "code", "kind"),
    [
        ({}, 0, None),
        ({"price": (5, 100.005)}, 0, "off_grid_prints"),
        ({"size": (5, 0.0)}, 1, "zero_size"),
        ({"price": (5, float("inf"))}, 2, "infinite"),
    ],
)
def test_the_exit_code_is_that_of_the_gravest_finding(call, tmp_path, changes, code, kind):
    answer = call("data", "check", file_of(tmp_path, **changes), "--json")
    assert (answer.code, answer.json["exit_code"]) == (code, code)
    assert [each["kind"] for each in answer.json["findings"]] == [kind] * (kind is not None)
    if kind is not None:
        (finding,) = answer.json["findings"]
        assert finding["examples"][0]["row"] == 5
        text = call("data", "check", tmp_path / "trades.parquet").out
        assert f"{finding['severity']:<8}{kind}" in text
        assert "row 5: " in text


def test_a_csv_is_read_by_the_names_of_its_columns(call, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("t;p;q;EX\n" + "".join(f"{1_767_571_200_000 + n};100.0{n % 5};{n % 7};{'NQ'[n % 2]}\n" for n in range(100)))
    options = ["--column", "ts_event=t", "--column", "price=p", "--column", "size=q", "--time-unit", "ms", "--delimiter", ";"]
    answer = call("data", "check", path, *options, "--schema", "trades", "--where", "EX=N", "--json")
    assert answer.code == 1
    assert answer.json["rows"] == 50
    (finding,) = answer.json["findings"]
    assert (finding["kind"], finding["count"]) == ("zero_size", len([n for n in range(0, 100, 2) if n % 7 == 0]))
    assert finding["examples"][0]["row"] == 2  # the line in the file
    unnamed = call("data", "check", path, "--delimiter", ";")
    assert unnamed.code == 2
    assert "which tell no schema" in unnamed.err


def test_what_is_not_there_is_wrong_use(call, catalog, tmp_path):
    assert "neither a file nor a folder" in call("data", "check", "ONE.SIM").err
    missing = call("data", "check", "OEN.SIM", "--catalog", catalog.path)
    assert (missing.code, "did you mean ONE.SIM" in missing.err) == (2, True)
    assert "pass both" in call("data", "check", catalog.path, "--to", tmp_path / "x").err
    assert "named twice" in call("data", "check", "ONE.SIM", "--catalog", catalog.path, "--symbol", "TWO.SIM").err
    (tmp_path / "empty").mkdir()
    assert "neither a catalog nor" in call("data", "check", tmp_path / "empty").err


def test_a_report_and_a_repair_are_written(call, tmp_path):
    path = file_of(tmp_path, price=(5, float("inf")))
    page, new = tmp_path / "report.html", tmp_path / "new.parquet"
    answer = call("data", "check", path, "--html", page, "--repair", "--to", new, "--json")
    assert answer.code == 2
    assert answer.json["repair"]["counts"] == {"infinite": 1}
    assert "<svg" in page.read_text()
    assert call("data", "check", new).code == 1  # one number of the venue is missing now
    text = call("data", "check", path, "--repair", "--html", page)
    assert "repaired: " in text.out
    assert f"report: {page}" in text.out
    again = call("data", "check", path, "--repair")
    assert (again.code, "exists" in again.err) == (2, True)


def test_the_hash_of_a_selection(call, catalog):
    answer = call("data", "hash", catalog.path, "ONE.SIM", "--json")
    assert answer.json["content_hash"] == catalog.content_hash("ONE.SIM")
    text = call("data", "hash", catalog.path, "ONE.SIM", "--start", "2026-01-05T10:00", "--end", "2026-01-05T11:00").out
    assert [line.split() for line in text.splitlines()] == [
        [schema, value] for schema, value in catalog.content_hash("ONE.SIM", "2026-01-05T10:00", "2026-01-05T11:00").items()
    ]
    assert call("data", "hash", catalog.path, "ONE.SIM", "--start", "2027-01-01").code == 2


def test_deleting_asks(call, copy, monkeypatch):
    refused = call("data", "delete", copy.path, "ONE.SIM")
    assert (refused.code, "pass --yes" in refused.err) == (2, True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked = []
    monkeypatch.setattr("typer.confirm", lambda text: bool(asked.append(text)))
    answer = call("data", "delete", copy.path, "ONE.SIM", "--start", "2026-01-05T10:00", "--end", "2026-01-05T11:00")
    assert (answer.code, answer.out) == (1, "nothing was deleted\n")
    assert "from 2026-01-05T10:00 to 2026-01-05T11:00 of ONE.SIM" in asked[0]
    before = sum(copy.ls()["rows"])
    period = ("--start", "2026-01-05T10:00", "--end", "2026-01-05T11:00")
    done = call("data", "delete", copy.path, "ONE.SIM", *period, "--yes", "--json").json
    assert done["partitions"] == 3
    assert done["rows"] == before - sum(copy.ls()["rows"]) > 0
    times = copy.ticks("ONE.SIM", level="L1").feeds[0].chunks(None)
    stamps = np.concatenate([chunk.columns["ts_event"] for chunk in times]).astype("datetime64[ns]")
    assert not ((stamps >= np.datetime64("2026-01-05T10:00")) & (stamps < np.datetime64("2026-01-05T11:00"))).any()
    everything = call("data", "delete", copy.path, "ONE.SIM", "--yes")
    assert everything.out.endswith("; 0 left\n")
    assert copy.symbols() == ["TWO.SIM"]


def test_consolidate_says_what_it_did(call, copy):
    (path,) = copy.path.glob("quotes/symbol=ONE.SIM/*/*.parquet")
    shutil.copy(path, path.with_name("foreign.parquet"))
    answer = call("data", "consolidate", copy.path, "--json").json
    assert (answer["partitions"], answer["removed"]) == (0, [])
    assert answer["foreign"] == [str(path.with_name("foreign.parquet"))]
    assert "let be" in call("data", "consolidate", copy.path).out


def test_verify_names_all_that_is_damaged(call, copy):
    files = sorted(copy.path.glob("trades/*/*/*.parquet"))
    for path in files:
        path.write_bytes(path.read_bytes()[:-1])
    answer = call("data", "verify", copy.path, "--json")
    assert answer.code == 1
    assert (answer.json["ok"], answer.json["partitions"], len(answer.json["damaged"])) == (False, 6, 2)
    text = call("data", "verify", copy.path).err
    assert all(path.name in text for path in files)
    assert "2 of 6 partitions damaged" in text
    assert call("data", "check", copy.path).code == 2
