"""Gates over a data card: whether these rows may be trained on and measured with. Each is green, amber or red, with the figure.

Red stops those who ask (`tunewright data check` ends with exit code 9); amber is a doubt. The limits are habits of the field,
not laws: each can be set (`--gate quarantined=0.2`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tunewright.core.errors import Problem, RecipeError, closest, counted, listed

State = Literal["green", "amber", "red"]


@dataclass(frozen=True)
class Gate:
    """One gate's finding: `value` beside `limit`, in words."""

    name: str
    state: State
    value: float
    limit: float
    title: str
    said: str
    allowed: str

    def as_json(self) -> dict[str, Any]:
        """The gate as plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class _Rule:
    title: str
    limit: float
    value: Callable[[Mapping[str, Any]], float | None]
    said: Callable[[float], str]
    least: bool = False
    worst: State = "red"


def _count(card: Mapping[str, Any], *codes: str) -> int:
    counts = {defect["code"]: defect["count"] for defect in card.get("defects", ())}
    return sum(counts.get(code, 0) for code in codes)


def _share(*codes: str) -> Callable[[Mapping[str, Any]], float | None]:
    def share(card: Mapping[str, Any]) -> float | None:
        entered = card.get("entered") or 0
        return _count(card, *codes) / entered if entered else None

    return share


def _stages(card: Mapping[str, Any]) -> float | None:
    stages = card.get("stages")
    return None if stages is None else float(sum(not stage["balances"] for stage in stages))


def _quarantined(card: Mapping[str, Any]) -> float | None:
    entered = card.get("entered") or 0
    return sum(stage["quarantined"] for stage in card.get("stages", ())) / entered if entered else None


def _smallest_class(card: Mapping[str, Any]) -> float | None:
    classes = card.get("classes")
    return float(min(row["train"] for row in classes)) if classes else None


def _test(card: Mapping[str, Any]) -> float | None:
    return float(card["splits"]["test"]["rows"])


def _parted(card: Mapping[str, Any]) -> float | None:
    return float(card.get("parted_clusters", 0))


def _near(card: Mapping[str, Any]) -> float | None:
    """The share of held-out rows that a row of another split gives away."""
    cells = card.get("leaks", {}).get("cells")
    if not cells:
        return None
    kinds = ("exact", "contained", "near", "ngram")
    return float(max(sum(cell.get(kind, 0) for kind in kinds) / max(cell["rows"], 1) for cell in cells))


def _alpha(card: Mapping[str, Any]) -> float | None:
    """Krippendorff's alpha, where the rows have annotators."""
    found: Any = card.get("found", {})
    for name in ("arbitrate", "agreement", "figures", "alpha"):
        found = found.get(name) if isinstance(found, Mapping) else None
    value = found.get("value") if isinstance(found, Mapping) else found
    return float(value) if isinstance(value, (int, float)) else None


def _percent(value: float) -> str:
    return f"{value:.1%} of the rows"


def _of(what: str) -> Callable[[float], str]:
    return lambda value: counted(round(value), what)


def _after(stage: str, code: str) -> Callable[[Mapping[str, Any]], float | None]:
    """How often a step found something; None where it was not asked to look."""

    def found(card: Mapping[str, Any]) -> float | None:
        return float(_count(card, code)) if any(s["name"] == stage for s in card.get("stages", ())) else None

    return found


RULES: dict[str, _Rule] = {
    "ledger": _Rule("Stages of the ledger that do not balance", 0, _stages, _of("stage")),
    "quarantined": _Rule("Rows set aside", 0.05, _quarantined, _percent),
    "conflicts": _Rule(
        "Texts under conflicting answers", 0.02,
        _share("conflict", "number_conflict", "contrary_preference", "near_conflict"), _percent, worst="amber",
    ),
    "duplicates": _Rule(
        "Copies", 0.2, _share("duplicate", "near_duplicate", "semantic_duplicate"), _percent, worst="amber"
    ),
    "leaks": _Rule("Clusters that lie in two splits", 0, _parted, _of("cluster")),
    "near_leaks": _Rule(
        "Held-out rows like rows of another split", 0.01, _near, lambda value: f"{value:.1%} of a split", worst="amber"
    ),
    "least_class": _Rule("The rarest class in train", 5, _smallest_class, _of("row"), True),
    "test": _Rule("Rows to measure with", 100, _test, _of("test row"), True, "amber"),
    "agreement": _Rule("Agreement of annotators", 0.667, _alpha, lambda value: f"alpha {value:.3f}", True, "amber"),
    "cluster": _Rule("Clusters of more than 1% of the rows", 0, _after("near_duplicates", "cluster_alarm"), _of("cluster")),
    "personal": _Rule(
        "Personal data left in", 0, _after("personal_data", "personal_data_flagged"), _of("row"), worst="amber"
    ),
}  # fmt: skip
"""Each gate with its limit: at most so much, or at least where `least` says so."""


def gates(card: Mapping[str, Any], limits: Mapping[str, float] | None = None) -> list[Gate]:
    """The gates that this card can answer, in a fixed order.

    Raises:
        RecipeError: a limit for a gate that does not exist.
    """
    limits = limits or {}
    unknown = [name for name in limits if name not in RULES]
    if unknown:
        raise RecipeError(
            *(
                Problem(where=f"gate {name}", found="there is no such gate", allowed=listed(list(RULES), len(RULES)),
                        to_do=closest(name, RULES) or "choose one of these")
                for name in unknown
            )
        )  # fmt: skip
    found = []
    for name, rule in RULES.items():
        value = rule.value(card)
        if value is None:
            continue
        limit = limits.get(name, rule.limit)
        well = value >= limit if rule.least else value <= limit
        bound = f"{limit:.0%}" if rule.limit < 0.5 and rule.limit else f"{limit:g}"
        allowed = f"at {'least' if rule.least else 'most'} {bound}"
        found.append(Gate(name, "green" if well else rule.worst, value, limit, rule.title, rule.said(value), allowed))
    return found
