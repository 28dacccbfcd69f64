"""S7: a damaged file is an error, never other numbers. Mutated files are read in a child, restarted after a crash."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cift.data import writing
from cift.data.catalog import Catalog
from cift.data.columns import to_arrow
from cift.data.frames import trades
from cift.data.importers import import_parquet
from cift.errors import CiftError, CorruptData, DataError
from tests.data.market import ABC, MONDAY_NS, SYMBOL, make, read, same

CHILD = Path(__file__).with_name("corruption_child.py")
ROOT = Path(__file__).parents[2]
MEMORY_KIB_MAX = 600_000
"""A child that imports NumPy, pyarrow and polars takes 200 MB; the file's rows take less than one."""


def damaged_outcomes(folder: Path, files: int, first_seed: int) -> Counter[str]:
    catalog = Catalog(folder)
    with mock.patch.object(writing, "ROWS_PER_GROUP", 500):
        catalog.write("mbo", SYMBOL, make("mbo", 2_000), ABC)
        catalog.write("trades", SYMBOL, make("trades", 100), ABC)
    (path,) = folder.glob("mbo/*/*/*.parquet")
    original = path.read_bytes()
    outcomes: Counter[str] = Counter()
    seed, last = first_seed, first_seed + files
    while seed < last:
        path.write_bytes(original)
        child = subprocess.run(
            [sys.executable, str(CHILD), "catalog", str(folder), str(seed), str(last)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        lines = [line.split(" ", 1) for line in child.stdout.splitlines() if line]
        assert lines, child.stderr
        for first, outcome in lines:
            if first == "memory":
                assert int(outcome) < MEMORY_KIB_MAX
            elif outcome:
                outcomes[outcome] += 1
                seed = int(first) + 1
                assert outcome != "SILENT", f"mutation {first} was read as other rows"
                assert not outcome.startswith("OVERLOOKED"), f"mutation {first}: {outcome}"
        if child.returncode != 0:
            assert child.returncode < 0, child.stderr  # a signal: a crash of the decoder, and nothing of ours
            outcomes["crashed the child"] += 1
            seed += 1
    return outcomes


def test_a_damaged_file_is_never_read_as_other_rows(tmp_path):
    outcomes = damaged_outcomes(tmp_path, 1_000, 0)
    print(dict(outcomes))
    assert outcomes["raised CorruptData"] > 900
    assert sum(outcomes.values()) == 1_000


@pytest.mark.nightly
def test_ten_thousand_damaged_files_are_never_read_as_other_rows(tmp_path):
    outcomes = damaged_outcomes(tmp_path, 10_000, 1_000)
    print(dict(outcomes))
    assert sum(outcomes.values()) == 10_000


def foreign_outcomes(folder: Path, files: int, first_seed: int, *, checksums: bool) -> Counter[tuple[str, ...]]:
    """What four readers make of files that no manifest vouches for."""
    columns = {**make("trades", 2_000), "sequence": np.arange(2_000)}
    sound = folder / "sound.parquet"
    pq.write_table(to_arrow("trades", columns), sound, row_group_size=500, compression="zstd", write_page_checksum=checksums)
    outcomes: Counter[tuple[str, ...]] = Counter()
    seed, last = first_seed, first_seed + files
    while seed < last:
        child = subprocess.run(
            [sys.executable, str(CHILD), "foreign", str(folder), str(seed), str(last)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        lines = [line.split(" ", 1) for line in child.stdout.splitlines() if line]
        assert lines, child.stderr
        for first, outcome in lines:
            if first == "memory":
                assert int(outcome) < MEMORY_KIB_MAX
            elif outcome:
                outcomes[tuple(outcome.split("; "))] += 1
                seed = int(first) + 1
        if child.returncode != 0:
            assert child.returncode < 0, child.stderr  # a signal: a crash of the decoder, and nothing of ours
            outcomes["crashed the child",] += 1
            seed += 1
    return outcomes


def check_foreign(outcomes: Counter[tuple[str, ...]], *, checksums: bool) -> None:
    print(*outcomes.most_common(), sep="\n")
    for (how, *words), count in outcomes.items():
        if how == "crashed the child":
            continue
        imported, framed, alone, beside = words
        if checksums and how == "damaged":
            # Page checksums see what lies in pages. A footer has none: only a catalog's manifest vouches for that.
            assert "other" not in (imported, framed), f"{count} damaged files with checksums were read as other rows"
        if imported == "raised CorruptData":
            assert alone in ("found error", "raised DataError")
        if imported == "same":
            assert alone in ("found None", "found warning", "found error")
        assert beside != "found None" or alone == "found None"


@pytest.mark.parametrize("checksums", [True, False])
def test_a_damaged_foreign_file_crashes_nothing(tmp_path, checksums):
    outcomes = foreign_outcomes(tmp_path, 100, 0, checksums=checksums)
    check_foreign(outcomes, checksums=checksums)
    assert sum(outcomes.values()) == 100
    assert sum(count for (_, *words), count in outcomes.items() if words and words[0].startswith("raised")) > 50


@pytest.mark.nightly
@pytest.mark.parametrize("checksums", [True, False])
def test_five_thousand_damaged_foreign_files_crash_nothing(tmp_path, checksums):
    outcomes = foreign_outcomes(tmp_path, 5_000, 1_000, checksums=checksums)
    check_foreign(outcomes, checksums=checksums)
    assert sum(outcomes.values()) == 5_000


BOMB = """
import sys
from pathlib import Path
from cift.data.catalog import Catalog
from cift.data.doctor import check
from cift.data.frames import trades
from cift.data.importers import import_parquet
from tests.data.corruption_child import peak_kib
from tests.data.market import QuickDisk
folder, reader = Path(sys.argv[1]), sys.argv[2]
small, bomb = folder / "small.parquet", folder / "bomb.parquet"
def run(path):
    if reader == "import":
        import_parquet(Catalog(folder / path.stem, disk=QuickDisk()), path, schema="trades", symbol="A.SIM", tick_size=1, lot_size=1)
    elif reader == "frame":
        trades(path, tick_size=1, lot_size=1)
    else:
        check(path, schema="trades")
run(small)
before = peak_kib()
run(bomb)
print(before, peak_kib())
"""


@pytest.mark.parametrize(
    ("content", "reader", "times_declared"),
    [
        ("the same in each row", "import", 0.5),
        ("the same in each row", "check", 0.5),
        ("the same in each row", "frame", 2.0),
        ("noise", "import", 2.0),
        ("noise", "check", 0.8),
        ("noise", "frame", 2.0),
    ],
)
def test_what_a_small_file_of_many_rows_takes_is_bounded_by_its_declared_size(tmp_path, reader, times_declared, content):
    """Readers that go by blocks take less than the rows, also where the file cannot be compressed; a frame holds its rows once."""
    rows = 2_000_000

    def table(rows: int) -> pa.Table:
        ts, price, size = np.full(rows, MONDAY_NS), np.full(rows, 100.0), np.full(rows, 1.0)
        if content == "noise":
            rng = np.random.default_rng(1)
            ts, price, size = (
                ts + np.cumsum(rng.integers(1, 10**6, rows)),
                *rng.integers(2**52, 2**52 + 10**12, (2, rows)) * 1.0,
            )
        times = pa.array(ts).cast(pa.timestamp("ns", "UTC"))
        return pa.table({"ts_event": times, "price": price, "size": size})

    pq.write_table(table(1_000), tmp_path / "small.parquet")
    pq.write_table(table(rows), tmp_path / "bomb.parquet", row_group_size=rows)
    assert ((tmp_path / "bomb.parquet").stat().st_size < 200_000) == (content != "noise")
    # What the columns of the schema take, as the file declares its rows: times, price, size, and those that it lacks.
    declared_kib = rows * (5 * 8 + 2) / 1_024
    child = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path), reader],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    before, after = map(int, child.stdout.split())
    print(f"{reader}: {after - before:,} KiB beyond the start, declared {declared_kib:,.0f} KiB")
    assert after - before < times_declared * declared_kib


def test_a_damaged_manifest_or_instrument_table_is_an_error(tmp_path):
    catalog = Catalog(tmp_path)
    columns = make("quotes", 300)
    catalog.write("quotes", SYMBOL, columns, ABC)
    records = [tmp_path / "instruments.json", *tmp_path.glob("_cift/manifests/*/*/*.json")]
    assert len(records) == 2
    rng = random.Random(1)
    raised = 0
    for path in records:
        original = path.read_bytes()
        for _ in range(300):
            data = bytearray(original)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.1:
                del data[rng.randrange(len(data)) :]
            path.write_bytes(data)
            try:
                view = catalog.ticks(SYMBOL)
                assert same(columns, read(view.feeds[0], None))
                assert view.instruments == (ABC,)
            except CiftError:
                raised += 1
        path.write_bytes(original)
    assert raised > 550


def test_a_manifest_in_the_wrong_folder_is_an_error(tmp_path):
    catalog = Catalog(tmp_path)
    catalog.write("quotes", SYMBOL, make("quotes", 300), ABC)
    (path,) = tmp_path.glob("_cift/manifests/*/*/*.json")
    path.rename(path.with_name("date=2026-01-09.json"))
    with pytest.raises(CiftError, match="wrong folder"):
        catalog.ticks(SYMBOL)


READERS = [
    lambda path, folder: trades(path, symbol="A.SIM", tick_size=1, lot_size=1),
    lambda path, folder: import_parquet(Catalog(folder), path, schema="trades", symbol="A.SIM", tick_size=1, lot_size=1),
]


def with_other_count(path: Path, count: int, changed: Callable[[pq.FileMetaData], bool]) -> bytes:
    """The file with one of the places of its footer that hold `count` lowered by one: the first by which `changed` holds."""
    original = path.read_bytes()
    number, lower = (bytes([(2 * n) & 0x7F | 0x80, (2 * n) >> 7]) for n in (count, count - 1))  # as Thrift writes numbers
    at = len(original) - 8 - int.from_bytes(original[-8:-4], "little")
    while (at := original.find(number, at)) >= 0:
        path.write_bytes(original[:at] + lower + original[at + 2 :])
        with contextlib.suppress(pa.ArrowException, OSError):
            if changed(pq.read_metadata(path)):
                return path.read_bytes()
        at += 1
    raise AssertionError(f"{count} stands nowhere in the footer")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("count", "changed", "told"),
    [
        (1_501, lambda footer: footer.num_rows == 1_500, "it has 1500 rows, and that its row groups have 1501"),
        (
            501,
            lambda footer: footer.row_group(1).num_rows == 500,
            "row group 1 has 500 rows, and that its column ts_event has 501",
        ),
        (501, lambda footer: footer.row_group(1).column(2).num_values == 500, "501 rows, and that its column size has 500"),
    ],
)
def test_a_footer_that_contradicts_itself_shortens_nothing(tmp_path, reader, count, changed, told):
    columns = {"ts_event": MONDAY_NS + np.arange(1_501), "price": np.full(1_501, 5.0), "size": np.full(1_501, 1.0)}
    path = tmp_path / "trades.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1_000, write_page_checksum=True)
    path.write_bytes(with_other_count(path, count, changed))
    with pytest.raises(CorruptData, match=told):
        reader(path, tmp_path / "catalog")


@pytest.mark.parametrize("reader", READERS)
def test_a_zone_that_is_no_text_is_told(tmp_path, reader):
    times = pa.array([MONDAY_NS, MONDAY_NS + 1], pa.timestamp("ns", "Europe/Paris"))
    path = tmp_path / "trades.parquet"
    pq.write_table(pa.table({"ts_event": times, "price": [5.0, 5.0], "size": [1.0, 1.0]}), path)
    told = pq.read_metadata(path).metadata[b"ARROW:schema"]
    lies = base64.b64encode(base64.b64decode(told).replace(b"Europe/Paris", b"Europe/\x95aris"))
    path.write_bytes(path.read_bytes().replace(told, lies))
    with pytest.raises(DataError, match="can't decode byte 0x95"):
        reader(path, tmp_path / "catalog")
