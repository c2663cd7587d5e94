"""Plain texts: where they are cut, that nothing is lost, folders, long lines, and what `init` makes of files."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.data import Columns, Options, Rows, content, gather, guess, prepare
from tunewright.data.card import card
from tunewright.data.plain import SECTION, open_text
from tunewright.data.rows import AS_FOUND, Fault
from tunewright.starting import start

TASK: Any = "language_modeling"


def read(*paths: Path, text: str | None = None, **more: Any) -> Rows:
    return gather(Options(train=tuple(map(str, paths)), columns=Columns(text), task=TASK, **more))


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(["sun", "moon", "and", "river.", "under", "Stone", "wind"], k=words))


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_blank_lines_part_documents_of_sensible_size(tmp_path: Path) -> None:
    documents = [f"Title {i}\n" + "word " * 300 for i in range(12)]
    found = read(put(tmp_path / "a.txt", "\n\n".join(documents)))
    assert [row.text for row in found.rows] == documents
    assert [row.source.line for row in found.rows] == [1 + 3 * i for i in range(12)]
    assert "between blank lines" in found.notes[0]


def test_long_lines_are_documents(tmp_path: Path) -> None:
    documents = [f"{i} " + "word " * 300 for i in range(12)]
    found = read(put(tmp_path / "a.txt", "\r\n".join(documents) + "\n"))
    assert [row.text for row in found.rows] == documents and "every line is a document" in found.notes[0]


def test_a_book_is_cut_at_blank_lines_into_sections_that_lose_nothing(tmp_path: Path) -> None:
    rng = random.Random(0)
    book = "\n\n".join(prose(rng, rng.randint(3, 60)) for _ in range(600))
    path = put(tmp_path / "book.txt", book)
    found = read(path)
    texts = [row.text for row in found.rows]
    assert squeezed("".join(texts)) == squeezed(book)
    assert all(len(squeezed(text)) * 1.3 >= SECTION and len(text) < 2 * SECTION for text in texts[:-1])
    assert all(book[row.source.offset :].startswith(row.text[:50]) for row in found.rows)
    lines = book.split("\n")
    assert all(lines[row.source.line - 1].startswith(row.text[:5]) for row in found.rows)
    put(path, book + "\n\n" + "\n\n".join(prose(rng, 40) for _ in range(50)))
    assert [row.text for row in read(path).rows][: len(texts) - 1] == texts[:-1]


@given(
    parts=st.lists(
        st.sampled_from(["word", ". ", "\n", "\n\n", "。", "é", " ", "x" * 500, "long text " * 400, "\r\n"]),
        max_size=60,
    )
)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_nothing_is_lost_wherever_it_is_cut(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    text = "".join(parts)
    path = put(tmp_path_factory.mktemp("cut") / "a.txt", text)
    items = list(open_text(path, AS_FOUND).items)
    assert not any(isinstance(item, Fault) for item in items)
    assert squeezed("".join(item[0][0] for item in items)) == squeezed(text)  # type: ignore[index]


def test_one_endless_line(tmp_path: Path) -> None:
    rng = random.Random(1)
    text = prose(rng, 600_000)
    assert len(text) > 3 << 20
    found = read(put(tmp_path / "line.txt", text))
    assert squeezed("".join(row.text for row in found.rows)) == squeezed(text) and not found.events
    assert max(len(row.text) for row in found.rows) <= 3 * SECTION
    assert sum(row.text.rstrip().endswith(".") for row in found.rows) > 0.9 * len(found.rows)
    row = found.rows[500]
    assert text[row.source.offset :].startswith(row.text[:40])


def test_a_long_json_row_is_no_fault(tmp_path: Path) -> None:
    rows = [{"text": "word " * 400_000}, *({"text": f"text {i}"} for i in range(12))]
    found = read(put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert len(found.rows) == 13 and not found.events and len(found.rows[0].text) == 2_000_000


def test_one_bad_byte_costs_one_line(tmp_path: Path) -> None:
    lines = [f"line {i} é".encode() for i in range(400)]
    lines[200] = b"\xff\xfe bad"
    found = read(put(tmp_path / "a.txt", b"\n".join(lines)))
    assert [(e.reason, e.source.line) for e in found.events] == [("not_utf8", 201)]
    assert sum(row.text.count("line") for row in found.rows) == 399


def test_folders(tmp_path: Path) -> None:
    for i in range(12):
        put(
            tmp_path / "many" / ("deep" if i % 2 else ".") / f"{i:02}.{'md' if i % 3 else 'txt'}",
            f"\nfile {i}\n\nmore\n",
        )
    put(tmp_path / "many" / ".hidden.txt", "no")
    put(tmp_path / "many" / "picture.png", "no")
    found = read(tmp_path / "many")
    assert sorted(row.text for row in found.rows) == sorted(f"file {i}\n\nmore" for i in range(12))
    first = content(tmp_path / "many", Options(train=("x",), columns=Columns(), task=TASK))
    put(tmp_path / "many" / "12.txt", "new")
    assert content(tmp_path / "many", Options(train=("x",), columns=Columns(), task=TASK)) != first
    for name in ("train", "valid", "test"):
        put(tmp_path / "split" / f"{name}.txt", "\n".join(f"{name} line {i}" for i in range(2000)))
    assert {row.split for row in read(tmp_path / "split").rows} == {"train", "validation", "test"}
    for i in range(2):
        put(tmp_path / "few" / f"{i}.txt", "\n".join(f"line {i} {n}" for n in range(2000)))
    assert len(read(tmp_path / "few").rows) > 10
    with pytest.raises(DataError, match="plain texts"):
        read(put(tmp_path / "none" / "a.png", "x").parent)
    with pytest.raises(DataError, match="not a data set folder"):
        gather(Options(train=(str(tmp_path / "many"),), columns=Columns("text", "label")))


@pytest.mark.parametrize(
    ("row", "text", "expected"),
    [
        ({"text": "a document", "id": "x"}, None, "a document"),
        ({"Content": "a document", "id": 3}, None, "a document"),
        ({"strange": "a document", "n": 3}, None, "a document"),
        ({"a": "a document", "b": "another"}, "b", "another"),
    ],
)
def test_the_column_of_documents(tmp_path: Path, row: Any, text: str | None, expected: str) -> None:
    found = read(put(tmp_path / "a.jsonl", json.dumps(row)), text=text)
    assert [(r.text, r.label) for r in found.rows] == [(expected, None)]


def test_columns_that_are_not_clear(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"a": "x", "b": "y"}')
    with pytest.raises(DataError, match="name the column by `text:`"):
        read(path)
    with pytest.raises(DataError, match="there is no column 'c'"):
        read(path, text="c")


@pytest.mark.parametrize(
    ("file", "documents"),
    [
        ("tinyshakespeare/input.txt", 484),
        ("instructions/wiki_demo.txt", 30),
        ("instructions/c4_demo.jsonl", 300),
        ("tinyshakespeare", 484),
    ],
)
def test_real_texts_become_splits_without_a_label(shared: Path, file: str, documents: int) -> None:
    options = Options(train=(str(shared / "data" / file),), columns=Columns(), task=TASK)
    done = prepare(gather(options), options, 0)
    records = [record for part in done.splits.values() for record in part]
    assert len(records) == documents and not done.unlabelled and not done.quarantined
    assert all(record.label is None for record in records) and not done.target.needs_label
    said = card(done)
    assert sum(size["documents"] for size in said["sizes"].values()) == documents
    if documents == 484:
        assert len(done.splits["validation"]) > 30 and len(done.splits["test"]) > 30
        whole = (shared / "data" / "tinyshakespeare" / "input.txt").read_text()
        found = sorted(records, key=lambda record: record.source.offset)
        assert squeezed("".join(record.text for record in found)) == squeezed(whole)
    assert all(stage.balances for stage in done.ledger.stages)


# init


def lines(*rows: Any) -> str:
    return "\n".join(map(json.dumps, rows))


MANY = range(40)


@pytest.mark.parametrize(
    ("name", "text", "task", "data"),
    [
        ("a.jsonl", lines(*({"messages": [{"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "x"}]} for i in MANY)),
         "chat", {"conversation": "openai"}),
        ("a.json", json.dumps([{"instruction": f"do {i}", "output": "x"} for i in MANY]), "chat", {"conversation": "alpaca"}),
        ("a.jsonl", lines(*({"prompt": f"ask for {i}", "chosen": "a", "rejected": "b"} for i in MANY)), "preference",
         {"conversation": "columns"}),
        ("a.jsonl", lines(*({"prompt": f"ask for {i}", "completion": f"an answer to {i}", "label": i % 2 == 0} for i in MANY)),
         "preference", {"conversation": "columns"}),
        ("a.jsonl", lines(*({"prompt": f"ask for {i}", "completion": f"an answer to {i}", "label": i % 2} for i in MANY)),
         "classification", {"text": "prompt", "label": "label"}),
        ("a.jsonl", lines(*({"question": f"what is the number {i}", "answer": "yn"[i % 2]} for i in MANY)), "classification",
         {"text": "question", "label": "answer"}),
        ("a.jsonl", lines(*({"question": f"what is the number {i}", "answer": f"the number is {i}"} for i in MANY)), "chat",
         {"conversation": "columns"}),
        ("a.csv", "article,summary\n" + "\n".join(f"the long article with number {i},short text number {i}" for i in MANY),
         "seq2seq", {"text": "article", "label": "summary"}),
        ("a.csv", "text,summary,rating\n" + "\n".join(f"a long review number {i},short text {i},{i % 5}" for i in MANY),
         "classification", {"text": "text", "label": "rating"}),
        ("a.jsonl", lines(*({"translation": {"de": f"Satz {i}", "en": f"sentence {i}"}} for i in MANY)), "seq2seq",
         {"text": "en", "label": "de"}),
        ("a.jsonl", lines(*({"text": f"one document, number {i}"} for i in MANY)), "language_modeling", {"text": "text"}),
        ("a.txt", "\n".join(f"Line {i},\nand another, with a comma,\n\nno more of {i}." for i in range(900)), "language_modeling", {}),
        ("a.md", "\n".join(f"# Title {i}\n\nSome text of {i}.\n" for i in range(1500)), "language_modeling", {}),
        ("a.txt", "text,label\n" + "\n".join(f"this is the text number {i},{'ab'[i % 2]}" for i in MANY), "classification",
         {"text": "text", "label": "label"}),
    ],
)  # fmt: skip
def test_init_knows_the_task(tmp_path: Path, name: str, text: str, task: str, data: dict[str, Any]) -> None:
    path, said = start(str(put(tmp_path / name, text)), tmp_path / "made.yaml")
    made = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert made["task"] == said["task"] == task
    assert {key: value for key, value in made["data"].items() if key in ("text", "label", "conversation")} == data
    assert made["model"] == ("minilm" if task == "classification" else "toy")
    assert any(line.startswith(f"#   {task}:") for line in path.read_text(encoding="utf-8").splitlines())
    options = Options(train=(str(tmp_path / name),), columns=Columns(data.get("text"), data.get("label")), task=task,  # type: ignore[arg-type]
                      conversation=data.get("conversation", "auto"))  # fmt: skip
    assert prepare(gather(options), options, 0).ledger.stages


def test_init_of_parallel_files_and_folders(tmp_path: Path) -> None:
    for ending in ("en", "de"):
        put(tmp_path / f"part.{ending}", "".join(f"{ending} {i}\n" for i in MANY))
    for name in ("part", "part.de", "part.en"):
        path, said = start(str(tmp_path / name), tmp_path / "made.yaml", force=True)
        made = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert (made["task"], made["data"]["train"], made["data"]["text"], made["data"]["label"]) == (
            "seq2seq",
            "part",
            "en",
            "de",
        )
        assert said["rows"] == 40
    found = guess(tmp_path / "part", text="de", label="en")
    assert (found.task, found.text, found.label) == ("seq2seq", "de", "en")
    put(tmp_path / "part.fr", "x")
    with pytest.raises(DataError, match="3 languages: de, en, fr"):
        start(str(tmp_path / "part"), tmp_path / "made.yaml", force=True)
    for i in range(12):
        put(tmp_path / "texts" / f"{i}.txt", f"text {i}")
    path, said = start(str(tmp_path / "texts"), tmp_path / "made.yaml", force=True)
    assert (said["task"], said["rows"]) == ("language_modeling", 12)


def test_init_is_told_the_task(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", lines(*({"prompt": f"ask for {i}", "chosen": "a", "rejected": "b"} for i in MANY)))
    assert start(str(path), tmp_path / "a.yaml", task="reward")[1]["task"] == "reward"
    path = put(
        tmp_path / "b.jsonl", lines(*({"ask": f"the question {i}", "say": f"the answer {i}", "n": i % 2} for i in MANY))
    )
    for task in ("chat", "preference"):
        with pytest.raises(DataError, match=r"no known form in the columns 'ask', 'say'"):
            start(str(path), tmp_path / "b.yaml", task=task)
    for task in ("chat", "seq2seq"):
        made, said = start(str(path), tmp_path / "b.yaml", task=task, text="ask", label="say", model="gpt2", force=True)
        written = yaml.safe_load(made.read_text(encoding="utf-8"))
        assert (said["task"], written["data"]["text"], written["data"]["label"], written["model"]) == (
            task,
            "ask",
            "say",
            "gpt2",
        )
    text = put(tmp_path / "c.txt", "text,label\n" + "\n".join(f"some text {i},{'ab'[i % 2]}" for i in MANY))
    assert start(str(text), tmp_path / "c.yaml", task="language_modeling")[1]["format"] == "text"


def test_a_gzipped_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("".join(f"Line {i} of a text.\n" for i in range(2000)).encode()))
    assert len(read(path).rows) > 10 and guess(path).task == "language_modeling"
