"""What a recipe says about the data: plain values that the recipe's schema mirrors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunewright.data.rows import AS_FOUND, Columns, Form


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of validation and test rows; each counts only where no file is given for that split."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.validation < 1 and 0 <= self.test < 1 and self.validation + self.test < 1):
            raise ValueError(f"shares of {self.validation} and {self.test}: each from 0, together below 1")


@dataclass(frozen=True, slots=True)
class Division:
    """How rows are divided into splits.

    `by` is what stays together: rows of one content or cluster, rows of one group, or rows of one time, the latest of which
    are held out. `stratify` evens the classes' shares out, at the price that rows added later may move old ones. With
    `folds` the rows are cut into so many parts and part `fold` is the test split. `manifest` is a file that says where rows
    of an earlier division were: they stay there.
    """

    by: Literal["content", "group", "time"] = "content"
    stratify: bool = False
    folds: int | None = None
    fold: int = 0
    manifest: str | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and not 0 <= self.fold < self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds}: from 0 to {self.folds - 1}")
        if self.by == "time" and (self.folds is not None or self.stratify):
            raise ValueError("a split by time has neither folds nor strata: the latest rows are held out")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Files, columns, and what is done with labels, duplicates, conflicts and splits.

    `task` is the kind of answer to learn (`tunewright.data.targets`). `label_map` says which label each label becomes.
    `separator` is what stands between several labels in one cell, where it shall not be found out.
    `conflicts` is what happens to one text under several labels: `drop` sets the whole cluster aside, `majority`
    keeps the rows of the most frequent label (a tie is set aside; of numbers one row stays, with the median),
    `keep` keeps all. `duplicates` drops later copies. `limit` is the number of rows to use, chosen
    by keyed hash; rows of files given for validation or test do not count.

    `steps` are what is done to texts and rows in this order (`tunewright.data.steps`), None what is done as a rule; `division`
    says how they are divided; paths inside steps are relative to `base`.

    Of conversations and preferences: `conversation` is the form of the rows, `system` a system prompt for those without
    one. Which replies are learnt and what stands before a source is said when they are encoded.
    """

    train: tuple[str, ...]
    columns: Columns
    task: str = "classification"
    separator: str | None = None
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    form: Form = AS_FOUND
    label_map: Mapping[str, str] = field(default_factory=dict)
    shares: Shares = Shares()
    conflicts: Literal["drop", "majority", "keep"] = "drop"
    duplicates: bool = True
    limit: int | None = None
    conversation: Literal["auto", "alpaca", "sharegpt", "openai", "columns"] = "auto"
    system: str | None = None
    steps: tuple[Any, ...] | None = None
    division: Division = Division()
    base: Path = Path()
