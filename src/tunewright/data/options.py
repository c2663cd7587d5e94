"""What a recipe says about the data: plain values that the recipe's schema mirrors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunewright.data.rows import AS_FOUND, Columns, Form


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of validation and test rows; each counts only where no file is given for that split."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.validation < 1 and 0 <= self.test < 1 and self.validation + self.test < 1):
            raise ValueError(f"shares of {self.validation} and {self.test}: each from 0, together below 1")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Files, columns, and what is done with labels, duplicates, conflicts and splits.

    `task` is the kind of answer to learn (`tunewright.data.targets`). `label_map` says which label each label becomes.
    `separator` is what stands between several labels in one cell, where it shall not be found out.
    `conflicts` is what happens to one text under several labels: `drop` sets the whole cluster aside, `majority`
    keeps the rows of the most frequent label (a tie is set aside; of numbers one row stays, with the median),
    `keep` keeps all. `duplicates` drops later copies. `limit` is the number of rows to use, chosen
    by keyed hash; rows of files given for validation or test do not count.

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
