"""How far a run or a sweep is, shown where it takes longer than a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cift.research.sweep import Maximize, SweepProgress, Trial

Progress = bool | Callable[[int], None]
"""A bar, none, or a function that is told what is done."""


def best_so_far(bar: Advance, score_of: Callable[[Trial], float | None], maximize: Maximize) -> SweepProgress:
    """Tells a bar of each trial, and of the best figure until then."""
    label = maximize if isinstance(maximize, str) else "score"
    best: float | None = None

    def told(done: int, total: int, trial: Trial) -> None:
        nonlocal best
        value = score_of(trial)
        if value is not None and (best is None or value > best):
            best = value
        bar(done, total, "" if best is None else f"best {label} {best:,.6g}")

    return told


class Advance(Protocol):
    """Moves a bar: what is done, of how much, and what stands behind it."""

    def __call__(self, done: int, total: int | None = None, beside: str = "") -> None: ...


class Bar:
    """A progress bar that shows itself only where the work takes longer than a second and somebody can see it."""

    def __init__(self, progress: Progress, unit: str = " rows") -> None:
        self._call = progress if callable(progress) else None
        self._shown = progress is True
        self._unit = unit
        self._bar: Any = None
        self._began = 0.0

    def __enter__(self) -> Advance | None:
        self._began = time.monotonic()
        if self._call is not None:
            return self._tell
        return self._advance if self._shown else None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _tell(self, done: int, total: int | None = None, beside: str = "") -> None:  # noqa: ARG002
        if self._call is not None:
            self._call(done)

    def _advance(self, done: int, total: int | None = None, beside: str = "") -> None:
        if self._bar is None:
            if time.monotonic() - self._began < 1.0:
                return
            if not _can_be_seen():
                self._shown = False
                return
            self._bar = _tqdm()(unit=self._unit, unit_scale=total is None, total=total, leave=False)
        if beside:
            self._bar.set_postfix_str(beside, refresh=False)
        self._bar.update(done - self._bar.n)


def _can_be_seen() -> bool:
    """Whether a bar has an eye on it: a terminal, or a notebook."""
    import sys

    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _tqdm() -> Any:
    import warnings

    with warnings.catch_warnings():
        # Without ipywidgets it falls back to text, and warns.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
