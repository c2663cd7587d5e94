"""Rows and recipes of every task, for `selftest` without a recipe: small models with random weights, nothing to download."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunewright.bundled import toy_rows
from tunewright.models.loading import quiet
from tunewright.models.toy import toy_bert, toy_llama, toy_t5
from tunewright.recipe import Recipe, parse
from tunewright.tasks import TASKS

ROWS = 60


def recipes(folder: Path) -> Iterator[tuple[str, Recipe]]:
    """A title and a recipe for each task, and for each family of models that a task takes; writes files to `folder`."""
    lay(folder)
    for task in TASKS:
        yield task, parse(recipe(task, folder))
    yield "seq2seq, encoder-decoder", parse({**recipe("seq2seq", folder), "model": str(folder / "toy-t5")})
    yield "language_modeling, masked", parse({**recipe("language_modeling", folder), "model": str(folder / "toy-bert")})


DATA: dict[str, dict[str, Any]] = {
    "classification": {"train": "rows.csv", "text": "text", "label": "label"},
    "multilabel": {"train": "rows.csv", "text": "text", "label": "marks", "separator": "|"},
    "regression": {"train": "rows.csv", "text": "text", "label": "score"},
    "token_classification": {"train": "spans.jsonl", "text": "text", "label": "spans"},
    "language_modeling": {"train": "documents.jsonl", "text": "text"},
    "chat": {"train": "chats.jsonl"},
    "seq2seq": {"train": "rows.csv", "text": "text", "label": "reversed"},
    "preference": {"train": "choices.jsonl"},
    "reward": {"train": "choices.jsonl"},
}


def recipe(task: str, folder: Path) -> dict[str, Any]:
    """The toy's recipe for a task, as plain values."""
    data = {**DATA[task], "train": str(folder / DATA[task]["train"]), "shares": {"validation": 0.1, "test": 0.1}}
    return {"task": task, "data": data, "model": _model(task, folder),
            "training": {"epochs": 1, "batch": 8}}  # fmt: skip


def _model(task: str, folder: Path) -> str:
    """The toy; for rewards a decoder, as the toy's words cannot spell a conversation."""
    return str(folder / "toy-llama") if task == "reward" else "toy"


def lay(folder: Path) -> None:
    """Writes the rows of every task, and the models that are not in the catalogue."""
    quiet()
    models = {"toy-llama": toy_llama(), "toy-t5": toy_t5(), "toy-bert": toy_bert(1, 0, "MaskedLM")}
    for name, (model, tokenizer) in models.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    rows = toy_rows(ROWS)
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("text", "label", "marks", "score", "reversed"))
        for text, label in rows:
            words = text.split()
            marks = [label] * (label != "wet") + ["short"] * (len(words) < 6)
            out.writerow(
                (text, label, "|".join(marks), f"{0.1 * len(words) - (label == 'cold'):.2f}", " ".join(words[::-1]))
            )
    _lines(folder / "documents.jsonl", ({"text": f"{a} . {b} ."} for (a, _), (b, _) in pairwise(rows)))
    _lines(folder / "spans.jsonl", ({"text": text, "spans": _spans(text, label)} for text, label in rows))
    _lines(folder / "chats.jsonl", ({"messages": _talk(i, *row)} for i, row in enumerate(rows)))
    _lines(
        folder / "choices.jsonl",
        ({"prompt": f"What is it like: {text}?", "chosen": f"It is {label}.", "rejected": "I do not know that." * (1 + i % 2)}
         for i, (text, label) in enumerate(rows)),
    )  # fmt: skip


def _lines(path: Path, rows: Any) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _spans(text: str, label: str) -> list[dict[str, Any]]:
    """The first word that follows an article, as a span."""
    words, at, spans = text.split(), 0, []
    for before, word in zip(["", *words], words, strict=False):
        if before in ("the", "a", "old") and word not in ("the", "a", "old"):
            spans.append({"start": at, "end": at + len(word), "label": label.upper()})
        at += len(word) + 1
    return spans


def _talk(i: int, text: str, label: str) -> list[dict[str, str]]:
    """One or two turns, some with a system prompt."""
    system = [{"role": "system", "content": "Say what it is like."}] if i % 3 == 0 else []
    first = [{"role": "user", "content": text}, {"role": "assistant", "content": f"It is {label}."}]
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": f"Yes, {label}."}]
    return [*system, *first, *(more if i % 2 else [])]
