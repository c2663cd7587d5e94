"""From raw rounds to what tutorials say of LoRA, and to the cost and quality of every way. Standard library alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adaptation_figures import RATE, table_of, way_of
from encoder_figures import accuracies, accuracy, paired
from figures import Figures, Gates, medians, ratio
from rounds import Round

FULL = "full/ours"
SHARE = (0.001, 0.01)
NEARLY = 0.02
FASTER = 3.0
SAVED = 0.9


def summarise(rounds: Sequence[Round], parameters: int, gold: Sequence[int]) -> Figures:
    """Of one set: each way's medians, accuracy, difference from full, share that learns, bytes; and the claims."""
    used = [r for r in rounds if r.kept]
    each = table_of(used, len(gold))
    table = {name: medians(list(figures.values())) for name, figures in each.items()}
    right = {name: accuracies(used, name, gold) for name in table}
    for name, row in table.items():
        row["accuracy"] = accuracy(right[name])
        row["share"] = row["learns"] / parameters
        if FULL in table:
            row["difference"] = paired(right[name], right[FULL]) if name != FULL else None
            row["stored_share"] = row["stored"] / table[FULL]["stored"]
            shared = each[name].keys() & each[FULL].keys()
            row["faster"] = ratio(*([each[n][k][RATE] for k in sorted(shared)] for n in (name, FULL)))
    return {"ways": table, "claims": claims(table), "gates": gates(used)}


def claims(table: dict[str, Figures]) -> list[Figures]:
    """What is said of LoRA, what was measured, and whether that bears it out: True, False, or None for can't tell."""
    found: list[Figures] = []
    for name, row in table.items():
        if not way_of(name).startswith("lora") or FULL not in table:
            continue
        share, difference, faster, saved = row["share"], row["difference"], row["faster"], 1 - row["stored_share"]

        def add(what: str, claim: str, measured: str, holds: bool | None) -> None:
            found.append({"what": what, "claim": claim, "way": way_of(name), "measured": measured, "holds": holds})  # noqa: B023

        add("share", "trains 0.1% to 1% of the parameters", f"{share:.2%}", SHARE[0] <= share <= SHARE[1])
        if difference:
            low, high = difference["low"], difference["high"]
            add("quality", f"nearly full quality: not {100 * NEARLY:.0f} points below",
                f"{100 * difference['effect']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]",
                True if low > -NEARLY else False if high < -NEARLY else None)  # fmt: skip
        add("speed", "trains 3 to 5 times as fast",
            f"{faster['median']:.2f} times ({faster['least']:.2f} - {faster['greatest']:.2f})",
            True if faster["least"] >= FASTER else False if faster["greatest"] < FASTER else None)  # fmt: skip
        add("storage", "saves 90% of the storage", f"{saved:.1%}", saved >= SAVED)
    return found


def gates(rounds: Sequence[Round]) -> list[Figures]:
    """Everyone read the same token ids, and as many examples."""
    found = Gates()
    for name in dict.fromkeys(n for r in rounds for n in r.answers):
        pairs = [(r.answers[name], r.answers[FULL]) for r in rounds if name in r.answers and FULL in r.answers]
        if pairs:
            found.add(name, "other token ids", sum(a["tokens_digest"] != b["tokens_digest"] for a, b in pairs), 0)
            found.add(name, "difference in examples", max(abs(_examples(a) - _examples(b)) for a, b in pairs), 0)
    return found.found


def _examples(answer: dict[str, Any]) -> int:
    return sum(int(step["examples"]) for step in answer["steps"])
