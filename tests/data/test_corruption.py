"""S7: a damaged file is an error, never other numbers. Mutated files are read in a child, restarted after a crash."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import pytest

from cift.data import writing
from cift.data.catalog import Catalog
from cift.errors import CiftError
from tests.data.market import ABC, SYMBOL, make, read, same

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
            [sys.executable, str(CHILD), str(folder), str(seed), str(last)],
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
