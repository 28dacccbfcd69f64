"""Every public name of the package has a docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "cift"
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    """Definitions of a module or class that others may use; the setter of a property shares its docstring."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            if any(isinstance(decorator, ast.Attribute) and decorator.attr == "setter" for decorator in node.decorator_list):
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_public_names_have_docstrings() -> None:
    seen, bare = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in public(tree.body):
            seen += 1
            if ast.get_docstring(node) is None:
                bare.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}")
    assert bare == []
    assert seen > 300
