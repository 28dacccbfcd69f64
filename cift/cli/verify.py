"""`cift verify`: a saved run again, from what its file says, and where the two differ."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cift.backtest import Backtest, Result, load
from cift.cli.output import print_json
from cift.cli.strategies import load_strategy
from cift.data.runs import environment
from cift.data.selection import reopen
from cift.data.values import heard, saved_values, told
from cift.errors import CorruptData, InvalidParameter, NoData, UnknownSymbol
from cift.sim.venue import RATE_UNITS_PER_BP, Fees, Latency, Venue

if TYPE_CHECKING:
    from cift.sim.record import RunRecord
    from cift.strategy import Strategy

SAME, DIFFERS = "same", "differs"


@dataclass(frozen=True)
class Part:
    """One part of the fingerprint, then and now."""

    name: str
    saved: Any
    now: Any

    @property
    def verdict(self) -> str:
        """Whether it is the same."""
        return SAME if self.saved == self.now else DIFFERS


def verify(path: Path, *, strategy: str | None, data: str | None, as_json: bool) -> bool:
    """Runs a saved run again and prints how it compares; whether the digests are equal.

    Raises:
        CiftError: where the file, the strategy or the data cannot be found.
    """
    saved = load(path).record
    _can_be_repeated(saved, path)
    found = _find_strategy(saved, strategy, path)
    saved = _with_members(saved, found)
    _parameters_are_plain(saved, path)
    try:
        again = _again(saved, found, data)
    except (CorruptData, NoData, UnknownSymbol) as problem:
        _print(path, saved, None, [], str(problem), as_json=as_json)
        return False
    _print(path, saved, again, parts(saved, again), None, as_json=as_json)
    return saved.digest == again.digest


def _can_be_repeated(saved: RunRecord, path: Path) -> None:
    if not saved.origin:
        raise InvalidParameter(f"{path} does not say where its strategy and data were; run it again with cift.Backtest")
    if saved.error is not None and saved.error.startswith("KeyboardInterrupt"):
        raise InvalidParameter(f"{path} is a run that was interrupted; where it stopped is chance, so it cannot be verified")


def _find_strategy(saved: RunRecord, given: str | None, path: Path) -> type[Strategy]:
    if given is not None:
        return load_strategy(given)
    told = saved.origin["strategy"]
    hint = f"cift verify {path} --strategy FILE.py:{saved.strategy}"
    if told["module"].split(".")[0] == "cift":
        return _own_strategy(told)
    if told["file"] is None:
        raise InvalidParameter(
            f"{saved.strategy} was defined in a notebook cell or at the prompt, which cannot be found again; put the class into "
            f"a file and run: {hint}"
        )
    if not Path(told["file"]).is_file():
        raise InvalidParameter(f"{told['file']}, which held {saved.strategy}, is not there; say where it is now: {hint}")
    if "." in told["class"]:
        raise InvalidParameter(
            f"{told['class']} was defined inside another scope of {told['file']}; move it out and run: {hint}"
        )
    return load_strategy(f"{told['file']}:{told['class']}")


def _own_strategy(told: Mapping[str, Any]) -> type[Strategy]:
    """A strategy that comes with the package, such as that of the demo."""
    from importlib import import_module

    try:
        found: type[Strategy] = getattr(import_module(told["module"]), told["class"])
    except (ImportError, AttributeError):
        raise InvalidParameter(
            f"{told['module']}.{told['class']} is not part of this release; pass --strategy FILE.py:Class"
        ) from None
    return found


def _with_members(saved: RunRecord, strategy: type[Strategy]) -> RunRecord:
    """The record with the members of Enums, whose classes were not loaded before the strategy was."""
    then = saved.origin["strategy"]["module"]

    def module(name: str) -> ModuleType | None:
        return sys.modules.get(strategy.__module__ if name == then else name)

    return replace(
        saved,
        parameters=heard(told(saved.parameters), module),
        fingerprint=heard(told(saved.fingerprint), module),
    )


def _parameters_are_plain(saved: RunRecord, path: Path) -> None:
    for name, value in saved.parameters.items():
        for lost in saved_values(value):
            what = f"{lost.module}.{lost.name}"
            found = "no plain value" if lost.member is None else f"{lost.text} of an Enum that is not there now"
            raise InvalidParameter(
                f"the parameter {saved.strategy}.{name} is {found} ({what}), so {path} cannot be run again from the file; pass a "
                "number, a text, or the path of a file that setup reads with self.read(path), and run it again"
            )


def _again(saved: RunRecord, strategy: type[Strategy], data: str | None) -> RunRecord:
    fingerprint = saved.fingerprint
    backtest = Backtest(
        reopen(saved.origin["data"], data),
        strategy,
        cash=Decimal(fingerprint["cash"]),  # type: ignore[arg-type]
        venue=_venue(saved.venue),
        seed=fingerprint["seed"],
        clock_offset=fingerprint["clock_offset_ns"],
    )
    try:
        return backtest.run(**saved.parameters).record
    except Exception:
        partial: Result | None = backtest.partial
        if partial is None or saved.error is None:
            raise
        # The saved run ended with an error too: what both recorded until then is compared.
        return partial.record


def _venue(plain: Mapping[str, Any]) -> Venue:
    """A venue from its plain settings."""

    def bps(rate: int) -> Any:
        return Decimal(rate) / RATE_UNITS_PER_BP

    fees = Fees(
        maker_bps=bps(plain["maker_rate"]),
        taker_bps=bps(plain["taker_rate"]),
        per_unit=Decimal(plain["per_unit"]),  # type: ignore[arg-type]
        per_fill=Decimal(plain["per_fill"]),  # type: ignore[arg-type]
    )
    latency = Latency(feed=plain["feed_ns"], entry=plain["entry_ns"], response=plain["response_ns"])
    return Venue(latency=latency, fees=fees, refill=plain["refill"])


def parts(saved: RunRecord, again: RunRecord) -> list[Part]:
    """The parts of both fingerprints, data feed by feed, and the environments last."""
    then, now = _flat(saved.fingerprint), _flat(again.fingerprint)
    found = [Part(name, then.get(name), now.get(name)) for name in dict.fromkeys([*then, *now])]
    then, now = saved.origin.get("environment", {}), environment()
    found += [Part(f"{name} (not in the fingerprint)", then.get(name), now.get(name)) for name in now]
    return found


def _flat(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fingerprint.items():
        if name == "instruments":
            flat.update({f"instruments {symbol} {key}": item for symbol, plain in value.items() for key, item in plain.items()})
        elif name in ("data", "packages", "parameters", "venue", "reads"):
            flat.update({f"{name} {key}": item for key, item in value.items()})
        else:
            flat[name] = value
    return flat


def _print(
    path: Path, saved: RunRecord, again: RunRecord | None, compared: list[Part], problem: str | None, *, as_json: bool
) -> None:
    now = None if again is None else again.digest
    equal = saved.digest == now
    differing = [part for part in compared if part.verdict == DIFFERS]
    if as_json:
        print_json(
            {
                "run": path,
                "equal": equal,
                "digest_saved": saved.digest,
                "digest_now": now,
                "parts": [{"part": p.name, "verdict": p.verdict, "saved": p.saved, "now": p.now} for p in compared],
                "problem": problem,
            }
        )
        return
    print(f"{'equal' if equal else 'differs'}: {saved.strategy} on {', '.join(saved.symbols)}, {path}")
    print(f"  digest saved {saved.digest}\n  digest now   {now or '--'}")
    if problem is not None:
        print(f"  data: {problem}")
        return
    for part in differing:
        print(f"  {part.name} {DIFFERS}: was {_shown(part.saved)}, is {_shown(part.now)}")
    in_fingerprint = [part for part in differing if "(not in" not in part.name]
    if equal and any(part.name == "code" for part in in_fingerprint):
        print("  the code's text differs, what it decided on this data does not")
    if not equal and not in_fingerprint:
        print("  every part of the fingerprint is the same: the strategy decides by something outside it (a clock, a file read")
        print("  without self.read, random numbers other than self.rng, the platform's own mathematics)")
    if not differing:
        print("  every part of the fingerprint is the same")


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 24 else text[:16] + "..."
