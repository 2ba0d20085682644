"""Holds the ceilings on size: no file over 400 lines, no function over 40, in code, scripts and tests.

A limit is not raised for one case. A file that reaches it holds two things: give the second one a file of its own.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("fsmflow", "machines", "examples", "scripts", "tests")
FILE_LINES = 400
FUNCTION_LINES = 40


def main() -> int:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    files = [(path, len(text.splitlines())) for path, text in texts.items()]
    functions = [function for path, text in texts.items() for function in _functions(path, text)]
    over = [(place, lines, FILE_LINES) for place, lines in files if lines > FILE_LINES]
    over += [(place, lines, FUNCTION_LINES) for place, lines in functions if lines > FUNCTION_LINES]
    for place, lines, limit in over:
        print(f"{place}: {lines} lines, {limit} at most")
    print(f"{_figures('files', files)}; {_figures('functions', functions)}")
    return 1 if over else 0


def _functions(path: str, text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text, filename=path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def _figures(what: str, places: list[tuple[str, int]]) -> str:
    sizes = [lines for _, lines in places] or [0]
    return f"{len(places)} {what}, the longest {max(sizes)} lines, the median {statistics.median(sizes):g}"


if __name__ == "__main__":
    sys.exit(main())
