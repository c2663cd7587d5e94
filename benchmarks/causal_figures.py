"""From raw rounds to figures for causal language models. Standard library alone.

Useful operations of training on real tokens, forward and backward, with S supervised tokens of T:

    full    6 N_body T + 6 N_head S + 6 L D sum(n^2)
    LoRA    4 N_body T + 6 N_adapter T + 4 N_head S + 6 L D sum(n^2)

N_body weights of the layers' linear modules, N_head the vocabulary times the width, L layers, D width, n length of
each row. Causal attention needs half of all pairs. Padding, recomputation, scores where nothing is supervised and the
optimizer do not count as useful.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from contract import WARM_UP_STEPS
from figures import CURVE_LIMIT, GRADIENT_LIMIT, LOSS_LIMITS, Figures, Gates, Ratios, Shape, best_of, medians
from rounds import Round, names_in

RATE = "supervised_per_second"
NEEDED = {"as it comes": 3.0, "tuned": 1.6}
DEFAULT = "trl_default"


def adaptation_of(name: str) -> str:
    """full or lora."""
    return name.split("/", 1)[0]


def is_ours(name: str) -> bool:
    """Whether this contender is Tunewright."""
    return name.split("/", 1)[1].startswith("ours")


def operations(steps: Sequence[dict[str, Any]], shape: Shape, adaptation: str) -> float:
    """Useful floating-point operations of these steps: the formula in the module's docstring."""
    tokens, supervised, squares = (sum(s[key] for s in steps) for key in ("tokens", "supervised", "squares"))
    attention = 6 * shape["layers"] * shape["width"] * squares
    if adaptation == "full":
        return float(6 * shape["body"] * tokens + 6 * shape["head"] * supervised + attention)
    adapter = next(iter(shape["references"].values()))["lora"]["learns"]
    return float((4 * shape["body"] + 6 * adapter) * tokens + 4 * shape["head"] * supervised + attention)


def of_answer(name: str, answer: dict[str, Any], shape: Shape, peaks: Sequence[dict[str, dict[str, float]]]) -> Figures:
    """The figures of one contender in one round. `steady` leaves the first steps out, `whole` is all of `train`."""
    steps = answer["steps"]
    steady = steps[WARM_UP_STEPS:] or steps
    wall, cpu = (sum(s[key] for s in steady) for key in ("seconds", "cpu_seconds"))
    supervised = sum(s["supervised"] for s in steady)
    useful = operations(steady, shape, adaptation_of(name)) / wall
    return {
        RATE: supervised / wall,
        "supervised_per_cpu_second": supervised / cpu,
        "tokens_per_second": sum(s["tokens"] for s in steady) / wall,
        "supervised_per_second_whole": sum(s["supervised"] for s in steps) / answer["seconds"]["train"],
        "train_seconds": answer["seconds"]["train"],
        "train_cpu_seconds": answer["train_cpu_seconds"],
        "time_to_result": answer["time_to_result"],
        "peak_mib": answer["finish"]["peak_mib"],
        "device_mib": answer["finish"]["device_mib"],
        "share_of_bfloat16_peak": useful / (1e9 * max(side["bfloat16"]["best"] for side in peaks)),
        "last_quarter_loss": last_quarter(answer),
        "held_out_loss": held_out(answer),
    }


def last_quarter(answer: dict[str, Any]) -> float:
    """Mean loss of a supervised token over the last quarter of the steps."""
    steps = answer["steps"][-max(1, len(answer["steps"]) // 4) :]
    return math.fsum(s["loss"] * s["supervised"] for s in steps) / sum(s["supervised"] for s in steps)


def held_out(answer: dict[str, Any]) -> float | None:
    """Mean loss of a supervised token over the held-out rows."""
    rows = answer["held_out"]
    return math.fsum(nats for nats, _ in rows) / sum(n for _, n in rows) if rows else None


def table_of(rounds: Sequence[Round], shape: Shape) -> dict[str, dict[int, Figures]]:
    """The figures of every contender by the number of the round."""
    return {
        name: {
            r.number: of_answer(name, r.answers[name], shape, (r.peak_before, r.peak_after))
            for r in rounds
            if name in r.answers
        }
        for name in names_in(rounds)
    }


def finalists(screen: Round, shape: Shape, adaptation: str, count: int) -> list[str]:
    """The fastest peers of the trial."""
    table = {
        name: figures[screen.number]
        for name, figures in table_of([screen], shape).items()
        if adaptation_of(name) == adaptation and not is_ours(name) and not name.endswith(DEFAULT)
    }
    return sorted(table, key=lambda name: -table[name][RATE])[:count]


def summarise(rounds: Sequence[Round], screen: Round | None, shape: Shape, limited: bool, bars: bool) -> Figures:
    """Every figure of the kept rounds: `contenders`, `chosen`, `ratios`, `gates`; and of the trial, `screen`.

    Args:
        rounds: all of them.
        screen: the trial of all peers on few rows, or None.
        shape: what `prepare` told.
        limited: whether steps were limited, so that not every row was learnt.
        bars: whether the ratios that are needed apply.
    """
    used = [r for r in rounds if r.kept]
    each = table_of(used, shape)
    table = {name: medians(list(figures.values())) for name, figures in each.items()}
    chosen = {a: _chosen(a, table) for a in dict.fromkeys(map(adaptation_of, each))}
    ratios = Ratios(each)
    for adaptation, peers in chosen.items():
        _compare(ratios, adaptation, peers, bars)
    return {
        "contenders": table,
        "each_round": each,
        "chosen": chosen,
        "ratios": ratios.found,
        "gates": gates(used, screen, shape, limited),
        "screen": {n: f[0] for n, f in table_of([screen], shape).items()} if screen else {},
    }


def _chosen(adaptation: str, table: dict[str, Figures]) -> dict[str, str | None]:
    default = f"{adaptation}/{DEFAULT}"
    tuned = [n for n in table if adaptation_of(n) == adaptation and not is_ours(n) and n != default]
    return {"as it comes": default if default in table else None, "tuned": best_of(tuned, table, RATE)}


def _compare(ratios: Ratios, adaptation: str, peers: dict[str, str | None], bars: bool) -> None:
    """Ours against the chosen peers; above 1 is better for ours, except memory, where it is below."""
    ours = f"{adaptation}/ours"
    for group, peer in peers.items():
        label = f"{adaptation}, {group}"

        def add(what: str, key: str, needed: float | None = None, upward: bool = True) -> None:
            bar = needed if bars else None
            ratios.add(what, label, peer, lambda _, f: f[key], bar, upward, ours)  # noqa: B023

        add("supervised tokens a second, steady", RATE, NEEDED[group])
        add("tokens a second, steady", "tokens_per_second")
        add("supervised tokens a CPU second", "supervised_per_cpu_second")
        add("supervised tokens a second, whole", "supervised_per_second_whole")
        add("time to result, ours / theirs", "time_to_result", upward=False)
        add("peak memory, ours / theirs", "peak_mib", 1.0 if group == "tuned" else None, upward=False)
        add("peak memory of the GPU, ours / theirs", "device_mib", upward=False)


def gates(used: Sequence[Round], screen: Round | None, shape: Shape, limited: bool) -> list[Figures]:
    """What must hold before any speed counts: the same ids and labels, step 0 as in plain code, like losses."""
    found = Gates()
    played = [screen, *used] if screen else list(used)
    for name in dict.fromkeys(n for r in played for n in names_in([r])):
        mine = [(r, r.answers[name]) for r in played if name in r.answers]
        wrong = sum(a["tokens_digest"] != shape["digest" if r.number else "screen_digest"] for r, a in mine)
        found.add(name, "other token ids or labels", wrong, 0)
        whole = [a for r, a in mine if r.number]
        if whole and not limited:
            away = max(abs(sum(s["supervised"] for s in a["steps"]) - shape["supervised"]) for a in whole)
            found.add(name, "difference in supervised tokens", away, 0)
        _step_zero(found, name, mine, shape)
        _curves(found, name, used)
    return found.found


def _step_zero(found: Gates, name: str, mine: Sequence[tuple[Round, dict[str, Any]]], shape: Shape) -> None:
    probes = [
        (a["probe"], shape["references"][str(r.seed)][adaptation_of(name)], a["precision"])
        for r, a in mine
        if a["probe"]
    ]
    if not probes:
        found.add(name, "step 0: not looked at", 1, 0)
        return
    found.add(name, "step 0: loss", max(abs(a["loss"] - b["loss"]) for a, b, _ in probes), LOSS_LIMITS[probes[0][2]])
    away = max(abs(a["gradient_norm"] / b["gradient_norm"] - 1) for a, b, _ in probes)
    lost = min(a["gradient_norm"] for a, _, _ in probes) <= 0
    found.add(name, "step 0: gradient norm", math.inf if lost else away, GRADIENT_LIMIT)


def _curves(found: Gates, name: str, used: Sequence[Round]) -> None:
    """The mean over seeds of the difference to TRL as it comes (to ours, where that did not play)."""
    names = names_in(used)
    a = adaptation_of(name)
    base = next((n for n in (f"{a}/{DEFAULT}", f"{a}/ours") if n in names), None)
    pairs = {r.seed: (r.answers[name], r.answers[base]) for r in used if name in r.answers and base in r.answers}
    if base is None or base == name or not pairs:
        return
    packed = name.endswith("packed")
    note = f"{len(pairs)} seeds" + (", other batches: packs" if packed else "")
    for what, take in (("loss of the last quarter", last_quarter), ("held-out loss", held_out)):
        values = [(take(x), take(y)) for x, y in pairs.values()]
        apart = [x - y for x, y in values if x is not None and y is not None]
        if apart:
            found.add(name, f"{what}, difference", abs(statistics.mean(apart)), CURVE_LIMIT, note, not packed)
