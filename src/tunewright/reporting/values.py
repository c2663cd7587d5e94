"""Values of a JSON file whose shape is not to be trusted: a wrong one gives an empty value, never an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunewright.reporting.formatting import clean


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects of a list; what is not an object is left out."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def string(value: Any, otherwise: str = "") -> str:
    """A JSON value as printable text; null gives `otherwise`."""
    if value is None:
        return otherwise
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict | list):
        return clean(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return str(value)


def strings(value: Any) -> list[str]:
    """A JSON list as printable texts."""
    return [string(entry) for entry in value] if isinstance(value, list) else []
