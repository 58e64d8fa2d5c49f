"""Sources that knock parsers and linters over: each is Python's to refuse, or to be read to its end."""

from __future__ import annotations


def _deep_ifs(depth: int, indent: str) -> str:
    return "".join(indent * level + "if a:\n" for level in range(depth)) + indent * depth + "pass\n"


SHAPES = {
    "5,000 terms": "x = " + " + ".join(["a"] * 5_000),
    "100,000 terms": "x = " + " + ".join(["a"] * 100_000),
    "20,000 times and": "x = " + " and ".join(["a"] * 20_000),
    "5,000 comparisons": "x = " + " < ".join(["a"] * 5_000),
    "5,000 powers": "x = " + "**".join(["a"] * 5_000),
    "150 brackets": "x = " + "(" * 150 + "a" + ")" * 150,
    "3,000 brackets": "x = " + "(" * 3_000 + "a" + ")" * 3_000,
    "10,000 brackets in a list": "x = " + "[" * 10_000 + "]" * 10_000,
    "10,000 signs": "x = " + "-" * 10_000 + "a",
    "5,000 times not": "x = " + "not " * 5_000 + "a",
    "10,000 attributes": "x = a" + ".b" * 10_000,
    "5,000 calls": "x = f" + "()" * 5_000,
    "5,000 subscripts": "x = f" + "[0]" * 5_000,
    "3,000 lambdas": "x = " + "lambda: " * 3_000 + "a",
    "5,000 alternatives": "x = " + "a if b else " * 5_000 + "c",
    "500 times elif": "if a:\n    pass\n" + "elif b:\n    pass\n" * 500,
    "5,000 times elif": "if a:\n    pass\n" + "elif b:\n    pass\n" * 5_000,
    "600 strings": "x = (" + '\n    "a"' * 600 + "\n)",
    "5,000 strings": "x = (" + '\n    "a"' * 5_000 + "\n)",
    "95 blocks": _deep_ifs(95, "    "),
    "500 blocks": _deep_ifs(500, " "),
    "1,000 decorators": "@d\n" * 1_000 + "def f(): pass",
    "1,000 cases": "match a:\n" + "".join(f"    case {number}: pass\n" for number in range(1_000)),
    "1,000 context managers": "with " + ", ".join(["a"] * 1_000) + ": pass",
    "3,000 parameters": "def f(" + ", ".join(f"p{number}" for number in range(3_000)) + "): pass",
    "3,000 targets": ", ".join(f"v{number}" for number in range(3_000)) + " = a",
    "1,000 assignments in one": " = ".join(f"v{number}" for number in range(1_000)) + " = a",
    "5,000 lines joined": "x = 1" + " \\\n+ 1" * 5_000,
    "a chain of 300 helpers": "".join(f"def g{i}(x):\n    return g{i + 1}(x)\n" for i in range(300)),
    "helpers that call two": "".join(f"def h{i}(x):\n    return h{i + 1}(x) + h{i + 1}(x)\n" for i in range(60)),
    "a sum that doubles": "v0 = loss\n" + "".join(f"v{i + 1} = v{i} + v{i}\n" for i in range(60)),
    "300 conditions": "".join(f"if c{number}:\n    model = m{number}\n" for number in range(300)),
    "1,000 star imports": "".join(f"from m{number} import *\n" for number in range(1_000)),
    # Each of these took minutes once, the square of its length.
    "a dict of 70,000": "x = {" + ", ".join(f"'k{number}': {number}" for number in range(70_000)) + "}",
    "8,000 ignore comments": "x = 1  # ga-lint: ignore[GA101]\n" * 8_000,
    "2,000 loops": "".join(f"for i{number} in y:\n    x = x + 1\n" for number in range(2_000)),
    "8,000 entries put one by one": "x = {}\n" + "".join(f"x['k{number}'] = 1\n" for number in range(8_000)),
    "100,000 lines": "x = 1\n" * 100_000,
    "10 MB of comments": ("# " + "y" * 98 + "\n") * 100_000,
    "a line of 10 MB": 'x = "' + "a" * 10_000_000 + '"',
}
TOO_LONG_TO_REWRITE = {"a dict of 70,000"}
SLOW_TO_REWRITE = {  # each proof looks at every line, and LibCST at every node
    "10 MB of comments", "a line of 10 MB", "8,000 ignore comments", "2,000 loops", "8,000 entries put one by one"
}  # fmt: skip
