"""Data sets on the Hub: through datasets over a folder that stands in for the Hub, and what is said where it is not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tunewright.core.errors import DataError
from tunewright.data import Columns, content, guess, hub, read, read_batches
from tunewright.data.hub import Hub, hub_splits

COLUMNS = Columns("text", "label")
COMMIT = "c0ffee" * 6 + "c0ff"


class Folder(Hub):
    """The Hub, of which one folder is the only data set."""

    def __init__(self, place: Path) -> None:
        self.place, self.asked = place, list[tuple[Any, ...]]()

    def configurations(self, name: str, revision: str | None) -> list[str]:
        return ["default", "plain"]

    def splits(self, name: str, configuration: str | None, revision: str | None) -> Mapping[str, Any]:
        from datasets import load_dataset

        self.asked.append((name, configuration, revision))
        found: Mapping[str, Any] = load_dataset(str(self.place), streaming=True)
        return found

    def commit(self, name: str, revision: str | None) -> str:
        return COMMIT


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    place = tmp_path / "set"
    place.mkdir()
    for split, rows in (("train", [("a", 0), ("中文", 1), ("c", 0)]), ("test", [("d", 1)])):
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (place / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = Folder(place)
    monkeypatch.setattr(hub, "HERE", found)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return found


def test_every_split_or_one(there: Folder) -> None:
    rows = read("hub:me/set", COLUMNS)
    assert sorted((r.text, r.label, r.split) for r in rows.rows) == [
        ("a", "0", "train"), ("c", "0", "train"), ("d", "1", "test"), ("中文", "1", "train"),
    ]  # fmt: skip
    assert {(f.path, f.format) for f in rows.files} == {("hub:me/set#train", "hub"), ("hub:me/set#test", "hub")}
    rows = read("hub:me/set@v1#plain/test", COLUMNS)
    assert [(r.text, r.source.file, r.source.line) for r in rows.rows] == [("d", "hub:me/set@v1#plain/test", 1)]
    assert there.asked[-1] == ("me/set", "plain", "v1")
    assert [r.text for r in read(Path("hub:me/set#test"), COLUMNS).rows] == ["d"]
    read("hub:me/set#plain", COLUMNS)
    assert there.asked[-1] == ("me/set", "plain", None)


def test_it_is_streamed(there: Folder) -> None:
    (there.place / "train.jsonl").write_text('{"text": "x", "label": 0}\n' * 3000)
    assert [len(b.rows) for b in read_batches("hub:me/set#train", COLUMNS, size=1000)] == [1000, 1000, 1000, 0]


def test_names_of_classes(there: Folder) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    kinds = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    made = DatasetDict({"train": Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=kinds)})
    there.splits = lambda *_: made  # type: ignore[method-assign]
    assert [(r.text, r.label) for r in read("hub:me/set", COLUMNS).rows] == [("a", "pos"), ("b", "neg"), ("c", None)]


def test_what_is_wrong_is_said(there: Folder) -> None:
    with pytest.raises(DataError, match=r"no split 'tset'(.|\n)*did you mean 'test'"):
        read("hub:me/set#plain/tset", COLUMNS)
    with pytest.raises(DataError, match="no column 'txt'"):
        read("hub:me/set", Columns("txt", "label"))
    for entry in ("hub:", "hub:a/b/c", "hub:me/set@", "hub:me/set two"):
        with pytest.raises(DataError, match="this names no data set"):
            read(entry, COLUMNS)


def test_content_is_that_of_a_commit(there: Folder) -> None:
    assert content("hub:me/set@main#test") == content(f"hub:me/set@{COMMIT}#test")
    assert content("hub:me/set#test") != content("hub:me/set#train")


def test_guessing(there: Folder) -> None:
    rows = [{"text": f"a message of {i} words", "label": i % 2} for i in range(40)]
    (there.place / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = guess("hub:me/set")
    assert (found.text, found.label, found.task, found.rows) == ("text", "label", "classification", 40)


def test_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real seam: datasets, told to stay off the network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as error:
        read("hub:nobody/such-a-set", COLUMNS)
    (problem,) = error.value.problems
    assert problem.where == "hub:nobody/such-a-set"
    assert problem.found.startswith("cannot be had from the Hub (")
    assert "save_to_disk" in problem.to_do


def test_a_stream_that_breaks_off(there: Folder) -> None:
    class Breaking:
        features = None

        def __iter__(self) -> Any:
            yield {"text": "a", "label": 1}
            raise ConnectionError("reset by peer")

    there.splits = lambda *_: {"train": Breaking()}  # type: ignore[method-assign]
    with pytest.raises(DataError, match="ConnectionError: reset by peer"):
        read("hub:me/set", COLUMNS)


def test_without_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'tunewright\[data\]'"):
        hub_splits("hub:me/set#x/train")
