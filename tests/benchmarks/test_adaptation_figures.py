"""What the benchmark of adaptations makes of its contenders' answers."""

from __future__ import annotations

from typing import Any

import pytest
from played_rounds import a_round, answer

from adaptation_figures import summarise
from contract import KEPT

GOLD = [1, 0, 1, 0]
SHAPE = {"parameters": 10_000}


def summary(answers: dict[str, dict[str, Any]], bars: bool = True) -> dict[str, Any]:
    """Of two kept rounds, and of one discarded that must not count."""
    spoilt = {name: answer(1e6, GOLD) for name in answers}
    rounds = [a_round(1, 0, answers), a_round(2, 1, spoilt, kept=False), a_round(3, 1, answers)]
    return summarise(rounds, None, SHAPE, GOLD, bars)


def ratio_of(found: dict[str, Any], group: str, what: str) -> dict[str, Any]:
    return next(r for r in found["ratios"] if r["group"] == group and r["what"] == what)


def test_the_whole_training_counts_with_what_was_computed_before_it() -> None:
    ours = answer(4.0, GOLD) | {"seconds": {"load": 9.0, "attach": 4.0, "train": 4.0, "predict": 2.0}}
    found = summary({"top/default": answer(48.0, GOLD), "top/ours": ours})
    ratio = ratio_of(found, "top: as it comes", "training, examples a second")
    assert ratio["median"] == pytest.approx(6.0)
    assert ratio["met"] is True
    assert found["contenders"]["top/ours"]["examples_per_second"] == pytest.approx(40.0)


def test_a_bar_that_is_missed_is_said_so_and_a_quick_run_has_none() -> None:
    answers = {"head/default": answer(48.0, GOLD), "head/ours": answer(8.0, GOLD)}
    what = "head: as it comes", "training, examples a second"
    assert ratio_of(summary(answers), *what)["met"] is False
    assert ratio_of(summary(answers, bars=False), *what)["met"] is None


def test_the_fastest_tuned_peer_is_the_rival_and_still_ones_are_a_group_of_their_own() -> None:
    names = {"default": 40.0, "tuned_float32": 30.0, "tuned_bfloat16": 20.0, "tuned_bfloat16_still": 10.0, "ours": 5.0}
    found = summary({f"top/{name}": answer(seconds, GOLD) for name, seconds in names.items()})
    tuned = ratio_of(found, "top: tuned", "training, examples a second")
    still = ratio_of(found, "top: tuned, no dropout below", "training, examples a second")
    assert (tuned["peer"], still["peer"]) == ("top/tuned_bfloat16", "top/tuned_bfloat16_still")
    assert (tuned["median"], still["median"]) == (pytest.approx(4.0), pytest.approx(2.0))


def test_lora_is_held_against_full_of_the_same_side() -> None:
    found = summary(
        {"lora/default": answer(20.0, GOLD), "lora/ours": answer(5.0, GOLD), "full/ours": answer(8.0, GOLD)}
    )
    assert ratio_of(found, "lora: full, ours", "training, examples a second")["median"] == pytest.approx(1.6)


def test_what_the_cache_gives_to_a_second_run_and_to_a_prediction() -> None:
    again = answer(2.0, GOLD) | {"first": answer(6.0, GOLD)}
    ours = answer(5.0, GOLD) | {"passes": {"packed": [0.8], KEPT: [0.3, 0.2, 0.1]}}
    found = summary({"top/default": answer(40.0, GOLD), "top/ours": ours, "top/ours_again": again})
    assert "top/ours_first" in found["contenders"]
    sweep = ratio_of(found, "top: second run of a sweep", "training, examples a second")
    assert sweep["median"] == pytest.approx(3.0)
    cached = ratio_of(found, "top: over the cache", "prediction, over the cache / without")
    assert cached["median"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("changed", "gate"),
    [
        ({"learns": 999}, "difference in parameters that learn"),
        ({"tokens_digest": "other"}, "other token ids"),
        ({"probe": {"loss": 1.2, "gradient_norm": 2.0, "rows": 32}}, "step 0: loss"),
        ({"probe": {"loss": 1.1, "gradient_norm": 2.1, "rows": 32}}, "step 0: gradient norm"),
        ({"probe": {"loss": 1.1, "gradient_norm": 0.0, "rows": 32}}, "step 0: gradient norm"),
        ({"probe": None}, "step 0: not looked at"),
    ],
)
def test_a_gate_for_everything_that_must_be_equal(changed: dict[str, Any], gate: str) -> None:
    answers = {"top/default": answer(40.0, GOLD), "top/ours": answer(5.0, GOLD)}
    assert all(g["passed"] for g in summary(answers)["gates"])
    failed = [g for g in summary(answers | {"top/ours": answer(5.0, GOLD, **changed)})["gates"] if not g["passed"]]
    assert [(g["contender"], g["gate"]) for g in failed] == [("top/ours", gate)]


def test_accuracy_is_compared_within_a_way() -> None:
    found = summary({"top/default": answer(40.0, [1, 0, 0, 0]), "top/ours": answer(5.0, GOLD)})
    assert found["accuracy_differences"]["top/default"]["effect"] == pytest.approx(0.25)
    assert found["contenders"]["top/ours"]["accuracy"]["mean"] == 1.0
