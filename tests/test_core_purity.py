"""The core decides by its inputs alone (row D7): a lint over its sources, which fails on planted lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "rust_sim" / "src"
WITHOUT_FLOATS = ("matching/", "book.rs", "ladder.rs", "account.rs", "kernel.rs")

FORBIDDEN = {
    "a wall clock": re.compile(r"\b(SystemTime|Instant|UNIX_EPOCH|chrono|std::time)\b"),
    "randomness without a seed": re.compile(
        r"\b(thread_rng|OsRng|from_entropy|from_os_rng|getrandom|RandomState|fastrand|rand::(rng|random))\b"
    ),
    "a hash map, whose order differs": re.compile(r"\b(HashMap|HashSet|DefaultHasher|hash_map|hash_set|IndexMap)\b"),
    "a thread": re.compile(r"\b(std::thread|thread::(spawn|scope|Builder|sleep)|rayon|crossbeam|tokio|async\s+fn)\b"),
    "the outside world": re.compile(r"\bstd::(fs|net|env|process|io)\b|\bfile!\(|\bstd::alloc::System\b|\b(e?println|dbg)!"),
    "unsafe": re.compile(r"\bunsafe\b"),
    "a panic": re.compile(
        r"\.(unwrap|expect|unwrap_err|expect_err)\(|\b(panic|todo|unimplemented|unreachable)!|(?<!const { )\bassert(_eq|_ne)?!"
    ),
}
FLOATS = {"float arithmetic": re.compile(r"\bf(32|64)\b|(?<![\w.])\d+\.\d+(?![\w.])|(?<![\w.])\d+e-?\d+\b")}

_LITERAL_OR_COMMENT = re.compile(
    r"""//[^\n]*                                   # a comment to the end of its line
      | /\*.*?\*/                                   # a block comment
      | b?r(\#*)".*?"\1                             # a raw string
      | b?"(?:\\.|[^"\\])*"                         # a string
      | b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[^}]*\}|.)|[^'\\])'   # a character, not a lifetime
    """,
    re.VERBOSE | re.DOTALL,
)


def code_of(source: str) -> str:
    """The source with comments and literals blanked and everything under `#[cfg(test)]` left out; lines keep their numbers."""
    blank = _LITERAL_OR_COMMENT.sub(lambda found: "\n" * found.group().count("\n"), source)
    while (start := blank.find("#[cfg(test)]")) >= 0:
        body = re.compile(r"[{;]").search(blank, start)
        end = len(blank)
        if body is not None and body.group() == ";":
            end = body.end()
        elif body is not None:
            depth = 0
            for at in range(body.start(), len(blank)):
                depth += {"{": 1, "}": -1}.get(blank[at], 0)
                if depth == 0:
                    end = at + 1
                    break
        blank = blank[:start] + "\n" * blank.count("\n", start, end) + blank[end:]
    return blank


def impurities(name: str, source: str) -> list[str]:
    """What is wrong with a source, one line for each place."""
    rules = FORBIDDEN | (FLOATS if name.startswith(WITHOUT_FLOATS) else {})
    return [
        f"{name}:{number}: {what}: {line.strip()}"
        for number, line in enumerate(code_of(source).splitlines(), 1)
        for what, rule in rules.items()
        if rule.search(line)
    ]


HINTS = "prefetch.rs"
"""The one place of unsafe code: a hint to the processor, which no result depends on."""


def core_sources() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCES.rglob("*.rs")):
        name = path.relative_to(SOURCES).as_posix()
        if not name.startswith("python/"):
            yield name, path.read_text(encoding="utf-8")


def test_the_core_is_pure() -> None:
    found = [line for name, source in core_sources() if name != HINTS for line in impurities(name, source)]
    assert found == []
    hints = (SOURCES / HINTS).read_text(encoding="utf-8")
    assert hints.count("unsafe {") == 1
    assert "_mm_prefetch" in hints


def test_the_lint_reads_the_whole_core() -> None:
    names = [name for name, _ in core_sources()]
    assert len(names) > 20
    assert {"kernel.rs", "matching/orders.rs", "generator/random.rs"} <= set(names)


@pytest.mark.parametrize(
    "planted",
    [
        "let now = std::time::Instant::now();",
        "let now = SystemTime::now();",
        "let mut rng = rand::rng();",
        "let state = RandomState::new();",
        "let ids: HashMap<u64, u32> = HashMap::default();",
        "use std::collections::HashSet;",
        "std::thread::spawn(|| ());",
        "let lines = std::fs::read(path);",
        "println!(\"{x}\");",
        "unsafe { *pointer };",
        "let x = order.unwrap();",
        "let x = order.expect(\"there is one\");",
        "panic!(\"no\");",
        "todo!()",
        "assert!(x > 0);",
        "let mid = (bid + ask) as f64;",
        "let half = 0.5 * x;",
        "let tiny = 1e-9;",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["kernel.rs", "matching/orders.rs"])
def test_a_planted_line_is_found(name: str, planted: str) -> None:
    source = dict(core_sources())[name]
    at = source.index("\nimpl")
    found = impurities(name, source[:at] + f"\nfn planted() {{\n    {planted}\n}}\n" + source[at:])
    assert len(found) == 1
    assert f":{source[:at].count(chr(10)) + 3}:" in found[0]


@pytest.mark.parametrize(
    "harmless",
    [
        "// a clock such as Instant is not read here, and nothing may panic!(..)",
        "let text = \"unsafe HashMap 0.5 f64\";",
        "let text = r#\"a \"HashMap\" in quotes\"#;",
        "let quote = '\"'; let unwrapped = x.unwrap_or(0); let other = '\"';",
        "debug_assert!(x > 0);",
        "const { assert!(STEP > 0) }",
        "let first = pair.0.0;",
        "let many = 1_000_000;",
        "#[cfg(test)]\n    mod tests { fn check() { x.unwrap(); let y: f64 = 0.5; } }",
        "#[cfg(test)]\n    use std::collections::HashMap;",
        "fn life<'a>(x: &'a str) -> &'a str { x }",
    ],
)  # fmt: skip
def test_harmless_lines_pass(harmless: str) -> None:
    assert impurities("kernel.rs", f"fn harmless() {{\n    {harmless}\n}}\n") == []
