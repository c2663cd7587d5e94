"""Every adaptation on every task: what docs/adaptations.md says of them is what is shown here.

A cell takes a small model with the adaptation on the task's own rows: its loss falls, an optimizer step is the same
however it is cut, packed or padded, texts are the same alone and in a batch, and what is saved scores alike when it is
opened. After a new member or task: `TUNEWRIGHT_WRITE=1 python -m pytest tests/wiring/test_support.py -p no:xdist`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tunewright.core.errors import RecipeError
from tunewright.core.registry import members
from tunewright.recipe import families, parse
from tunewright.selftesting import checked, toys
from tunewright.selftesting.subjects import STEP, Subject, subject
from tunewright.training import train
from tunewright.updates import AdamW

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("adaptations.md", "adaptations.zh-CN.md")]
CHECKS = ("accumulation", "packing and padding", "texts", "save and open")
TASKS = (
    "classification", "multilabel", "regression", "token_classification", "language_modeling",
    "language_modeling, masked", "chat", "seq2seq", "seq2seq, encoder-decoder", "preference", "reward",
)  # fmt: skip

# what a row of the page is called (behind a comma, which of its options) -> the recipe's adaptation
ROWS: dict[str, Any] = {
    "full": "full",
    "frozen": {"frozen": {"top": 1}},
    "bias": {"bias": {"norms": True}},
    "head": "head",
    "bottleneck": {"bottleneck": {"placement": "houlsby", "reduction": 2}},
    "lora": {"lora": {"rank": 4}},
    "lora, dora": {"lora": {"rank": 4, "dora": True}},
    "lora, pissa": {"lora": {"rank": 4, "init": "pissa"}},
    "ia3": "ia3",
    "vera": {"vera": {"rank": 32}},
    "prompt_tuning": {"prompt_tuning": {"tokens": 4}},
    "p_tuning": {"p_tuning": {"tokens": 4}},
    "prefix_tuning": {"prefix_tuning": {"tokens": 4, "projection": 8}},
    "p_tuning_v2": {"p_tuning_v2": {"tokens": 4}},
    "quantized + lora": [{"quantized": "nf4"}, {"lora": {"rank": 4}}],
    "lora + frozen": [{"lora": {"rank": 4}}, {"frozen": {"top": 1}}],
}
NOT: dict[str, dict[str, str]] = {
    "head": dict.fromkeys(
        ("language_modeling", "chat", "seq2seq", "seq2seq, encoder-decoder", "preference"), "no head"
    ),
}
"""Where an adaptation cannot be, and what the error says then."""


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    families()
    return {title: recipe.dump() for title, recipe in toys.recipes(tmp_path_factory.mktemp("toys"))}


def learns(tested: Subject) -> bool:
    """Whether twelve steps on the few examples bring their loss down."""
    with tested.forward(tested.own) as forward:
        parameters = tested.job.parameters
        windows = iter(lambda: [tested.batch(tested.ids)], None)
        update = AdamW(rate=0.02).bind(parameters)
        objective = tested.job.objective
        losses = [r.loss for r in train(forward, windows, objective, update, parameters, steps=STEP + 12, start=STEP)]
    return min(losses[-3:]) < losses[0]


def cell(name: str, task: str, plain: dict[str, Any]) -> str:
    """A tick, or a dash where a stated error says why it cannot be; anything else fails."""
    recipe = parse({**plain, "adaptation": ROWS[name]})
    said = NOT.get(name, {}).get(task)
    if said is not None:
        with pytest.raises(RecipeError, match=said), subject(recipe, Path()):
            pass
        return "-"
    with subject(recipe, Path()) as tested:
        assert learns(tested), f"{name} on {task} does not learn"
        results = [checked(tested, check) for check in CHECKS]
    wrong = [f"{r.name}: {r.words}" for r in results if r.passed is False]
    assert not wrong, f"{name} on {task}: {wrong}"
    return "✓"


def rows_of(page: Path) -> dict[str, str]:
    """The table's lines by their first cell."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.is_file() else []
    return {m.group(1): line for line in lines if (m := re.match(r"\| `([a-z0-9_ +,]+)` \|(?: (?:✓|-) \|)+$", line))}


def lines_of(name: str, cells: list[str]) -> str:
    return f"| `{name}` | {' | '.join(cells)} |"


def test_every_member_and_task_is_in_the_table(recipes: dict[str, Any]) -> None:
    named = {part.split(",")[0] for name in ROWS for part in name.split(" + ")}
    assert named == set(members("adaptation"))
    assert set(TASKS) == set(recipes)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_page_is_what_is_shown(name: str, recipes: dict[str, dict[str, Any]]) -> None:
    line = lines_of(name, [cell(name, task, recipes[task]) for task in TASKS])
    for page in PAGES:
        if os.environ.get("TUNEWRIGHT_WRITE"):
            _write(page, name, line)
        assert rows_of(page).get(name) == line, f"{page.name} says otherwise"


def _write(page: Path, name: str, line: str) -> None:
    """Puts the line in the place of the row's old one, or after the last row."""
    lines = page.read_text(encoding="utf-8").splitlines()
    known = rows_of(page)
    at = lines.index(known[name]) if name in known else max(lines.index(old) for old in _table(page)) + 1
    lines[at : at + (name in known)] = [line]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(page: Path) -> Iterator[str]:
    known = rows_of(page)
    yield from known.values()
    yield from (line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| --- | :-: |"))
