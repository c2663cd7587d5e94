"""Fake run folders for the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_runs import evidence, write_run


@pytest.fixture
def fake_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a fake run folder: `fake_run(steps=..., texts=..., evidence=..., ...)`."""
    return lambda **options: write_run(tmp_path / "messages", **options)


@pytest.fixture
def fake_evidence() -> dict[str, Any]:
    """A fresh evidence.json to change."""
    return evidence()
