"""Rounds as contenders answer them, with chosen figures."""

from __future__ import annotations

from typing import Any

from rounds import Round

PEAK = {name: {"best": 100.0, "median": 90.0} for name in ("float32", "bfloat16")}


def answer(seconds: float, right: list[int], **changed: Any) -> dict[str, Any]:
    """Ten steps of 32 examples in so many seconds; `right` are the predictions."""
    steps = [
        {"seconds": seconds / 10, "cpu_seconds": 1.0, "examples": 32, "tokens": 320, "squares": 3200, "loss": 0.7}
    ] * 10
    return {
        "precision": "float32", "options": {}, "seconds": {"load": 9.0, "train": seconds, "predict": 2.0},
        "train_cpu_seconds": seconds, "steps": steps, "predictions": right, "passes": {"packed": [0.5, 0.5, 0.4]},
        "finish": {"peak_mib": 100.0, "cpu_seconds": 1.0, "device_mib": None}, "tokens_digest": "same",
        "probe": {"loss": 1.1, "gradient_norm": 2.0, "rows": 32}, "learns": 1000, "stored": 5000,
        "time_to_result": seconds + 10, **changed,
    }  # fmt: skip


def a_round(number: int, seed: int, answers: dict[str, dict[str, Any]], kept: bool = True) -> Round:
    """One that nothing drifted in."""
    names = tuple(answers) if number % 2 else tuple(reversed(answers))
    return Round(number, seed, names, answers, {}, PEAK, PEAK, (0.1,), kept)
