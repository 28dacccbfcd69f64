"""Runs blocks of Python one after the other in one process, as cells of a notebook, and notes what each prints.

    python run_fences.py BLOCKS.json OUTPUTS.json

BLOCKS.json is a list of {"name", "source"}; OUTPUTS.json becomes a list of texts: what was printed, then the value of a last
expression. It needs the standard library alone, so that an environment which holds nothing but the package can run it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import sys
from pathlib import Path
from types import CodeType, ModuleType


def compiled(source: str, name: str) -> list[CodeType]:
    """`source` as code objects; a last expression is one of its own, which shows its value as a prompt would."""
    # Tracebacks and `inspect.getsource` find the text of the block under its name.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    tree = ast.parse(source, name)
    if not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return [compile(tree, name, "exec")]
    last = ast.Interactive([tree.body.pop()])
    return [compile(tree, name, "exec"), compile(last, name, "single")]


def run(blocks: list[dict[str, str]]) -> list[str]:
    """What each block prints; an exception of a block ends the process with its traceback."""
    main = ModuleType("__main__")
    # Classes of the blocks live in `__main__`, and a spawned worker finds no file to run again: a notebook's conditions.
    sys.modules["__main__"] = main
    outputs = []
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for code in compiled(block["source"], block["name"]):
                exec(code, vars(main))
        outputs.append(printed.getvalue())
    return outputs


if __name__ == "__main__":
    given, wanted = map(Path, sys.argv[1:])
    outputs = run(json.loads(given.read_text(encoding="utf-8")))
    wanted.write_text(json.dumps(outputs), encoding="utf-8")
