"""When a claim holds, when it does not, and when nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest
from played_rounds import a_round, answer

from claims_figures import summarise

GOLD = [1, 0] * 200
WRONG = [1, 1] * 200


def claimed(lora: dict[str, Any], full: dict[str, Any] | None = None) -> dict[str, Any]:
    """What comes out of two seeds, by what is claimed."""
    answers = {"full/ours": full or answer(10.0, GOLD), "lora/ours": lora}
    found = summarise([a_round(1, 0, answers), a_round(2, 1, answers)], 100_000, GOLD)
    return {c["what"]: c["holds"] for c in found["claims"]} | {"found": found}


def test_all_that_is_said_is_borne_out() -> None:
    found = claimed(answer(3.0, GOLD, learns=500, stored=400))
    assert found | {"found": None} == {"share": True, "quality": True, "speed": True, "storage": True, "found": None}
    way = found["found"]["ways"]["lora/ours"]
    assert way["share"] == pytest.approx(0.005)
    assert way["faster"]["median"] == pytest.approx(10 / 3)


def test_none_of_it_is() -> None:
    found = claimed(answer(9.0, WRONG, learns=5000, stored=4000))
    assert found | {"found": None} == {
        "share": False,
        "quality": False,
        "speed": False,
        "storage": False,
        "found": None,
    }


def test_a_difference_that_could_be_either_is_left_open() -> None:
    few = [1 - y if i < 8 else y for i, y in enumerate(GOLD)]
    found = claimed(answer(3.0, few))
    assert found["quality"] is None
    assert found["found"]["ways"]["lora/ours"]["difference"]["effect"] == pytest.approx(-0.02)
