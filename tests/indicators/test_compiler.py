"""Compiled code is kept by content: found again by other processes, and never where something has changed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cift.indicators import EMA
from cift.indicators.compiler import Signature, UnknownContentError, cache_key, content, keep, loop_source, read_kept

SIGNATURE = Signature(fields=(("value", "float"),), params=(), inputs=("float",))


def run_python(code: str, cache: Path, **environment: str) -> str:
    """The output of a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "CIFT_CACHE": str(cache), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


USE = """
    import sys
    from cift.indicators import EMA
    print(EMA(2, "first")([1.0, 4.0, 7.0]), "numba" in sys.modules)
"""


def test_importing_indicators_loads_neither_numba_nor_polars(tmp_path: Path) -> None:
    code = """
        import sys
        import cift.indicators, cift.indicators.conditions
        cift.indicators.EMA(3)
        print([name for name in ("numba", "llvmlite", "polars", "pyarrow", "pandas") if name in sys.modules])
    """
    assert run_python(code, tmp_path) == "[]"


def test_a_second_process_finds_the_code_and_never_imports_numba(tmp_path: Path) -> None:
    assert run_python(USE, tmp_path) == "[1.0, 3.0, 5.666666666666666] True"
    kept = list((tmp_path / "kernels").iterdir())
    assert [path.suffix for path in kept] == [".kernel"]
    for seed in ("0", "7"):
        assert run_python(USE, tmp_path, PYTHONHASHSEED=seed) == "[1.0, 3.0, 5.666666666666666] False"
    assert list((tmp_path / "kernels").iterdir()) == kept


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:99] + b"X" + data[100:], lambda _: b""])
def test_a_damaged_file_is_not_believed(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "deep" / "one.kernel"
    keep(path, "run", bytes(200))
    assert read_kept(path) == ("run", bytes(200))
    path.write_bytes(damage(path.read_bytes()))
    assert read_kept(path) is None


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    run_python(USE, tmp_path)
    (path,) = (tmp_path / "kernels").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert run_python(USE, tmp_path) == "[1.0, 3.0, 5.666666666666666] True"
    assert read_kept(path) is not None


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "kernels").write_text("a file where the folder should be")
    assert run_python(USE, tmp_path) == "[1.0, 3.0, 5.666666666666666] True"


def test_the_code_is_the_same_with_the_features_of_another_processor(tmp_path: Path) -> None:
    code = """
        import numpy as np
        from cift.indicators import EMA, SMA
        column = np.arange(1000.0) ** 2 % 97 / 7
        print((EMA(9)(column)[8:].tobytes() + SMA(9)(column)[8:].tobytes()).hex())
    """
    masked = run_python(code, tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert masked == run_python(code, tmp_path)
    assert len(list((tmp_path / "kernels").iterdir())) == 4


NOTEBOOK = """
    import sys
    from typing import NamedTuple
    import cloudpickle
    import numpy as np

    cell = '''
    from typing import NamedTuple
    from cift.indicators import kernel
    STEP = 2.0
    class Seen(NamedTuple):
        count: int
    def doubled(x):
        return x * STEP
    @kernel(on="price", lookback=0, memory=None)
    def Counted(state: Seen, x: float, by: int = 1) -> tuple[Seen, float]:
        return Seen(state.count + by), doubled(x) + state.count
    '''
    import textwrap
    exec(textwrap.dedent(cell))
    copy = cloudpickle.loads(cloudpickle.dumps(Counted(10)))
    print(Counted(10)([1.0, 2.0]), copy([1.0, 2.0]), "numba" in sys.modules)
"""


def test_an_indicator_of_a_notebook_cell_is_kept_too(tmp_path: Path) -> None:
    assert run_python(NOTEBOOK, tmp_path) == "[2.0, 14.0] [2.0, 14.0] True"
    assert run_python(NOTEBOOK, tmp_path) == "[2.0, 14.0] [2.0, 14.0] False"
    changed = NOTEBOOK.replace("STEP = 2.0", "STEP = 3.0")
    assert run_python(changed, tmp_path) == "[3.0, 16.0] [3.0, 16.0] True"
    changed = NOTEBOOK.replace("return x * STEP", "return x + STEP")
    assert run_python(changed, tmp_path) == "[3.0, 14.0] [3.0, 14.0] True"


def key_of(source: str, name: str = "update", **given: Any) -> str:
    names: dict[str, Any] = {"np": np, **given}
    exec(textwrap.dedent(source), names)
    return cache_key(names[name], SIGNATURE, "")


BASE = "def update(state, x):\n    return state, x * K + helper(x)\n\ndef helper(x):\n    return x - 1.0\n"


def test_the_key_follows_what_the_code_does() -> None:
    base = key_of(BASE, K=2.0)
    assert key_of("\n\n\n# moved and commented\n" + BASE, K=2.0) == base
    assert key_of(BASE, K=3.0) != base
    assert key_of(BASE, K=2) != base
    assert key_of(BASE.replace("x - 1.0", "x - 2.0"), K=2.0) != base
    assert key_of(BASE.replace("x * K", "x / K"), K=2.0) != base
    assert key_of(BASE, K=np.array([1.0, 2.0])) != key_of(BASE, K=np.array([1.0, 3.0]))


def test_what_cannot_be_hashed_is_not_kept() -> None:
    with pytest.raises(UnknownContentError):
        b"".join(content(object()))
    with pytest.raises(UnknownContentError):
        key_of("def update(state, x):\n    return state, settings.step\n", settings=textwrap)


def test_equal_runs_of_one_process_share_one_loop() -> None:
    assert EMA(3).runner()._call is EMA(30, "first").runner()._call


def test_the_loop_is_readable_python() -> None:
    signature = Signature(fields=(("a", "float"), ("b", "ints")), params=("int",), inputs=("int", "float", "int", "float"))
    source = loop_source(signature)
    compile(source, "loop", "exec")
    assert "update(state, Quote(" in source
