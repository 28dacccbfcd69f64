"""`cift verify`: a saved run again, and what differs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile

import polars as pl
import pytest

import cift
from cift.data.demo import generate
from cift.errors import CorruptData, NotSupported
from tests.cli.conftest import ROOT


@pytest.fixture
def saved(call, catalog, strategy, tmp_path):
    """A saved run of `my_cross.py` over a catalog of its own."""
    copy = tmp_path / "catalog"
    shutil.copytree(catalog.path, copy)
    path = tmp_path / "run.cift"
    answer = call(
        "run", f"{strategy}:Cross", "--data", f"{copy}:ONE.SIM", "-p", "fast=4", "--latency", "250us", "--taker-bps", 0.35,
        "--maker-bps", -0.1, "--save", path, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    return path


def verified(path, *more):
    """`cift verify` in a process of its own, where nothing of the saved run is loaded."""
    done = subprocess.run(
        [sys.executable, "-m", "cift.cli", "verify", str(path), *map(str, more)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def rewritten(saved, path, change):
    """A saved run with its record changed."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "record.json":
                content = json.dumps(change(json.loads(content))).encode()
            target.writestr(name, content)
    return path


def differing(answer):
    return {part["part"] for part in answer.json["parts"] if part["verdict"] == "differs"}


def test_a_saved_run_is_found_again_and_equal(saved, call):
    code, out, err = verified(saved)
    assert (code, err) == (0, "")
    assert out.startswith("equal: Cross on ONE.SIM")
    assert "every part of the fingerprint is the same" in out
    answer = call("verify", saved, "--json")
    assert set(answer.json) == {"run", "equal", "digest_saved", "digest_now", "parts", "problem"}
    assert answer.json["equal"] is True
    assert answer.json["digest_saved"] == answer.json["digest_now"] == cift.load(saved).digest
    assert differing(answer) == set()


def test_changed_code_is_named(saved, strategy):
    text = strategy.read_text()
    strategy.write_text(text.replace("self.target(self.size)", "self.target(2 * self.size)"))
    code, out, _ = verified(saved)
    assert code == 1
    assert out.startswith("differs: Cross")
    assert "  code differs: was " in out
    assert "data" not in out
    strategy.write_text(text + "\n# a remark\n")
    code, out, _ = verified(saved)
    assert code == 0
    assert "the code's text differs, what it decided on this data does not" in out


def test_changed_data_is_named(saved, call):
    origin = cift.load(saved).record.origin["data"]
    generate(cift.Catalog(origin["catalog"]), "ONE.SIM", "2026-01-05", 4_000, seed=99)
    answer = call("verify", saved, "--json")
    assert answer.code == 1
    assert differing(answer) == {"data ONE.SIM mbo"}


def test_a_changed_parameter_or_venue_is_named(saved, call, tmp_path):
    def tampered(change):
        return call("verify", rewritten(saved, tmp_path / "tampered.cift", lambda meta: change(meta) or meta), "--json")

    answer = tampered(lambda meta: meta["parameters"].update(slow=30))
    assert answer.code == 1
    assert differing(answer) == {"parameters slow"}
    answer = tampered(lambda meta: meta["venue"].update(entry_ns=5_000_000))
    assert answer.code == 1
    assert differing(answer) == {"venue entry_ns"}
    answer = tampered(lambda meta: meta["fingerprint"].update(engine="another"))
    assert answer.code == 0
    assert differing(answer) == {"engine"}
    answer = tampered(lambda meta: meta["origin"]["environment"].update(numpy="1.0"))
    assert differing(answer) == {"numpy (not in the fingerprint)"}


def test_a_strategy_or_catalog_that_moved_can_be_told(saved, strategy, tmp_path):
    moved = strategy.rename(tmp_path / "moved.py")
    code, _, err = verified(saved)
    assert code == 2
    assert f"cift verify {saved} --strategy FILE.py:Cross" in err
    data = (tmp_path / "catalog").rename(tmp_path / "elsewhere")
    code, _, err = verified(saved, "--strategy", f"{moved}:Cross")
    assert code == 2
    assert "there is no catalog at" in err
    code, out, err = verified(saved, "--strategy", f"{moved}:Cross", "--data", data)
    assert (code, err) == (0, "")
    assert "every part of the fingerprint is the same" in out


def test_damaged_data_is_told_and_is_not_equal(saved, call):
    folder = cift.load(saved).record.origin["data"]["catalog"]
    (file,) = cift.Catalog(folder).path.glob("mbo/symbol=ONE.SIM/*/*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0x10
    file.write_bytes(content)
    answer = call("verify", saved, "--json")
    assert answer.code == 1
    assert answer.json["equal"] is False
    assert file.name in answer.json["problem"]


def test_a_cut_in_nanoseconds_and_a_session_are_found_again(call, catalog, strategy, tmp_path):
    from cift.cli.strategies import load_strategy

    cross = load_strategy(f"{strategy}:Cross")
    start = cift.Catalog(catalog.path).ticks("ONE.SIM").feeds[0].readers[0].manifest.first_ns
    for number, view in enumerate(
        (
            catalog.ticks("ONE.SIM", start + 10**12 + 1, start + 10**13 + 7, level="L1"),
            catalog.ticks("ONE.SIM", level="L1", session=("10:00", "11:30", "UTC")),
            catalog.ticks("ONE.SIM", session=("10:00", "11:30", "UTC")),
        )
    ):
        path = cift.Backtest(view, cross).run().save(tmp_path / f"{number}.cift")
        answer = call("verify", path, "--json")
        assert answer.json["equal"] is True, answer.out
        assert differing(answer) == set()


def test_a_run_over_a_frame_needs_its_data_told(call, strategy, tmp_path):
    from cift.cli.strategies import load_strategy

    times = pl.datetime_range(pl.datetime(2026, 1, 5), pl.datetime(2026, 1, 5, 0, 5), "1s", eager=True, time_unit="ns")
    mid = 100 + (pl.Series(range(len(times))) * 7 % 11) / 100
    frame = pl.DataFrame(
        {"ts_event": times, "bid_price": mid.round(2), "bid_size": 500.0, "ask_price": (mid + 0.02).round(2), "ask_size": 500.0}
    )
    view = cift.quotes(frame, symbol="FRAME.SIM", tick_size="0.01", lot_size=1)
    path = cift.Backtest(view, load_strategy(f"{strategy}:Cross")).run(fast=2, slow=10).save(tmp_path / "frame.cift")
    answer = call("verify", path)
    assert answer.code == 2
    assert "frames that were in memory" in answer.err
    catalog = cift.Catalog(tmp_path / "stored")
    catalog.write("quotes", "FRAME.SIM", frame, view.instruments[0])
    answer = call("verify", path, "--data", catalog.path)
    assert answer.code == 0, answer.out
    finer = cift.Catalog(tmp_path / "finer")
    finer.write("quotes", "FRAME.SIM", frame, dataclasses.replace(view.instruments[0], tick_size="0.001", multiplier=2))
    answer = call("verify", path, "--data", finer.path, "--json")
    assert answer.code == 1
    assert differing(answer) == {f"instruments FRAME.SIM {step}" for step in ("tick_size", "price_increment", "multiplier")}


def test_a_class_of_a_cell_must_be_put_into_a_file(call, catalog, strategy, tmp_path):
    # As in a kernel: the module __main__ has no file.
    script = (
        "import sys, cift\n"
        f"catalog = cift.Catalog({str(catalog.path)!r})\n"
        f"text = open({str(strategy)!r}).read()\n"
        "exec(compile(text, '<cell>', 'exec'))\n"
        f"cift.Backtest(catalog.ticks('ONE.SIM'), Cross).run().save({str(tmp_path / 'cell.cift')!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)
    answer = call("verify", tmp_path / "cell.cift")
    assert answer.code == 2
    assert "notebook cell or at the prompt" in answer.err
    assert "--strategy FILE.py:Cross" in answer.err
    answer = call("verify", tmp_path / "cell.cift", "--strategy", f"{strategy}:Cross")
    assert answer.code == 0, answer.err
    assert "the code's text differs" in answer.out


def test_a_script_has_the_fingerprint_of_its_file(call, catalog, strategy, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        strategy.read_text() + "\n\nif __name__ == '__main__':\n"
        f"    view = cift.Catalog({str(catalog.path)!r}).ticks('ONE.SIM')\n"
        f"    cift.Backtest(view, Cross).run().save({str(tmp_path / 'script.cift')!r})\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=ROOT, env=None, check=True, timeout=120)
    answer = call("verify", tmp_path / "script.cift", "--json")
    assert answer.code == 0, answer.err
    assert differing(answer) == set()


def test_a_run_that_ended_with_an_error_repeats_it(call, catalog, strategy, tmp_path):
    from cift.cli.strategies import load_strategy

    backtest = cift.Backtest(catalog.ticks("ONE.SIM"), load_strategy(f"{strategy}:Breaks"))
    with pytest.raises(LookupError):
        backtest.run()
    path = backtest.partial.save(tmp_path / "partial.cift")
    assert call("verify", path).code == 0


def test_an_interrupted_run_cannot_be_verified(call, catalog, tmp_path):
    class Interrupted(cift.Strategy):
        def on_trade(self, trade):
            raise KeyboardInterrupt

    backtest = cift.Backtest(catalog.ticks("ONE.SIM"), Interrupted)
    with pytest.raises(KeyboardInterrupt):
        backtest.run()
    answer = call("verify", backtest.partial.save(tmp_path / "stopped.cift"))
    assert answer.code == 2
    assert "interrupted" in answer.err


def test_a_file_that_is_no_run_is_exit_code_2(call, tmp_path):
    (tmp_path / "x.cift").write_text("nothing")
    assert call("verify", tmp_path / "x.cift").code == 2
    missing = call("verify", tmp_path / "missing.cift")
    assert missing.code == 2
    assert "missing.cift" in missing.err


KINDS = """\
import datetime as dt
from decimal import Decimal
from enum import Enum

import numpy as np
import polars as pl

import cift


class Mode(Enum):
    A = 1
    B = 2


class Kinds(cift.Strategy):
    mode: Mode = cift.param(Mode.A)
    modes: tuple = cift.param((Mode.A,))
    amount: Decimal = cift.param(Decimal("1.50"))
    day: dt.date = cift.param(dt.date(2026, 1, 5))
    at: dt.datetime = cift.param(dt.datetime(2026, 1, 5, 10))
    span: dt.timedelta = cift.param(dt.timedelta(seconds=1))
    raw: bytes = cift.param(b"ab")
    pair: tuple = cift.param((5, 10))
    steps: dict = cift.param({1: 2})
    names: set = cift.param({1})

    def on_start(self):
        assert self.mode is self.modes[0]
        self.buy(self.steps[1] + self.pair[0])


class Holds(cift.Strategy):
    frame: pl.DataFrame = cift.param(pl.DataFrame({"a": [1]}))
    array: np.ndarray = cift.param(np.array([1.0, 2.0]))


if __name__ == "__main__":
    import sys

    cift.Backtest(cift.Catalog(sys.argv[1]).ticks("ONE.SIM"), Kinds).run(mode=Mode.B, modes=(Mode.B,)).save(sys.argv[2])
"""


def test_a_run_with_any_plain_parameter_is_verified(call, catalog, tmp_path):
    file = tmp_path / "kinds.py"
    file.write_text(KINDS)
    path = tmp_path / "run.cift"
    answer = call("run", f"{file}:Kinds", "--data", f"{catalog.path}:ONE.SIM", "--save", path, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["parameters"]["mode"] == "Mode.A"
    record = cift.load(path).record
    assert record.parameters["pair"] == record.fingerprint["parameters"]["pair"] == (5, 10)
    assert record.parameters["steps"] == {1: 2}
    code, out, err = verified(path)
    assert (code, err) == (0, "")
    assert "every part of the fingerprint is the same" in out
    # As a script, whose module is another one then.
    subprocess.run([sys.executable, str(file), str(catalog.path), str(path)], cwd=ROOT, check=True, timeout=120)
    code, out, err = verified(path)
    assert (code, err) == (0, "")
    assert "every part of the fingerprint is the same" in out
    file.write_text(KINDS.replace("B = 2", "C = 2").replace("Mode.B", "Mode.A"))
    code, _, err = verified(path)
    assert code == 2
    assert "the parameter Kinds.mode is Mode.B of an Enum that is not there now (__main__.Mode)" in err


def test_a_run_with_a_frame_is_saved_and_cannot_be_run_again(call, catalog, tmp_path):
    file = tmp_path / "kinds.py"
    file.write_text(KINDS)
    path = tmp_path / "run.cift"
    answer = call("run", f"{file}:Holds", "--data", f"{catalog.path}:ONE.SIM", "--save", path, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["parameters"]["array"] == "[1. 2.]"
    loaded = cift.load(path)
    assert "shape: (1, 1)" in str(loaded.record.parameters["frame"])
    assert repr(loaded)
    answer = call("verify", path)
    assert answer.code == 2
    assert "the parameter Holds.frame is no plain value (polars." in answer.err
    assert "self.read(path)" in answer.err
    assert answer.err.count("\n") == 1


def test_a_run_of_another_release_says_what_can_be_done(saved, call, tmp_path):
    path = rewritten(saved, tmp_path / "old.cift", lambda meta: meta | {"format": "cift run 1"})
    with pytest.raises(NotSupported, match="run it again, or load it with the release that wrote it"):
        cift.load(path)
    assert call("verify", path).code == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta | {"surprise": 1},
        lambda meta: {name: value for name, value in meta.items() if name != "digest"},
        lambda meta: {name: value for name, value in meta.items() if name != "format"},
        lambda meta: [meta],
        lambda meta: 5,
        lambda meta: meta | {"tables": 5},
        lambda meta: meta | {"cash": {"$kind": "decimal", "value": "x"}},
        lambda meta: meta | {"cash": {"$kind": "unheard of"}},
    ],
)
def test_a_record_that_is_none_is_no_run(saved, tmp_path, change):
    with pytest.raises(CorruptData, match=r"bad\.cift is not a whole saved run"):
        cift.load(rewritten(saved, tmp_path / "bad.cift", change))
