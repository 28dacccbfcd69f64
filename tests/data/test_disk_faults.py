"""S8: whatever operation the disk refuses, and wherever the process dies, a reader finds the old state or the new one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import polars as pl
import pytest

from cift.data import writing
from cift.data.catalog import Catalog
from cift.data.storage import Disk
from tests.data.market import ABC, HOUR_NS, MONDAY_NS, SYMBOL, QuickDisk, make, read, same, take

OLD = make("trades", 300, seed=1)
NEW = make("trades", 400, seed=2)
NEW_DAYS = make("trades", 400, seed=3, gap_ns=HOUR_NS // 4)


class FaultyDisk(Disk):
    """Refuses one operation, the `fail_at`th (from 1), or that one and all after it; a refused write writes half."""

    def __init__(self, fail_at: int, *, forever: bool, die: bool = False) -> None:
        self.fail_at, self.forever, self.die, self.operations = fail_at, forever, die, 0

    def _step(self) -> None:
        self.operations += 1
        if self.operations == self.fail_at or (self.forever and self.operations > self.fail_at):
            if self.die:
                os._exit(9)
            raise OSError(errno.ENOSPC, "no space left on device")

    def create(self, path: Path) -> BinaryIO:
        self._step()
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes) -> None:
        try:
            self._step()
        except OSError:
            super().write(file, memoryview(data)[: len(data) // 2])
            raise
        super().write(file, data)

    def sync(self, file: BinaryIO) -> None:
        self._step()  # no power is cut here, so nothing need reach the disk

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)

    def make_folder(self, path: Path) -> None:
        self._step()
        super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        self._step()


def catalog_with_old_rows(folder: Path) -> Catalog:
    catalog = Catalog(folder, disk=QuickDisk())
    catalog.write("trades", SYMBOL, OLD, ABC)
    return catalog


def stored(folder: Path) -> dict:
    """All rows as a reader finds them; every file that counts is verified."""
    catalog = Catalog(folder)
    catalog.verify()
    return read(catalog.ticks(SYMBOL).feeds[0], None)


def first_day(columns: dict) -> dict:
    day = columns["ts_event"] // (24 * HOUR_NS)
    return take(columns, 0, int((day == day[0]).sum()))


def operations_of(rows: dict, folder: Path) -> int:
    """How many disk operations a write of these rows takes."""
    catalog_with_old_rows(folder)
    disk = FaultyDisk(0, forever=False)
    Catalog(folder, disk=disk).write("trades", SYMBOL, rows)
    return disk.operations


@pytest.fixture(autouse=True)
def _small_groups():
    with mock.patch.object(writing, "ROWS_PER_GROUP", 100):
        yield


@pytest.mark.parametrize("forever", [False, True])
def test_a_disk_that_refuses_any_operation_leaves_the_old_day_whole(tmp_path, forever):
    total = operations_of(NEW, tmp_path / "count")
    assert total > 50
    survived = 0
    for fail_at in range(1, total + 1):
        folder = tmp_path / f"{fail_at}"
        catalog_with_old_rows(folder)
        try:
            Catalog(folder, disk=FaultyDisk(fail_at, forever=forever)).write("trades", SYMBOL, NEW)
        except OSError:
            found = stored(folder)
            # On a disk that stays dead after the switch the new day stands, whole: it cannot be switched back.
            assert same(OLD, found) or (forever and same(NEW, found)), fail_at
        else:
            # Only space that could not be freed: the write itself went through.
            assert same(NEW, stored(folder))
        survived += 1
        Catalog(folder, disk=QuickDisk()).write("trades", SYMBOL, NEW)
        assert same(NEW, stored(folder))
        assert len(list(folder.glob("trades/*/*/*"))) == 1
        assert not any((folder / "_cift/staging").iterdir())
    print(f"disk full at each of {total} operations: {survived} of {total} left whole rows")
    assert survived == total


def test_days_written_together_appear_together_or_not_at_all(tmp_path):
    total = operations_of(NEW_DAYS, tmp_path / "count")
    for fail_at in range(1, total + 1):
        folder = tmp_path / f"{fail_at}"
        catalog_with_old_rows(folder)
        try:
            Catalog(folder, disk=FaultyDisk(fail_at, forever=False)).write("trades", SYMBOL, NEW_DAYS)
        except OSError:
            assert same(OLD, stored(folder)), fail_at
            assert Catalog(folder).ls().height == 1
        else:
            assert same(NEW_DAYS, stored(folder)), fail_at


def bar(opened_hours: int, ended_hours: int) -> pl.DataFrame:
    ends = {"ts_open": [MONDAY_NS + opened_hours * HOUR_NS], "ts_event": [MONDAY_NS + ended_hours * HOUR_NS]}
    return pl.DataFrame({**ends, **dict.fromkeys(("open", "high", "low", "close"), 10.0), "volume": float(ended_hours)})


def test_a_day_that_a_bar_takes_the_place_of_goes_with_the_write_or_not_at_all(tmp_path):
    """Tuesday's bar lies within the new one, which belongs to Wednesday."""

    def held(folder: Path) -> list[float]:
        Catalog(folder).verify()
        return Catalog(folder).bars(SYMBOL, "tick-5")["volume"].to_list()

    def written(name: str, fail_at: int) -> tuple[Path, FaultyDisk, bool]:
        folder, disk = tmp_path / name, FaultyDisk(fail_at, forever=False)
        old = pl.concat([bar(0, 5), bar(30, 40), bar(50, 60)])
        Catalog(folder, disk=QuickDisk()).write("bars", SYMBOL, old, ABC, spec="tick-5")
        try:
            Catalog(folder, disk=disk).write("bars", SYMBOL, bar(20, 49), spec="tick-5")
        except OSError:
            return folder, disk, False
        return folder, disk, True

    folder, disk, _ = written("count", 0)
    assert held(folder) == [5.0, 49.0, 60.0]
    assert not [*folder.glob("bars/*/*/date=2026-01-06")]
    for fail_at in range(1, disk.operations + 1):
        folder, _, is_written = written(f"{fail_at}", fail_at)
        assert held(folder) == ([5.0, 49.0, 60.0] if is_written else [5.0, 40.0, 60.0]), fail_at


def test_an_instrument_appears_with_its_rows_or_not_at_all(tmp_path):
    disk = FaultyDisk(0, forever=False)
    Catalog(tmp_path / "count", disk=disk).write("trades", SYMBOL, NEW, ABC)
    for fail_at in range(1, disk.operations + 1):
        folder = tmp_path / f"{fail_at}"
        try:
            Catalog(folder, disk=FaultyDisk(fail_at, forever=False)).write("trades", SYMBOL, NEW, ABC)
        except OSError:
            assert Catalog(folder).instruments() == {}
            assert Catalog(folder).symbols() == []


KILLED = """
import sys
from unittest import mock
from cift.data import writing
from cift.data.catalog import Catalog
from tests.data.test_disk_faults import FaultyDisk, NEW_DAYS, SYMBOL
writing.ROWS_PER_GROUP = 100
Catalog(sys.argv[1], disk=FaultyDisk(int(sys.argv[2]), forever=False, die=True)).write("trades", SYMBOL, NEW_DAYS)
"""


def test_a_writer_killed_at_any_operation_leaves_whole_days_and_rubbish_that_is_swept(tmp_path):
    total = operations_of(NEW_DAYS, tmp_path / "count")
    days = {str(day) for day in Catalog(tmp_path / "count").ls()["date"]}
    for fail_at in sorted({1, 5, total // 2, *range(total - 28, total + 1, 4)}):
        folder = tmp_path / f"{fail_at}"
        catalog_with_old_rows(folder)
        done = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(fail_at)], check=False)
        assert done.returncode == 9
        found = stored(folder)
        new_day = same(first_day(NEW_DAYS), first_day(found))
        assert new_day or same(first_day(OLD), first_day(found)), fail_at
        catalog = Catalog(folder)
        assert {str(day) for day in catalog.ls()["date"]} <= days
        catalog.sweep()
        assert len(list(folder.glob("trades/*/*/*.parquet"))) == catalog.ls().height
        assert not any((folder / "_cift/staging").iterdir())
        assert same(found, stored(folder))
