"""The table of ratios compares like with like: all sides give the same numbers, and one that does not is told."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("pandas_ratios", ROOT / "asv_bench" / "pandas_ratios.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, rows in {"PRINTS": 20_000, "QUOTES": 5_000, "BARS": 3_000}.items():
        monkeypatch.setattr(module, name, rows)
    return module


def test_all_sides_give_the_same_numbers(ratios: ModuleType, tmp_path: Path) -> None:
    ratios.generate(tmp_path)
    data = {path.stem: np.load(path) for path in tmp_path.glob("*.npy")}
    sides = {"pandas": ratios.of_pandas(data), "polars": ratios.of_polars(data), "here": ratios.of_cift(data)}
    for work in ratios.WORKS:
        answers = {side: works[work]() for side, works in sides.items()}
        ratios.check(work, answers)
        answers["polars"][-1] += 1 + abs(answers["polars"][-1])
        with pytest.raises(AssertionError, match=f"{work}: here"):
            ratios.check(work, answers)


def test_the_table_has_a_row_for_each_work(ratios: ModuleType) -> None:
    seconds = {"pandas 2.2": 4.0, "pandas 3.1": 3.0, "polars": 1.0, "here": 0.5}
    made = ratios.table({side: dict.fromkeys(ratios.WORKS, taken) for side, taken in seconds.items()})
    assert made.splitlines()[0].startswith("| work | pandas 2.2 | pandas 3.1 | polars | here | pandas 2.2 / here |")
    assert "| group | 4.000 s | 3.000 s | 1.000 s | 0.500 s | 8.0x | 6.0x | 4.0x | 3.0x | 15x |" in made
    assert len(made.splitlines()) == 2 + len(ratios.WORKS)
