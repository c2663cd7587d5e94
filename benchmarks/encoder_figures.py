"""From raw rounds to figures: rates, medians, ratios, gates, intervals. Standard library alone.

Useful operations of training on real tokens, forward and backward:

    6 N_body T + 6 N_head E + 12 L D sum(n^2)

N_body weights of the encoder's linear layers (embeddings multiply nothing), T real tokens, N_head weights of pooler
and classifier, E examples, L layers, D width, n length of each example: scores and their product with the values
are 4 n^2 D a layer forward, twice that backward. Padding, recomputation and the optimizer do not count as useful.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from contract import WARM_UP_STEPS
from figures import CURVE_LIMIT, GRADIENT_LIMIT, LOSS_LIMITS, Gates, Ratios, Shape, best_of, medians
from rounds import Round, names_in

REFERENCE = "default"
GROUPS = {
    "tutorial": ("tutorial",),
    "as it comes": ("default",),
    "tuned": ("tuned_float32", "tuned_bfloat16", "tuned_bfloat16_eager"),
    "tuned, no attention dropout": ("nodropout_float32", "nodropout_bfloat16"),
}
NEEDED = {"tutorial": 60.0, "as it comes": 2.5, "tuned": 1.4}
PREDICTION_NEEDED = 1.5


def wilson(right: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% Wilson interval of `right` out of `n`."""
    if n == 0:
        return 0.0, 1.0
    p, d = right / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / d
    half = z / d * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def operations(steps: Sequence[dict[str, Any]], shape: Shape) -> float:
    """Useful floating-point operations of these steps: the formula in the module's docstring."""
    tokens, examples, squares = (sum(step[key] for step in steps) for key in ("tokens", "examples", "squares"))
    return float(
        6 * shape["body"] * tokens + 6 * shape["head"] * examples + 12 * shape["layers"] * shape["width"] * squares
    )


def of_answer(
    answer: dict[str, Any], shape: Shape, peaks: Sequence[dict[str, dict[str, float]]], rows: int
) -> dict[str, Any]:
    """The figures of one contender in one round. `steady` leaves the first steps out, `whole` is all of `train`."""
    steps = answer["steps"]
    steady = steps[WARM_UP_STEPS:] or steps
    whole, wall = answer["seconds"]["train"], sum(step["seconds"] for step in steady)
    examples, tokens = sum(s["examples"] for s in steps), sum(s["tokens"] for s in steps)
    rates = {name: rows / statistics.median(times) for name, times in answer["passes"].items()}
    before = sum(seconds for stage, seconds in answer["seconds"].items() if stage not in ("train", "predict"))
    bfloat16 = 1e9 * max(side["bfloat16"]["best"] for side in peaks)
    return {
        "examples_per_second": sum(s["examples"] for s in steady) / wall,
        "tokens_per_second": sum(s["tokens"] for s in steady) / wall,
        "examples_per_second_whole": examples / whole,
        "tokens_per_second_whole": tokens / whole,
        "train_seconds": whole,
        "train_cpu_seconds": answer["train_cpu_seconds"],
        "prediction_rates": rates,
        "time_to_result": answer["time_to_result"] if answer["predictions"] else None,
        "before_training_seconds": before,
        "cpu_seconds": answer["finish"]["cpu_seconds"],
        "peak_mib": answer["finish"]["peak_mib"],
        "share_of_bfloat16_peak": operations(steady, shape) / wall / bfloat16,
        "mean_loss": sum(s["loss"] * s["examples"] for s in steps) / examples,
    }


def over_rounds(per_round: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over rounds; of prediction, the setting whose median is best."""
    found = medians([{k: v for k, v in figures.items() if k != "prediction_rates"} for figures in per_round])
    values = [figures["prediction_rates"] for figures in per_round]
    rates = {how: statistics.median(v[how] for v in values) for how in values[0]}
    found["prediction"] = max(rates, key=lambda how: rates[how]) if rates else None
    found["prediction_rates"] = rates
    found["prediction_examples_per_second"] = max(rates.values()) if rates else None
    return found


def accuracies(rounds: Sequence[Round], name: str, gold: Sequence[int]) -> dict[int, list[int]]:
    """For each seed, whether each validation row was right (1) or not (0); the first round of a seed counts."""
    found: dict[int, list[int]] = {}
    for r in rounds:
        if name in r.answers and r.answers[name]["predictions"]:
            pairs = zip(r.answers[name]["predictions"], gold, strict=True)
            found.setdefault(r.seed, [int(output == label) for output, label in pairs])
    return found


def accuracy(right: dict[int, list[int]]) -> dict[str, Any] | None:
    """Accuracy of each seed and their mean, with Wilson intervals; the mean's as of one seed's number of rows."""
    if not right:
        return None
    n = len(next(iter(right.values())))
    mean = statistics.mean(sum(row) / n for row in right.values())
    low, high = wilson(mean * n, n)
    seeds = {str(s): {"value": sum(row) / n, "interval": wilson(sum(row), n)} for s, row in right.items()}
    return {"mean": mean, "low": low, "high": high, "items": n, "seeds": seeds}


def paired(ours: dict[int, list[int]], peer: dict[int, list[int]]) -> dict[str, Any] | None:
    """Ours minus the peer's accuracy over the shared seeds, with a 95% interval clustered by item."""
    seeds = sorted(ours.keys() & peer.keys())
    if not seeds:
        return None
    items = [statistics.mean(column) for column in zip(*_differences(ours, peer, seeds), strict=True)]
    effect = statistics.mean(items)
    half = 1.96 * statistics.stdev(items) / math.sqrt(len(items)) if len(items) > 1 else 1.0
    return {"effect": effect, "low": effect - half, "high": effect + half, "seeds": seeds, "items": len(items)}


def _differences(ours: dict[int, list[int]], peer: dict[int, list[int]], seeds: Sequence[int]) -> list[list[int]]:
    return [[a - b for a, b in zip(ours[s], peer[s], strict=True)] for s in seeds]


def gates(rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """What must hold before any speed counts: same tokens, same work, same loss and gradient at step 0, like curves."""
    names, found = names_in(rounds), Gates()
    base = REFERENCE if REFERENCE in names else next(iter(names), None)
    if base is None:
        return []
    gate = found.add
    for name in names:
        pairs = [(r.answers[name], r.answers[base]) for r in rounds if name in r.answers and base in r.answers]
        sampled = not any(mine["predictions"] for mine, _ in pairs)
        gate(name, "other token ids", sum(a["tokens_digest"] != b["tokens_digest"] for a, b in pairs), 0)
        for what in () if sampled else ("steps", "examples"):
            gate(name, f"difference in {what}", max(abs(_work(a, what) - _work(b, what)) for a, b in pairs), 0)
        probes = [(a["probe"], b["probe"], a["precision"]) for a, b in pairs if a["probe"] and b["probe"]]
        if not probes:
            gate(name, "step 0: not looked at", 1, 0)
        else:
            limit = LOSS_LIMITS[probes[0][2]]
            gate(name, "step 0: loss", max(abs(a["loss"] - b["loss"]) for a, b, _ in probes), limit)
            worst = max(abs(a["gradient_norm"] / b["gradient_norm"] - 1) for a, b, _ in probes)
            lost = min(a["gradient_norm"] for a, _, _ in probes) <= 0
            note = "not divided by the accumulation count (Trainer)" if sampled else ""
            gate(name, "step 0: gradient norm", math.inf if lost else worst, GRADIENT_LIMIT, note, counts=not sampled)
        if not sampled:
            apart = statistics.mean(_mean_loss(a) - _mean_loss(b) for a, b in pairs)
            gate(name, "mean training loss", abs(apart), CURVE_LIMIT)
    return found.found


def _work(answer: dict[str, Any], what: str) -> int:
    steps = answer["steps"]
    return len(steps) if what == "steps" else sum(step["examples"] for step in steps)


def _mean_loss(answer: dict[str, Any]) -> float:
    return math.fsum(s["loss"] * s["examples"] for s in answer["steps"]) / _work(answer, "examples")


def summarise(rounds: Sequence[Round], shape: Shape, gold: Sequence[int]) -> dict[str, Any]:
    """Every figure of the kept rounds: `contenders`, `ratios`, `accuracy_differences`, `gates`."""
    used = [r for r in rounds if r.kept]
    names = names_in(used)
    each = {
        name: {
            r.number: of_answer(r.answers[name], shape, (r.peak_before, r.peak_after), len(gold))
            for r in used
            if name in r.answers
        }
        for name in names
    }
    train_rows = max((_work(a, "examples") for r in used for a in r.answers.values()), default=0)
    table = {name: over_rounds(list(figures.values())) for name, figures in each.items()}
    right = {name: accuracies(used, name, gold) for name in names}
    for name, row in table.items():
        row["accuracy"] = accuracy(right[name])
        if row["time_to_result"] is None:
            row["time_to_result_extrapolated"] = (
                row["before_training_seconds"] + train_rows / row["examples_per_second"]
            )
    chosen = {label: best_of(group, table, "examples_per_second") for label, group in GROUPS.items()}
    differences = {
        peer: paired(right["ours"], right[peer]) for peer in chosen.values() if peer and "ours" in right and right[peer]
    }
    return {
        "contenders": table,
        "each_round": each,
        "chosen": chosen,
        "ratios": ratios(each, table, chosen) if "ours" in each else [],
        "accuracy_differences": differences,
        "gates": gates(used),
        "train_rows": train_rows,
    }


def ratios(
    each: dict[str, dict[int, dict[str, Any]]], table: dict[str, dict[str, Any]], chosen: dict[str, str | None]
) -> list[dict[str, Any]]:
    """Ours against the chosen member of every group. Above 1 is better for ours, except memory, where it is below."""
    found = Ratios(each)
    add = found.add
    for group, peer in chosen.items():
        add("training, steady", group, peer, lambda _, f: f["examples_per_second"], NEEDED.get(group))
        add("training, whole", group, peer, lambda _, f: f["examples_per_second_whole"])
        add("training, tokens a second", group, peer, lambda _, f: f["tokens_per_second"])
    everyone = [name for name in table if name != "ours"]
    fastest = best_of(everyone, table, "prediction_examples_per_second")
    for group, peer in (("as it comes", chosen["as it comes"]), ("the best of all", fastest)):
        needed = PREDICTION_NEEDED if group == "the best of all" else None
        add("prediction", group, peer, lambda n, f: f["prediction_rates"].get(table[n]["prediction"]), needed)
    for group, peer in chosen.items():
        add("time to result, theirs / ours", group, peer,
            lambda _, f: f["time_to_result"] and 1 / f["time_to_result"], None)  # fmt: skip
        add("peak memory, ours / theirs", group, peer, lambda _, f: f["peak_mib"], 1.0, upward=False)
    return found.found
