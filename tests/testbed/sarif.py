"""Does a document hold to SARIF 2.1.0? Checked by a schema written after the standard, stricter where we write."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema

SCHEMA = Path(__file__).resolve().parents[1] / "data" / "sarif-2.1.0-as-written.schema.json"


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def validate(document: object) -> None:
    """jsonschema.ValidationError at the first place that the standard does not allow."""
    _validator().validate(document)
