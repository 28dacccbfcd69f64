"""A small catalog, a strategy file, and the command called as a user calls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import cift
from cift.cli import main
from cift.data.demo import generate

ROOT = Path(__file__).parents[2]

STRATEGY = """\
import cift
from cift.indicators import EMA


class Cross(cift.Strategy):
    fast: int = cift.param(5, low=2, high=50)
    slow: int = cift.param(20, low=10, high=200)
    size: float = cift.param(100.0)
    eager: bool = cift.param(False)
    mode: str = cift.param("both", choices=("both", "long"))

    def setup(self):
        quick, calm = self.indicator(EMA(self.fast), on="mid"), self.indicator(EMA(self.slow), on="mid")
        self.when(quick.crosses_above(calm), self.go_long)
        self.when(quick.crosses_below(calm), self.go_short)

    def go_long(self):
        self.target(self.size)

    def go_short(self):
        self.target(-self.size if self.mode == "both" else 0.0)


class Breaks(cift.Strategy):
    def on_trade(self, trade):
        self.buy(1)
        raise LookupError("lost count")
"""


class Answer(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def call(capsys, monkeypatch):
    """Calls the command in this process."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["cift", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return Answer(left.value.code or 0, said.out, said.err)

    return called


@pytest.fixture(scope="session")
def catalog(tmp_path_factory):
    """A catalog of two symbols."""
    catalog = cift.Catalog(tmp_path_factory.mktemp("cli") / "catalog")
    generate(catalog, "ONE.SIM", "2026-01-05", 4_000, seed=5)
    generate(catalog, "TWO.SIM", "2026-01-05", 1_000, seed=6)
    return catalog


@pytest.fixture
def strategy(tmp_path):
    """A strategy file."""
    path = tmp_path / "my_cross.py"
    path.write_text(STRATEGY)
    return path
