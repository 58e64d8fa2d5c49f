"""Writes the schema that ships with the package: `python tests/testbed/schema.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "ga_lint" / "ga-lint.schema.json"


def generated() -> str:
    """The schema as it is today."""
    from ga_lint.config_schema import schema

    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    SHIPPED.write_text(generated(), encoding="utf-8")
