"""From raw rounds to figures for ways of adapting. Standard library alone.

A contender is `WAY/NAME`. Training is timed whole, from the moment when rows are token ids: what a way computes once and
keeps is part of it. `WAY/ours_first` is the run that filled the cache that `WAY/ours_again` finds on the disk.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from contract import KEPT
from encoder_figures import accuracies, accuracy, paired
from figures import CURVE_LIMIT, GRADIENT_LIMIT, LOSS_LIMITS, Figures, Gates, Ratios, Shape, best_of, medians, ratio
from rounds import Round, names_in

RATE = "examples_per_second"
NEEDED = {
    ("top", "as it comes"): 5.0, ("head", "as it comes"): 12.0, ("lora", "as it comes"): 2.2, ("lora", "tuned"): 1.4,
    ("lora", "full, ours"): 1.4,
}  # fmt: skip


def way_of(name: str) -> str:
    """The way of a contender."""
    return name.split("/", 1)[0]


def own(name: str) -> str:
    """A contender's name without its way."""
    return name.split("/", 1)[1]


def of_answer(answer: dict[str, Any], rows: int) -> Figures:
    """The figures of one contender in one round, which predicted so many `rows`."""
    steps, seconds = answer["steps"], answer["seconds"]
    spent = seconds["train"] + seconds.get("attach", 0.0)
    examples = sum(step["examples"] for step in steps)
    passes = {name: statistics.median(times) for name, times in answer["passes"].items() if times}
    kept = passes.pop(KEPT, None)
    return {
        RATE: examples / spent,
        "train_seconds": spent,
        "train_cpu_seconds": answer["train_cpu_seconds"],
        "examples_per_cpu_second": examples / answer["train_cpu_seconds"],
        "first_prediction": rows / seconds["predict"],
        "prediction": rows / min(passes.values()) if passes else None,
        "prediction_over_cache": rows / kept if kept else None,
        "time_to_result": answer["time_to_result"],
        "peak_mib": answer["finish"]["peak_mib"],
        "mean_loss": mean_loss(answer),
        "learns": answer["learns"],
        "stored": answer["stored"],
    }


def mean_loss(answer: dict[str, Any]) -> float:
    """Mean loss of an example over all of training."""
    steps = answer["steps"]
    return math.fsum(s["loss"] * s["examples"] for s in steps) / sum(s["examples"] for s in steps)


def table_of(rounds: Sequence[Round], rows: int) -> dict[str, dict[int, Figures]]:
    """The figures of every contender by the number of the round; of a second run also those of its first."""
    found: dict[str, dict[int, Figures]] = {}
    for name in names_in(rounds):
        for r in rounds:
            if name in r.answers:
                if "first" in r.answers[name]:
                    first = of_answer(r.answers[name]["first"], rows)
                    found.setdefault(f"{way_of(name)}/ours_first", {})[r.number] = first
                found.setdefault(name, {})[r.number] = of_answer(r.answers[name], rows)
    return found


def fastest(table: dict[str, Figures], way: str, still: bool) -> str | None:
    """The peer that learns most examples a second, of those that an expert sets; `still`: without dropout below."""
    names = [n for n in table if way_of(n) == way and not own(n).startswith(("ours", "default"))]
    return best_of([n for n in names if n.endswith("_still") == still], table, RATE)


def summarise(rounds: Sequence[Round], screen: Round | None, shape: Shape, gold: Sequence[int], bars: bool) -> Figures:
    """Every figure of the kept rounds: `contenders`, `ratios`, `accuracy_differences`, `gates`; of the trial, `screen`.

    Args:
        rounds: all of them.
        screen: the trial of all peers on few rows, or None.
        shape: what `prepare` told.
        gold: the labels of the rows that are predicted.
        bars: whether the ratios that are needed apply.
    """
    used = [r for r in rounds if r.kept]
    each = table_of(used, len(gold))
    table = {name: medians(list(figures.values())) for name, figures in each.items()}
    right = {name: accuracies(used, name, gold) for name in names_in(used)}
    for name, row in table.items():
        row["accuracy"] = accuracy(right.get(name, {}))
        row["share"] = row["learns"] / shape["parameters"]
    ratios, differences = Ratios(each), dict[str, Any]()
    for way in dict.fromkeys(map(way_of, table)):
        for group, peer in rivals(table, way).items():
            _compare(ratios, way, group, peer, bars)
            if peer and f"{way}/ours" in right and peer in right:
                differences[peer] = paired(right[f"{way}/ours"], right[peer])
        _over_the_cache(ratios, each, way)
    return {
        "contenders": table,
        "each_round": each,
        "ratios": ratios.found,
        "accuracy_differences": differences,
        "gates": gates(used),
        "screen": {n: f[0] for n, f in table_of([screen], 1).items()} if screen else {},
    }


def rivals(table: dict[str, Figures], way: str) -> dict[str, str | None]:
    """Whom ours is held against: a contender for each group that there is."""
    found = {
        "as it comes": f"{way}/default",
        "tuned": fastest(table, way, still=False),
        "as it comes, no dropout below": f"{way}/default_still",
        "tuned, no dropout below": fastest(table, way, still=True),
        "full, ours": "full/ours" if way == "lora" else None,
    }
    return {group: peer for group, peer in found.items() if peer in table}


def _compare(ratios: Ratios, way: str, group: str, peer: str | None, bars: bool) -> None:
    """Ours against one peer; above 1 is better for ours, except memory and time to result, where it is below."""

    def add(what: str, key: str, needed: float | None = None, upward: bool = True) -> None:
        ratios.add(what, f"{way}: {group}", peer, lambda _, f: f[key], needed, upward, f"{way}/ours")

    add("training, examples a second", RATE, NEEDED.get((way, group)) if bars else None)
    add("training, examples a CPU second", "examples_per_cpu_second")
    if group not in ("as it comes", "tuned"):
        return
    add("prediction, first time", "first_prediction")
    add("prediction, again", "prediction")
    add("time to result, ours / theirs", "time_to_result", upward=False)
    add("peak memory, ours / theirs", "peak_mib", upward=False)


def _over_the_cache(ratios: Ratios, each: dict[str, dict[int, Figures]], way: str) -> None:
    """What the cache gives: to a second prediction of the same rows, and to the second run of a sweep."""
    mine, again = each.get(f"{way}/ours", {}), f"{way}/ours_again"
    pairs = [(f["prediction_over_cache"], f["prediction"]) for f in mine.values() if f["prediction_over_cache"]]
    if pairs:
        value = ratio([a for a, _ in pairs], [b for _, b in pairs])
        ratios.found.append({"what": "prediction, over the cache / without", "group": f"{way}: over the cache",
                             "peer": f"{way}/ours", **value, "needed": None, "met": None})  # fmt: skip
    for what, key, upward in (
        ("training, examples a second", RATE, True), ("prediction, first time", "first_prediction", True),
        ("time to result, second / first", "time_to_result", False),
    ):  # fmt: skip
        group, first = f"{way}: second run of a sweep", f"{way}/ours_first"
        ratios.add(what, group, first, lambda _, f: f[key], None, upward, again)  # noqa: B023


def gates(rounds: Sequence[Round]) -> list[Figures]:
    """What must hold before any speed counts: the same tokens, work, parameters that learn, step 0, and like curves."""
    names, found = names_in(rounds), Gates()
    for name in names:
        way = way_of(name)
        peers = [n for n in names if way_of(n) == way]
        base = next((n for n in (f"{way}/default", f"{way}/default_still") if n in peers), peers[0])
        pairs = [(r.answers[name], r.answers[base]) for r in rounds if name in r.answers and base in r.answers]
        if not pairs:
            continue
        found.add(name, "other token ids", sum(a["tokens_digest"] != b["tokens_digest"] for a, b in pairs), 0)
        note = "embeddings of words that occur alone" if way == "full" else ""
        apart = max(abs(a["learns"] - b["learns"]) for a, b in pairs)
        found.add(name, "difference in parameters that learn", apart, 0, note, counts=way != "full")
        for what in ("steps", "examples"):
            found.add(name, f"difference in {what}", max(abs(_work(a, what) - _work(b, what)) for a, b in pairs), 0)
        _step_zero(found, name, pairs)
        _curve(found, name, rounds, peers, base)
    return found.found


def _work(answer: dict[str, Any], what: str) -> int:
    return len(answer["steps"]) if what == "steps" else sum(step["examples"] for step in answer["steps"])


def _step_zero(found: Gates, name: str, pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    probes = [(a["probe"], b["probe"], a["precision"]) for a, b in pairs if a["probe"] and b["probe"]]
    if not probes:
        found.add(name, "step 0: not looked at", 1, 0)
        return
    found.add(name, "step 0: loss", max(abs(a["loss"] - b["loss"]) for a, b, _ in probes), LOSS_LIMITS[probes[0][2]])
    away = max(abs(a["gradient_norm"] / b["gradient_norm"] - 1) for a, b, _ in probes)
    lost = min(a["gradient_norm"] for a, _, _ in probes) <= 0
    found.add(name, "step 0: gradient norm", math.inf if lost else away, GRADIENT_LIMIT)


def _curve(found: Gates, name: str, rounds: Sequence[Round], peers: Sequence[str], base: str) -> None:
    """Against a contender that drops out in the same layers, where one played."""
    if own(name).startswith("ours") or name.endswith("_still"):
        base = next((n for n in peers if n.endswith("_still")), base)
    pairs = [(r.answers[name], r.answers[base]) for r in rounds if name in r.answers and base in r.answers]
    if pairs:
        apart = abs(statistics.mean(mean_loss(a) - mean_loss(b) for a, b in pairs))
        found.add(name, "mean training loss", apart, CURVE_LIMIT, f"against {base}")
