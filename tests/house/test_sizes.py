"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import statistics

from tests.house.source import ROOT, functions, line_count, package_files, parse

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_MEDIAN_LINES = 12
ALMOST_ALL_LINES = 35
ALMOST_ALL_SHARE = 0.95


def function_sizes() -> list[tuple[int, str]]:
    return [
        (line_count(function), f"{path}:{function.lineno} {function.name}")
        for path in package_files()
        for function in functions(parse(path))
    ]


def test_no_file_is_too_long() -> None:
    lines = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in package_files()
    }
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    assert [(size, where) for size, where in function_sizes() if size > MAX_FUNCTION_LINES] == []


def test_functions_are_short_as_a_rule() -> None:
    sizes = [size for size, _ in function_sizes()]
    assert statistics.median(sizes) <= MAX_MEDIAN_LINES
    longer = [where for size, where in function_sizes() if size > ALMOST_ALL_LINES]
    assert len(longer) <= (1 - ALMOST_ALL_SHARE) * len(sizes), (
        f"too many above {ALMOST_ALL_LINES} lines: {longer}"
    )
