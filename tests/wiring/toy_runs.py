"""Whole runs with the toy: recipes and rows in a folder of their own, the command line in this process or in a fork.

No tests: what the tests of whole runs share.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunewright import screen
from tunewright.bundled import toy_rows
from tunewright.cli import main

os.environ["COLUMNS"] = "400"

RECIPE: dict[str, Any] = {
    "data": {"train": "toy.csv", "text": "text", "label": "label", "shares": {"validation": 0.15, "test": 0.2}},
    "model": "toy",
    "training": {"epochs": 2, "batch": 8, "rate": 0.01},
    "evaluation": {"resamples": 200, "baselines": ["majority"]},
}


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Said]


def write_rows(path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_json_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for name, value in changes.items():
        inner = out.get(name)
        out[name] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return out


def marked(row: tuple[str, str]) -> tuple[str, str, str, str]:
    """The row with a number and a set of labels that can be learnt from it."""
    text, label = row
    words = text.split()
    score = {"warm": 2.0, "cold": -1.5}.get(label, 0.25) + 0.1 * len(words)
    marks = [label] * (label != "wet") + ["short"] * (len(words) < 6) + ["near"] * ("near" in words)
    return text, label, f"{score:.2f}", "|".join(marks)


def choices(rows: int) -> list[dict[str, Any]]:
    """Prompts, each with a reply that goes with the label and one that does not; one of the two by itself, and its thumb."""
    out, words = [], {"warm": "sun", "cold": "snow", "wet": "rain"}
    for i, (text, label) in enumerate(dict(toy_rows(rows)).items()):
        other = words[{"warm": "cold", "cold": "wet", "wet": "warm"}[label]]
        out.append({"prompt": text, "chosen": words[label], "rejected": other, "completion": (words[label], other)[i % 2],
                    "good": i % 2 == 0})  # fmt: skip
    return out


def spans(rows: int) -> list[dict[str, Any]]:
    """Texts whose telling words are entities of the label's type."""
    from tunewright.bundled import _WORDS

    out = []
    for text, label in dict(toy_rows(rows)).items():
        at, found = 0, []
        for word in text.split():
            if word in _WORDS[label]:
                found.append([at, at + len(word), label.upper()])
            at += len(word) + 1
        out.append({"text": text, "spans": found})
    return out


TASKS: dict[str, dict[str, Any]] = {
    "token_classification": {"data": {"train": "spans.jsonl", "text": None, "label": None},
                             "evaluation": {"baselines": ["lexicon"]}},
    "language_modeling": {"data": {"label": None}, "evaluation": {"baselines": ["unigram", "untuned"]}},
    "chat": {"generation": {"items": None, "max_new_tokens": 4}, "evaluation": {"baselines": ["majority", "untuned"]}},
    "seq2seq": {"generation": {"items": None, "max_new_tokens": 4}, "evaluation": {"baselines": ["copy", "untuned"]}},
    "preference": {"data": {"train": "pairs.jsonl", "text": None, "label": None},
                   "evaluation": {"baselines": ["length", "tfidf", "untuned"]}},
    "thumbs": {"data": {"train": "thumbs.jsonl", "text": None, "label": None}, "task": "preference", "objective": "kto",
               "evaluation": {"baselines": ["length", "untuned"]}},
    "reward": {"data": {"train": "pairs.jsonl", "text": None, "label": None},
               "evaluation": {"baselines": ["length", "tfidf"]}},
}  # fmt: skip
"""What a recipe for the toy's rows differs in, by task."""

TASKS = {name: {"task": name, **changes} for name, changes in TASKS.items()}


def lay(folder: Path, name: str = "toy.yaml", rows: int = 120, **changes: Any) -> Path:
    """The toy's rows and a recipe for them in `folder`; returns the recipe's path."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "toy.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "score", "marks"), *map(marked, toy_rows(rows))])
    kinds = {"pairs": ("prompt", "chosen", "rejected"), "thumbs": ("prompt", "completion", "good")}
    wanted = str(changes.get("data", {}).get("train", "")).removesuffix(".jsonl")
    if wanted == "spans":
        write_json_lines(folder / "spans.jsonl", spans(rows))
    elif wanted in kinds:
        write_json_lines(
            folder / f"{wanted}.jsonl", [{name: row[name] for name in kinds[wanted]} for row in choices(rows)]
        )
    recipe = folder / name
    recipe.write_text(yaml.safe_dump(merged(RECIPE, changes), sort_keys=False))
    return recipe


def calling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*words: object, stdin: str = "") -> Said:
        for console in (screen.out, screen.err):
            monkeypatch.setattr(console, "_width", 400)  # whatever another test has left in it
        monkeypatch.setattr(sys, "argv", ["tunewright", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return Said(int(end.value.code or 0), told.out, told.err)

    return call


class Forks:
    """A process that has everything imported and forks a child for each command: real processes, real kills."""

    def __init__(self) -> None:
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forks.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begin(self, *words: object, at: Path, kill: Mapping[str, Any] | None = None) -> int:
        """Starts `tunewright WORDS` in the folder `at`; the process id."""
        assert self.server.stdin and self.server.stdout
        job = {"words": [str(w) for w in words], "at": str(at), "kill": kill}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        self.log = at / "said.txt"
        return int(self.server.stdout.readline())

    def end(self) -> Said:
        """Waits; a negative code is the signal that ended the process."""
        assert self.server.stdout
        code = int(self.server.stdout.readline())
        return Said(code, self.log.read_text(), "")

    def __call__(self, *words: object, at: Path, kill: Mapping[str, Any] | None = None) -> Said:
        self.begin(*words, at=at, kill=kill)
        return self.end()

    def close(self) -> None:
        assert self.server.stdin and self.server.stdout
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
