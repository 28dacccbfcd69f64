"""An import holds a few blocks of its file in memory, however long the file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.long_files import WRITERS, peak_of_import

MIB = 1 << 20
SHORT, LONG = 64 * MIB, 144 * MIB
"""The short file fills every buffer that there is: what the long one needs more than it is what grows with the length."""
LIMIT = 320 * MIB


@pytest.mark.parametrize("kind", WRITERS)
def test_a_longer_file_takes_no_tenth_of_its_length_more(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    short, long = (peak_of_import(tmp_path, kind, size) for size in (SHORT, LONG))
    with capsys.disabled():
        print(
            f"\n{kind}: peak {short / MIB:.0f} MiB for a file of {SHORT // MIB} MiB, {long / MIB:.0f} MiB for {LONG // MIB} MiB"
        )
    assert long - short < (LONG - SHORT) / 10
    assert long < LIMIT


@pytest.mark.nightly
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_of_ten_times_the_limit_is_imported_under_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    peak = peak_of_import(tmp_path, kind, 10 * LIMIT)
    with capsys.disabled():
        print(f"\n{kind}: peak {peak / MIB:.0f} MiB for a file of {10 * LIMIT // MIB} MiB")
    assert peak < LIMIT
