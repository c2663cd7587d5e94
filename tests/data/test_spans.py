"""Named entities as they stand in files: schemes of tags, column files, offsets; what is mended and what is set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.spans import canonical, fault, parsed
from tunewright.data import (
    Columns,
    Options,
    Prepared,
    Shares,
    UnfitError,
    answers,
    card,
    gather,
    guess,
    prepare,
    target_of,
)
from tunewright.data.span_rows import joined
from tunewright.data.tag_schemes import broken, scheme_of, spans_of
from tunewright.data.targets.spans import OFFSETS, moved
from tunewright.starting import start


def options(*files: Path, text: str = "text", label: str | None = "label", **more: Any) -> Options:
    columns = Columns(text, label)
    return Options(train=tuple(map(str, files)), columns=columns, task="token_classification", **more)


def go(*files: Path, **more: Any) -> Prepared:
    found = options(*files, **more)
    return prepare(gather(found), found, 0)


def put(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def filler(count: int = 20) -> list[dict[str, Any]]:
    return [{"text": f"Ann met number {i}", "spans": [[0, 3, "PER"]]} for i in range(count)]


def said(prepared: Prepared) -> dict[str, str | None]:
    return {record.text: record.label for part in prepared.splits.values() for record in part}


def reasons(prepared: Prepared) -> dict[str, str]:
    return {q.reason: q.detail for q in prepared.quarantined}


def lines(*sentences: str, gap: str = "\n") -> str:
    """Sentences such as `Ann/B-PER met/O` as a column file."""
    return "\n".join("".join(f"{' '.join(w.rsplit('/', 1))}{gap}" for w in s.split(" ")) for s in sentences)


# Schemes of tags


@pytest.mark.parametrize(
    ("tags", "spans", "scheme"),
    [
        ("B-X I-X O B-X B-Y", [(0, 2, "X"), (3, 4, "X"), (4, 5, "Y")], "IOB2"),
        ("I-X I-X B-X I-X O I-Y", [(0, 2, "X"), (2, 4, "X"), (5, 6, "Y")], "IOB1"),
        ("I-X I-Y O O", [(0, 1, "X"), (1, 2, "Y")], "IOB1"),
        ("B-X I-X E-X S-Y O", [(0, 3, "X"), (3, 4, "Y")], "BIOES"),
        ("B-X I-X L-X U-Y O", [(0, 3, "X"), (3, 4, "Y")], "BILOU"),
        ("B-X M-X E-X S-X S-Y O", [(0, 3, "X"), (3, 4, "X"), (4, 5, "Y")], "BMES"),
        ("B_X M_X E_X O", [(0, 3, "X")], "BMEO"),
        ("B I O B", [(0, 2, "SPAN"), (3, 4, "SPAN")], "IOB2"),
        ("O O", [], ""),
    ],
)
def test_each_scheme_is_read_and_named(tags: str, spans: list[tuple[int, int, str]], scheme: str) -> None:
    found = spans_of(tags.split())
    assert found.spans == spans
    assert scheme_of([tags.split()]) == scheme
    assert broken(tags.split(), found, scheme) == []


@pytest.mark.parametrize(
    ("tags", "scheme", "spans", "mended"),
    [
        ("O I-X I-X", "IOB2", [(1, 3, "X")], ["I-X at token 2 follows nothing of its type: taken as a beginning"]),
        ("B-X I-Y", "IOB2", [(0, 1, "X"), (1, 2, "Y")], ["I-Y at token 2 follows nothing of its type: taken as a beginning"]),
        ("B-X M-X O", "BMES", [(0, 2, "X")], ["M-X at token 2 is not closed: taken as an end"]),
        ("E-X O", "BIOES", [(0, 1, "X")], ["E-X at token 1 follows nothing of its type: taken as a beginning"]),
        ("B-X U-X", "BILOU", [(0, 1, "X"), (1, 2, "X")], ["B-X at token 1 is not closed: taken as an end"]),
        ("B-X S-X", "BIOES", [(0, 1, "X"), (1, 2, "X")], ["B-X at token 1 is not closed: taken as an end"]),
    ],
)  # fmt: skip
def test_broken_sequences_are_mended_and_told(
    tags: str, scheme: str, spans: list[tuple[int, int, str]], mended: list[str]
) -> None:
    found = spans_of(tags.split())
    assert found.spans == spans
    assert broken(tags.split(), found, scheme) == mended


def test_one_broken_sentence_does_not_make_a_file_iob1() -> None:
    assert scheme_of([["B-X", "I-X", "O"], ["O", "I-X"]]) == "IOB2"
    assert scheme_of([["I-X", "B-X", "O"], ["O", "I-X"]]) == "IOB1"


@given(st.lists(st.sampled_from(["O", *(f"{m}-{t}" for m in "BI" for t in "XY")]), max_size=12))
def test_tags_are_read_as_a_slow_reader_reads_them(tags: list[str]) -> None:
    expected, i = [], 0
    while i < len(tags):
        if tags[i] == "O":
            i += 1
            continue
        kind, first, i = tags[i][2:], i, i + 1
        while i < len(tags) and tags[i] == f"I-{kind}":
            i += 1
        expected.append((first, i, kind))
    assert spans_of(tags).spans == expected


# Column files


def test_words_are_joined_with_spaces_but_not_between_chinese_ones() -> None:
    assert joined(["Ann", "lives", "in", "New", "York"], False) == (
        "Ann lives in New York", [(0, 3), (4, 9), (10, 12), (13, 16), (17, 21)],
    )  # fmt: skip
    assert joined(["我", "在", "IBM", "工作"], False)[0] == "我在 IBM 工作"
    assert joined(["P", "M", "P"], True) == ("PMP", [(0, 1), (1, 2), (2, 3)])
    assert joined(["a", " ", "b"], False)[0] == "a b"


def test_a_file_of_words(tmp_path: Path) -> None:
    sentences = [f"Ann/B-PER met/O Bob/B-PER {i}/O" for i in range(12)]
    file = tmp_path / "train.conll"
    file.write_text("-DOCSTART- -X- O\n\n" + lines(*sentences, "New/B-LOC York/I-LOC !/O"), encoding="utf-8")
    found = go(file)
    assert said(found)["New York !"] == '[[0,8,"LOC"]]'
    assert said(found)["Ann met Bob 3"] == '[[0,3,"PER"],[8,11,"PER"]]'
    assert card(found)["scheme"] == "IOB2" and found.defects["no_sentence"].count == 1
    assert any("one word a line" in note for note in found.notes)
    assert all(stage.balances for stage in found.ledger.stages)
    assert found.labels == ("LOC", "PER")


@pytest.mark.parametrize("name", ["a.bmes", "a.bio", "a.conll", "a.txt", "a.tsv", "a.data", "a"])
def test_column_files_are_recognised(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    tab = name.endswith("tsv")
    text = lines(*(f"王/B-NAME 五/E-NAME 来/O {i}/O" for i in range(12)))
    file.write_text(text.replace(" ", "\t") if tab else text, encoding="utf-8")
    found = guess(file)
    assert (found.format, found.task) == ("conll", "token_classification")
    prepared = go(file)
    assert said(prepared)["王五来3"] == '[[0,2,"NAME"]]'


@pytest.mark.parametrize(
    "text",
    [
        "text\tlabel\n" + "".join(f"a text number {i}\tB\n" for i in range(30)),
        "a,b\n" * 20,
        "word one\nword two\n" * 20,
    ],
)
def test_other_files_are_not_column_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.tsv"
    file.write_text(text, encoding="utf-8")
    assert guess(file).format != "conll"


def test_the_tag_stands_in_the_last_column_or_where_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("\n".join(f"Ann NNP B-NP B-PER\n{i} CD O O\n" for i in range(12)), encoding="utf-8")
    assert said(go(file))["Ann 3"] == '[[0,3,"PER"]]'
    assert said(go(file, text="0", label="2"))["Ann 3"] == '[[0,3,"NP"]]'


def test_a_space_may_be_a_token(tmp_path: Path) -> None:
    file = tmp_path / "a.bmes"
    file.write_text("\n".join(f" O\n王 B-N\n M-N\n五 E-N\n{chr(65 + i)} O\n" for i in range(20)), encoding="utf-8")
    found = go(file)
    assert said(found)["王 五C"] == '[[0,3,"N"]]' and len(said(found)) == 20
    assert found.defects["outer_space"].count == 20


def test_faulty_sentences_are_set_aside_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "a.bio"
    good = lines(*(f"Ann/B-PER met/O {i}/O" for i in range(12)))
    bad = "Bob B-PER\nran\n\nCid X-PER\n\n\nDee B-\n"
    file.write_bytes(f"{good}\n{bad}\n".encode() + b"\xff\xfe O\n\n# a comment\n\n")
    found = go(file)
    assert set(reasons(found)) == {"missing_tag", "bad_tag", "not_utf8"}
    place = {q.reason: q.source.line for q in found.quarantined}
    assert place["missing_tag"] == 49 and "line 50: 'ran' has no tag" in reasons(found)["missing_tag"]
    assert len(said(found)) == 12 and found.defects["no_sentence"].count == 1
    assert all(stage.balances for stage in found.ledger.stages)


def test_broken_tags_are_in_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "a.bio"
    file.write_text(lines(*(f"Ann/B-PER met/O {i}/O" for i in range(12)), "O/O Bob/I-PER"), encoding="utf-8")
    found = go(file)
    assert said(found)["O Bob"] == '[[2,5,"PER"]]'
    event = next(event for event in found.ledger.events if event.reason == "broken_tags")
    assert (event.outcome, event.source.line) == ("changed", 49) and "I-PER at token 2" in event.detail


def test_a_folder_of_column_files(tmp_path: Path) -> None:
    for name, n in (("train", 20), ("dev", 4), ("test", 5)):
        text = lines(*(f"Ann/B-PER met/O {name}{i}/O" for i in range(n)))
        (tmp_path / f"{name}.char.bmes").write_text(text, encoding="utf-8")
    assert {name: len(part) for name, part in go(tmp_path).splits.items()} == {"train": 20, "validation": 4, "test": 5}


# Offsets


SPELLINGS: dict[str, dict[str, Any]] = {
    "spans": {"text": "Ann met Bob", "spans": [[0, 3, "PER"], [8, 11, "PER"]]},
    "objects": {"text": "Ann met Bob", "entities": [{"start": 8, "end": 11, "type": "PER"}, {"start": 0, "end": 3, "label": "PER"}]},
    "doccano": {"text": "Ann met Bob", "label": [[0, 3, "PER"], [8, 11, "PER"]]},
    "surface": {
        "text": "Ann met Bob",
        "entities": [
            {"start": 0, "end": 3, "word": "Ann", "entity_group": "PER"},
            {"start_offset": 8, "end_offset": 11, "text": "Bob", "label": ["PER"]},
        ],
    },
    "cluener": {"text": "Ann met Bob", "label": {"PER": {"Ann": [[0, 2]], "Bob": [[8, 10]]}}},
    "type first": {"text": "Ann met Bob", "spans": [["PER", 0, 3], ["PER", 8, 11]]},
    "tokens": {"tokens": ["Ann", "met", "Bob"], "ner_tags": ["B-PER", "O", "B-PER"]},
    "tokens beside the text": {"text": "ANN MET BOB", "tokens": ["Ann", "met", "Bob"], "tags": ["B-PER", "O", "B-PER"]},
    "white space": {"text": "Ann met Bob", "spans": [[0, 4, "PER"], [7, 11, "PER"], [8, 11, "PER"]][:2]},
    "twice": {"text": "Ann met Bob", "spans": [[0, 3, "PER"], [8, 11, "PER"], [0, 3, "PER"]]},
    "outer space": {"text": "  Ann met Bob ", "spans": [[2, 5, "PER"], [10, 13, "PER"]]},
}  # fmt: skip


@pytest.mark.parametrize("how", list(SPELLINGS))
def test_every_spelling_says_the_same(tmp_path: Path, how: str) -> None:
    found = go(put(tmp_path / "a.jsonl", *filler(), SPELLINGS[how]))
    assert said(found)["Ann met Bob"] == '[[0,3,"PER"],[8,11,"PER"]]'
    changed = {"white space": "span_space", "twice": "span_twice", "outer space": "outer_space"}.get(how)
    assert changed is None or found.defects[changed].count == 1
    assert not found.quarantined


BAD: dict[str, tuple[Any, str]] = {
    "beyond the text": ([[0, 99, "PER"]], "span_out_of_range"),
    "negative": ([[-1, 2, "PER"]], "span_out_of_range"),
    "empty": ([[2, 2, "PER"]], "span_out_of_range"),
    "crossing": ([[0, 5, "PER"], [3, 8, "LOC"]], "overlapping_spans"),
    "inside": ([[0, 8, "PER"], [3, 5, "LOC"]], "overlapping_spans"),
    "two types": ([[0, 3, "PER"], [0, 3, "LOC"]], "overlapping_spans"),
    "white space": ([[3, 4, "PER"]], "empty_span"),
    "no type": ([{"start": 0, "end": 3}], "bad_spans"),
    "no numbers": ([["a", "b", "c"]], "bad_spans"),
    "fractions": ([[0.0, 3.0, "PER"]], "bad_spans"),
    "a name": ("PER", "bad_spans"),
    "another text": ([{"start": 4, "end": 7, "text": "Ann", "type": "PER"}], "span_text"),
}


@pytest.mark.parametrize("how", list(BAD))
def test_what_is_no_answer_is_set_aside(tmp_path: Path, how: str) -> None:
    spans, reason = BAD[how]
    found = go(put(tmp_path / "a.jsonl", *filler(), {"text": "Ann met Bob", "spans": spans}))
    assert list(reasons(found)) == [reason] and found.quarantined[0].source.line == 21
    assert "Ann met Bob" not in said(found)
    assert all(stage.balances for stage in found.ledger.stages)


def test_rows_without_spans_are_unlabelled_and_an_empty_list_is_an_answer(tmp_path: Path) -> None:
    rows = [{"text": "nobody looked"}, {"text": "null", "spans": None}, {"text": "nobody there", "spans": []}]
    found = go(put(tmp_path / "a.jsonl", *filler(), *rows))
    assert [record.text for record in found.unlabelled] == ["nobody looked", "null"]
    assert said(found)["nobody there"] == "[]"


def test_tags_as_numbers_with_names(tmp_path: Path) -> None:
    names = ["O", "B-PER", "I-PER"]
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    info = {"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}})}
    rows = [{"tokens": ["Ann", "Lee", str(i)], "ner_tags": [1, 2, 0]} for i in range(12)]
    table = pa.Table.from_pylist(rows).replace_schema_metadata(info)
    pq.write_table(table, tmp_path / "a.parquet")
    assert said(go(tmp_path / "a.parquet"))["Ann Lee 3"] == '[[0,7,"PER"]]'
    with pytest.raises(DataError, match="usable row"):
        go(put(tmp_path / "b.jsonl", *rows))


def test_spans_move_with_what_cleaning_does(tmp_path: Path) -> None:
    broken_text = "CafÃ© Müller opened â€“ Ann was there"
    spans = [[0, 12, "ORG"], [24, 27, "PER"]]
    assert broken_text[24:27] == "Ann"
    inside = {"text": "x CafÃ© y", "spans": [[2, 6, "ORG"]]}
    found = go(put(tmp_path / "a.jsonl", *filler(), {"text": broken_text, "spans": spans}, inside))
    text = next(text for text in said(found) if "ller" in text)
    assert [text[a:b] for a, b, _ in parsed(said(found)[text] or "")] == ["Café Müller", "Ann"]
    assert list(reasons(found)) == ["span_in_repair"]


def test_one_text_with_different_spans_is_a_conflict(tmp_path: Path) -> None:
    twice = [{"text": "Ann met Bob", "spans": [[0, 3, "PER"]]}, {"text": "ann met bob", "spans": [[8, 11, "PER"]]}]
    alike = [{"text": "Cid ran", "spans": [[0, 3, "PER"]]}, {"text": "cid  ran", "spans": [[0, 3, "PER"]]}]
    found = go(put(tmp_path / "a.jsonl", *filler(), *twice, *alike))
    assert [q.reason for q in found.quarantined] == ["conflict", "conflict"]
    assert "Cid ran" in said(found) and found.defects["duplicate"].count == 1
    assert "Ann met Bob" in said(go(tmp_path / "a.jsonl", conflicts="keep"))


def test_types_are_mapped_and_near_ones_told(tmp_path: Path) -> None:
    rows = [{"text": f"Ann {i}", "spans": [[0, 3, "person" if i % 2 else "PERSON"]]} for i in range(20)]
    file = put(tmp_path / "a.jsonl", *rows)
    with pytest.raises(DataError, match="near_label"):
        go(file)
    found = go(file, label_map={"person": "PERSON"})
    assert found.labels == ("PERSON",) and found.defects["label_map"].count == 10
    none = go(put(tmp_path / "b.jsonl", *filler(), {"text": "x y", "spans": [[0, 1, "MISC"]]}), label_map={"MISC": ""})
    assert said(none)["x y"] == "[]"


def test_types_that_train_lacks_are_set_aside(tmp_path: Path) -> None:
    put(tmp_path / "train.jsonl", *filler())
    put(
        tmp_path / "test.jsonl",
        {"text": "in Rome", "spans": [[3, 7, "LOC"]]},
        {"text": "Eve", "spans": [[0, 3, "PER"]]},
    )
    found = go(tmp_path)
    assert reasons(found)["unknown_label"].startswith("'LOC' is not in train")
    assert [r.text for r in found.splits["test"]] == ["Eve"] and len(found.warnings) >= 1


def test_nothing_to_learn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row has any span"):
        go(put(tmp_path / "a.jsonl", *({"text": f"text {i}", "spans": []} for i in range(20))))
    with pytest.raises(DataError, match="no spans in 20 of 20"):
        go(put(tmp_path / "b.jsonl", *({"text": f"text {i}", "spans": [[0, 99, "X"]]} for i in range(20))))


def test_the_card_counts_types(tmp_path: Path) -> None:
    found = go(
        put(tmp_path / "a.jsonl", *filler(), {"text": "in Rome", "spans": [[3, 7, "LOC"]]}), shares=Shares(0.0, 0.0)
    )
    told = card(found)
    assert told["types"] == [
        {"type": "LOC", "train": 1, "validation": 0, "test": 0, "share": 1 / 21},
        {"type": "PER", "train": 20, "validation": 0, "test": 0, "share": 20 / 21},
    ]
    assert told["scheme"] == OFFSETS and told["spans_per_item"] == {"mean": 1.0, "median": 1.0, "max": 1, "none": 0}


def test_answers_to_be_judged_on_stand_on_the_stripped_text(tmp_path: Path) -> None:
    rows = [{"text": "  Ann ran ", "spans": [[2, 5, "PER"]]}, {"text": "x", "spans": [[0, 9, "PER"]]}, {"text": "y"}]
    found = options(put(tmp_path / "a.jsonl", *rows))
    told = answers(gather(found), found)
    assert told == [('[[0,3,"PER"]]', ""), (None, "span_out_of_range"), (None, "missing_label")]
    target = target_of(found)
    assert target.knows('[[0,3,"PER"]]', ["PER"]) and not target.knows('[[0,3,"PER"]]', ["LOC"])


# Guessing and starting


@pytest.mark.parametrize("how", [name for name in SPELLINGS if name not in ("white space", "twice", "outer space")])
def test_init_knows_spans(tmp_path: Path, how: str) -> None:
    key = "tokens" if "tokens" in SPELLINGS[how] else "text"
    rows = [{**SPELLINGS[how], "id": i} for i in range(12)]
    path, told = start(str(put(tmp_path / "a.jsonl", *rows)), tmp_path / "a.yaml")
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert written["task"] == told["task"] == "token_classification"
    assert written["data"]["text"] == key and written["data"]["label"] in SPELLINGS[how]
    assert written["evaluation"] == {"metric": "f1", "baselines": ["lexicon", "tfidf", "linear"]}


def test_init_writes_no_columns_for_a_column_file(tmp_path: Path) -> None:
    file = tmp_path / "a.bmes"
    file.write_text(lines(*(f"王/B-NAME 五/E-NAME {i % 10}/O" for i in range(12))), encoding="utf-8")
    written = yaml.safe_load(start(str(file), tmp_path / "a.yaml")[0].read_text(encoding="utf-8"))
    assert set(written["data"]) == {"train", "shares", "conflicts"}


@pytest.mark.parametrize("label", ["positive", ["joy", "fear"], [1, 2, 3], 3.5, [[1, 2], [3, 4]], {"a": 1}])
def test_other_rows_are_not_taken_for_spans(tmp_path: Path, label: Any) -> None:
    rows = [{"text": f"a text of some words {i}", "label": label if i % 2 else []} for i in range(30)]
    assert guess(put(tmp_path / "a.jsonl", *rows)).task != "token_classification"


# The small parts


def test_faults_of_spans() -> None:
    assert fault([(0, 2, "X"), (2, 3, "Y")], 3) is None
    assert fault([(0, 2, "X"), (1, 3, "Y")], 3) == ("overlapping_spans", "Y at 1 to 3 crosses X at 0 to 2")
    assert fault([(0, 4, "X")], 3) == ("span_out_of_range", "X at 0 to 4 of a text of 3 characters")


def test_spans_that_lie_in_a_change_are_refused() -> None:
    assert moved([(3, 5, "X")], "  ab cd", "ab cd".strip()) == [(1, 3, "X")]
    with pytest.raises(UnfitError):
        moved([(0, 2, "X")], "abcd", "zzcd")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4), st.sampled_from("XY")), max_size=5))
def test_canonical_answers_come_back(pieces: list[tuple[int, int, str]]) -> None:
    at, spans = 0, []
    for gap, size, kind in pieces:
        spans.append((at + gap, at + gap + size, kind))
        at += gap + size
    assert parsed(canonical(reversed(spans))) == tuple(spans)


# Real rows


def test_the_resumes(shared: Path) -> None:
    place = shared / "data" / "resume_ner"
    found = options(
        place / "train.char.bmes", validation=(str(place / "dev.char.bmes"),), test=(str(place / "test.char.bmes"),)
    )
    rows = gather(found)
    assert [file.rows for file in rows.files] == [3821, 463, 477]
    prepared = prepare(rows, found, 0)
    told = card(prepared)
    assert told["scheme"] == "BMES" and len(prepared.labels) == 8
    assert prepared.defects["broken_tags"].count == 4
    beginnings = sum(
        line.split()[-1][0] in "BS"
        for name in ("train", "dev", "test")
        for line in (place / f"{name}.char.bmes").read_text(encoding="utf-8").splitlines()
        if line.strip()
    )
    assert sum(
        len(parsed(target_of(found).answer(row.label or "") or "[]")) for row in rows.rows
    ) == beginnings + extra(prepared)
    assert all(stage.balances for stage in prepared.ledger.stages)


def extra(prepared: Prepared) -> int:
    """Spans that a mended tag begins."""
    details = [event.detail for event in prepared.ledger.events if event.reason == "broken_tags"]
    return sum(detail.count("taken as a beginning") for detail in details)
