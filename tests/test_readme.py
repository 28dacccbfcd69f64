"""The README is true: its Python runs as pasted and prints what stands below it, and two commands set everything up."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.fences import ROOT, fences, normalised, output_below, run_demo, run_python, with_output

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def page() -> str:
    return README.read_text(encoding="utf-8")


def test_two_commands_set_everything_up(page: str) -> None:
    shells = [fence for fence in fences(page) if fence.language in ("bash", "sh", "shell", "console")]
    assert [fence.source for fence in shells] == ["make demo\n", "make test\n"]


def test_the_python_runs_as_pasted_and_prints_what_is_shown(page: str, tmp_path: Path) -> None:
    blocks = [fence for fence in fences(page) if fence.language == "python"]
    assert blocks, "the README shows no Python"
    for block, printed in zip(blocks, run_python("README.md", blocks, tmp_path), strict=True):
        shown = output_below(page, block)
        if shown is None:
            assert not printed, f"the block at line {block.line} prints and shows no output: add a text block below it"
        else:
            assert normalised(shown.source) == normalised(printed), "`make readme` writes the true output"


def test_make_test_shows_about_as_many_tests_as_there_are(page: str, request: pytest.FixtureRequest) -> None:
    """Its lines are pasted from a run; a run of the whole cannot be started in the midst of one."""
    collected = request.session.items
    if len({item.path for item in collected}) < len([*Path(__file__).parent.rglob("test_*.py")]):
        pytest.skip("only part of the tests is collected")
    (block,) = [fence for fence in fences(page) if fence.language == "bash" and fence.source == "make test\n"]
    shown = output_below(page, block)
    assert shown is not None, "the README shows no output of `make test`"
    numbers = re.search(r"^(\d+) passed, (\d+) skipped", shown.source, re.MULTILINE)
    assert numbers is not None, shown.source
    told = sum(int(number) for number in numbers.groups())
    assert abs(told - len(collected)) <= len(collected) // 50, f"{told} are shown, {len(collected)} were collected: paste anew"


def test_make_demo_prints_what_is_shown(page: str, tmp_path: Path) -> None:
    (block,) = [fence for fence in fences(page) if fence.language == "bash" and fence.source == "make demo\n"]
    shown = output_below(page, block)
    assert shown is not None, "the README shows no output of `make demo`"
    printed = run_demo(tmp_path, cift=Path(sys.executable).with_name("cift"))
    assert normalised(shown.source) == normalised(printed), "`make readme` writes the true output"
    # Self-contained: it may name no script, style or image outside of itself.
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [mark for mark in ('src="http', "src='http", 'rel="stylesheet" href', "@import") if mark in report]


def test_links_lead_somewhere(page: str) -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)", page) if "://" not in target]
    assert [target for target in targets if not (ROOT / target).exists()] == []


PAGE = """\
```python
1 + 1
```

```text
2
```

```python
x = 3
```

Words between.

```text
unrelated
```
"""


def test_output_belongs_to_the_block_right_above_it() -> None:
    first, _, second, _ = fences(PAGE)
    shown = output_below(PAGE, first)
    assert shown is not None
    assert shown.source == "2\n"
    assert output_below(PAGE, second) is None


def test_blocks_share_one_process_and_show_their_last_value(tmp_path: Path) -> None:
    blocks = fences("```python\nclass A: ...\nx = 1\n```\n```python\nprint(x)\nA.__module__\n```\n")
    assert run_python("page", blocks, tmp_path) == ["", "1\n'__main__'\n"]


def test_a_block_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"(?s)block at line 2.*ZeroDivisionError"):
        run_python("page", fences("\n```python\n1 / 0\n```\n"), tmp_path)


def test_outputs_are_written_into_the_page() -> None:
    (first, *_) = fences(PAGE)
    assert "```text\n3\n4\n```" in with_output(PAGE, first, "3\n4\n")


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("ran in 1.2 s", "ran in 950 ms", True),
        ("report.html has the whole report; 10.9 s", "report.html has the whole report; 5.4 s", True),
        ("8.1 M events/s", "11 M events/s", True),
        ("latency 250 us", "latency 100 us", False),
        ("P&L 10.5", "P&L 10.6", False),
        ("a  \nb", "a\nb\n", True),
    ],
)
def test_only_times_and_speeds_may_differ(one: str, other: str, equal: bool) -> None:
    assert (normalised(one) == normalised(other)) is equal
