"""Questions with answers: read, drawn by a keyed hash, rendered by one simple chat template. Standard library alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
NOUNS = ("river", "clock", "garden", "letter", "engine", "window", "teacher", "market", "bridge", "winter")
VERBS = ("carries", "opens", "repairs", "counts", "remembers", "paints", "follows", "measures")


@dataclass(frozen=True)
class Chat:
    """One question and its answer; only the answer is learnt, with the token that ends it."""

    prompt: str
    completion: str

    def text(self) -> str:
        """What the template makes of it."""
        return f"<|user|>{self.prompt}<|end|><|assistant|>{self.completion}<|end|>"


def shared() -> Path:
    """The folder of data that TUNEWRIGHT_SHARED names, else `shared` beside the repository."""
    named = os.environ.get("TUNEWRIGHT_SHARED")
    return (Path(named) if named else Path(__file__).resolve().parents[2] / "shared") / "data"


def alpaca(path: Path) -> list[Chat]:
    """Rows with instruction, input and output."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [Chat("\n\n".join(filter(None, (r["instruction"].strip(), r["input"].strip()))), r["output"].strip())
            for r in rows if r["instruction"].strip() and r["output"].strip()]  # fmt: skip


def gsm8k(path: Path) -> list[Chat]:
    """Lines with question and answer."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [Chat(r["question"].strip(), r["answer"].strip()) for r in rows]


def made_up(count: int) -> list[Chat]:
    """Meaningless rows for a smoke test on a machine without the data."""
    rows = []
    for i in range(count):
        words = [f"the {NOUNS[(i * 7 + k * k) % 10]} {VERBS[(i * 3 + k) % 8]} it" for k in range(3 + i % 29)]
        rows.append(Chat(f"What does the {NOUNS[i % 10]} number {i} do?", f"{' and '.join(words)}."))
    return rows


def sources(alpaca_path: Path | None, gsm8k_path: Path | None, pretend: bool) -> list[tuple[str, list[Chat]]]:
    """The named sets of rows; made up where a file is missing and `pretend` allows it.

    Raises:
        SystemExit: a file is missing.
    """
    folder = shared()
    paths = {"alpaca": alpaca_path or folder / "instructions" / "alpaca_en_demo.json",
             "gsm8k": gsm8k_path or folder / "gsm8k" / "train.jsonl"}  # fmt: skip
    missing = [path for path in paths.values() if not path.is_file()]
    if missing and not pretend:
        raise SystemExit(f"there is no file {missing[0]}: name one with --alpaca or --gsm8k, or set TUNEWRIGHT_SHARED")
    if missing:
        return [("made-up rows", made_up(2000))]
    return [("alpaca_en_demo", alpaca(paths["alpaca"])), ("gsm8k", gsm8k(paths["gsm8k"]))]


def draw(
    rows: Sequence[Chat], train: int, valid: int, seed: int, fits: Callable[[Chat], bool]
) -> tuple[list[Chat], list[Chat]]:
    """The first `train` and the next `valid` rows that fit, in the order of a hash keyed by `seed`; each text once.

    Raises:
        ValueError: there are fewer rows than that.
    """
    once = {row.prompt: row for row in reversed(rows)}
    chosen = []
    for row in sorted(once.values(), key=lambda r: _rank(r, seed)):
        if len(chosen) == train + valid:
            break
        if fits(row):
            chosen.append(row)
    if len(chosen) < train + valid:
        raise ValueError(f"{train} + {valid} rows are needed, {len(chosen)} fit")
    return chosen[:train], chosen[train:]


def in_order(rows: Sequence[Chat], seed: int) -> list[Chat]:
    """The rows in the order in which all who do not group or pack them learn them."""
    return sorted(rows, key=lambda r: _rank(r, seed + 1_000_003))


def joined(rows: Sequence[Chat], limit: int, length: Callable[[str], int]) -> list[Chat]:
    """Longer rows: several questions asked and answered at once, as many as `limit` tokens hold.

    Args:
        rows: each is used once, in this order.
        limit: tokens of a row, at most.
        length: tokens of a text.
    """
    found, group, used = [], list[Chat](), 0
    for row in rows:
        size = length(row.text()) + 12
        if group and used + size > limit:
            found.append(_together(group))
            group, used = [], 0
        group.append(row)
        used += size
    return found


def _together(group: Sequence[Chat]) -> Chat:
    asked = "\n\n".join(f"Question {i}: {row.prompt}" for i, row in enumerate(group, 1))
    return Chat(asked, "\n\n".join(f"Answer {i}: {row.completion}" for i, row in enumerate(group, 1)))


def _rank(row: Chat, seed: int) -> bytes:
    return hashlib.blake2b(row.prompt.encode("utf-8", "surrogatepass"), digest_size=16, salt=b"%d" % seed).digest()


def masked(ids: Sequence[int], assistant: int) -> list[int]:
    """Labels of a rendered row: the ids after the mark of the assistant, -100 before."""
    start = list(ids).index(assistant) + 1
    return [-100] * start + list(ids[start:])


def to_json(train: Sequence[Chat], valid: Sequence[Chat]) -> str:
    """Both sets as JSON."""
    return json.dumps({"train": [vars(r) for r in train], "valid": [vars(r) for r in valid]}, ensure_ascii=False)


def from_json(path: Path) -> tuple[list[Chat], list[Chat]]:
    """What `to_json` wrote."""
    found: dict[str, list[dict[str, Any]]] = json.loads(path.read_text(encoding="utf-8"))
    return [Chat(**r) for r in found["train"]], [Chat(**r) for r in found["valid"]]
