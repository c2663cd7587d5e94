"""Memory: what the process is asked to keep and to let go."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunewright.models import allocator


def test_a_bound_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    allocator.bound_compiled_products()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"


def test_compiled_products_are_let_go() -> None:
    """Two passes over 300 shapes: without the bound, oneDNN finds all of them again."""
    program = (
        "import sys, torch\n"
        "from tunewright.models import allocator\n"
        "sys.argv[1] == 'bounded' and allocator.settle()\n"
        "w = torch.randn(64, 64).bfloat16()\n"
        "for again in range(2):\n"
        "    for n in range(1, 301): torch.mm(torch.ones(n, 64).bfloat16(), w)\n"
    )
    hits = {}
    for mode in ("bounded", "plain"):
        environment = {k: v for k, v in os.environ.items() if k != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
        run = subprocess.run(
            [sys.executable, "-c", program, mode], env={**environment, "ONEDNN_VERBOSE": "2"}, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        hits[mode] = run.stdout.count("create:cache_hit")
    if not hits["plain"]:
        pytest.skip("these products are not oneDNN's here")
    assert hits["plain"] >= 280 and hits["bounded"] == 0
