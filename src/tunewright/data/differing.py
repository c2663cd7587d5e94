"""In what two versions of the data differ: rows that came or went, moved to another split, or have another label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.data.explaining import data_folder
from tunewright.data.files import load_records
from tunewright.data.splits import NAMES

_SHOWN = 5


@dataclass(frozen=True)
class Difference:
    """Counts, and the first rows of each kind; `figures` are pairs of sums that differ, by name."""

    same: int
    added: int
    removed: int
    moved: Mapping[str, int]
    relabelled: Mapping[str, int]
    figures: Mapping[str, tuple[Any, Any]]
    examples: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        return not (self.added or self.removed or self.moved or self.relabelled or self.figures)

    def as_json(self) -> dict[str, Any]:
        """The difference as plain values."""
        figures = {name: list(pair) for name, pair in self.figures.items()}
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "figures": figures}


def difference(first: Path, second: Path) -> Difference:
    """What became of the rows of the folder `first` in `second`: runs' folders, or those of `data check --out`.

    Rows are the same where their text is (by its id); a text that was edited is one that went and one that came.

    Raises:
        DataError: no data are there. RunDamaged: a file is not what was written.
    """
    one, other = data_folder(first), data_folder(second)
    a, b = ({r.id: r for name in NAMES for r in load_records(folder / f"{name}.jsonl")} for folder in (one, other))
    both = a.keys() & b.keys()
    moved = [i for i in a if i in both and a[i].split != b[i].split]
    relabelled = [i for i in a if i in both and a[i].label != b[i].label]
    gone, came = [i for i in a if i not in both], [i for i in b if i not in both]

    def shown(ids: list[str], *sides: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        def of(i: str) -> Mapping[str, Any]:
            rows = [side[i] for side in sides]
            return {
                "id": i,
                "text": rows[0].text[:160],
                "split": [r.split for r in rows],
                "label": [r.label for r in rows],
            }

        return [of(i) for i in ids[:_SHOWN]]

    return Difference(
        same=len(both) - len({*moved, *relabelled}),
        added=len(came),
        removed=len(gone),
        moved=dict(Counter(f"{a[i].split} to {b[i].split}" for i in moved).most_common()),
        relabelled=dict(Counter(f"{a[i].label} to {b[i].label}" for i in relabelled).most_common(50)),
        figures=_figures(one, other),
        examples={
            "removed": shown(gone, a), "added": shown(came, b),
            "moved": shown(moved, a, b), "relabelled": shown(relabelled, a, b),
        },
    )  # fmt: skip


def _figures(one: Path, other: Path) -> dict[str, tuple[Any, Any]]:
    """Sums of the two cards that differ."""
    a, b = (_sums(folder) for folder in (one, other))
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}


def _sums(folder: Path) -> dict[str, Any]:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
    sums: dict[str, Any] = {
        f"rows in {name}": part["rows"] for name, part in card["splits"].items() if isinstance(part, dict)
    }
    sums |= {f"defect {defect['code']}": defect["count"] for defect in card["defects"]}
    sums |= {f"out of {stage['name']}": stage["out"] for stage in ledger["stages"]}
    return sums
