"""Data sets on the Hub, where the user names one: `hub:owner/name@revision#config/split`, streamed through datasets.

What is left out is found out: the default configuration, every split. Nothing but such an entry reaches for the network.
A row's line is its number in its split.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.data.arrow import features
from tunewright.data.rows import Form, Item, Table

HUB = re.compile(r"hub:")
_ENTRY = re.compile(r"hub:(?P<name>[\w.\-]+(/[\w.\-]+)?)(@(?P<revision>[^#@\s]+))?(#(?P<part>[^#\s]*))?")


class Hub:
    """The one place that speaks to the Hub."""

    def configurations(self, name: str, revision: str | None) -> list[str]:
        """The names of a data set's configurations."""
        from datasets import get_dataset_config_names

        return list(get_dataset_config_names(name, revision=revision))

    def splits(self, name: str, configuration: str | None, revision: str | None) -> Mapping[str, Any]:
        """Its splits as iterables over rows with `features`, opened but not read."""
        from datasets import load_dataset

        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        found: Mapping[str, Any] = load_dataset(name, configuration, revision=revision, streaming=not offline)
        return found

    def commit(self, name: str, revision: str | None) -> str:
        """The commit that a revision stands for."""
        from huggingface_hub import HfApi

        return str(HfApi().dataset_info(name, revision=revision).sha)


HERE = Hub()


@dataclass(frozen=True)
class HubSplit:
    """One split of a data set, in one configuration at one revision."""

    name: str
    split: str
    configuration: str | None
    revision: str | None
    rows: Any = field(compare=False, repr=False)
    hub: Hub = field(default=HERE, compare=False, repr=False)

    @property
    def shown(self) -> str:
        at = f"@{self.revision}" if self.revision else ""
        return f"hub:{self.name}{at}#{self.configuration + '/' if self.configuration else ''}{self.split}"

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        known = getattr(self.rows, "features", None)
        return features(known.to_dict()) if known else {}

    def table(self, form: Form, only: tuple[str, ...] | None) -> Table:
        known = getattr(self.rows, "features", None)
        if not known:
            return Table(None, ((row, line, 0, 0) for line, row in enumerate(self._rows(), 1)), "hub", encoding="")
        columns = tuple(known)
        items: Iterator[Item] = (
            ([row[name] for name in columns], line, 0, 0) for line, row in enumerate(self._rows(), 1)
        )
        return Table(columns, items, "hub", encoding="", class_names=self.class_names)

    def content(self) -> str:
        with_commit = self.revision or ""
        if not re.fullmatch(r"[0-9a-f]{40}", with_commit):
            with_commit = _asking(self.shown, lambda: self.hub.commit(self.name, self.revision))
        said = f"{self.name}@{with_commit}#{self.configuration}/{self.split}"
        return hashlib.sha256(said.encode()).hexdigest()

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        rows = iter(self.rows)
        while (row := _asking(self.shown, lambda: next(rows, None))) is not None:
            yield row


def hub_splits(entry: str, hub: Hub | None = None) -> Sequence[HubSplit]:
    """The splits that an entry names, or all of them.

    Raises:
        DataError: the Hub cannot be reached, or knows no such data set, configuration or split.
    """
    hub = hub or HERE
    found = _ENTRY.fullmatch(entry.strip())
    if found is None:
        raise DataError(
            Problem(where=entry, found="this names no data set", allowed="hub:owner/name, hub:owner/name@revision, "
                    "hub:owner/name#config/split", to_do="write it like one of these")
        )  # fmt: skip
    name, revision = found["name"], found["revision"]
    configuration, _, split = (found["part"] or "").rpartition("/")
    if split and not configuration:
        known = _asking(entry, lambda: hub.configurations(name, revision))
        configuration, split = (split, "") if split in known else ("", split)
    there = _asking(entry, lambda: hub.splits(name, configuration or None, revision))
    if split and split not in there:
        raise DataError(
            Problem(where=entry, found=f"there is no split {split!r}", allowed=listed(list(there)),
                    to_do=closest(split, there) or "name one of these, or none for all of them")
        )  # fmt: skip
    return [
        HubSplit(name, one, configuration or None, revision, there[one], hub) for one in there if split in ("", one)
    ]


def _asking(where: str, ask: Any) -> Any:
    """What `ask` gives; everything that may go wrong between here and the Hub as one kind of error.

    Raises:
        DataError: datasets is not installed; no network; no such data set.
    """
    try:
        return ask()
    except ImportError:
        raise DataError(
            Problem(where=where, found="datasets, which reads data sets from the Hub, is not installed",
                    to_do="pip install 'tunewright[data]'")
        ) from None  # fmt: skip
    except Exception as error:  # the library lets those of half a dozen others through
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
        raise DataError(
            Problem(where=where, found=f"cannot be had from the Hub ({type(error).__name__}: {said})",
                    allowed="a data set that the Hub knows, and a connection to it",
                    to_do="check the name and the network; or save the data set once with datasets' save_to_disk, "
                    "and name that folder")
        ) from None  # fmt: skip
