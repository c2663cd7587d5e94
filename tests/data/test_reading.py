"""Reading files: formats, encodings, columns, folders."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.core.errors import DataError
from tunewright.data import Columns, Form, guess, read

COLUMNS = Columns("text", "label")


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def pairs(path: Path, columns: Columns = COLUMNS, form: Form | None = None) -> list[tuple[str, str | None]]:
    return [(row.text, row.label) for row in read(path, columns, form or Form()).rows]


def test_text_stays_text(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label\na,NA\nb,None\nc,null\nd,nan\ne,\nf,N/A\nnull,1\n")
    assert pairs(path) == [
        ("a", "NA"), ("b", "None"), ("c", "null"), ("d", "nan"), ("e", None), ("f", "N/A"), ("null", "1"),
    ]  # fmt: skip
    path = put(
        tmp_path / "a.jsonl", "\n".join(json.dumps({"text": "x", "label": v}) for v in (1, True, None, "NA", 1.5))
    )
    assert [label for _, label in pairs(path)] == ["1", "true", None, "NA", "1.5"]


def test_faults_of_values(tmp_path: Path) -> None:
    lines = ['{"text": ["x"], "label": 1}', '{"label": 1}', r'{"text": "\ud800", "label": 1}',
             r'{"text": "a\u0000", "label": 1}', '{"text": "x", "label": 1e999}',
             '{"text": "ok", "label": 1}']  # fmt: skip
    rows = read(put(tmp_path / "a.jsonl", "\n".join(lines)), COLUMNS)
    assert [e.reason for e in rows.events] == [
        "not_text",
        "missing_field",
        "lone_surrogate",
        "nul_byte",
        "not_a_number",
    ]
    assert rows.entered == 6
    assert len(rows.rows) == 1


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32", "gb18030", "big5", "latin-1"])
def test_encodings(tmp_path: Path, codec: str) -> None:
    chinese = [("这个东西很好用，我很喜欢", "好"), ("服务态度非常差，不会再来了", "差")]
    if codec == "big5":
        chinese = [("這個東西很好用，我很喜歡", "好"), ("服務態度非常差，不會再來了", "差")]
    if codec == "latin-1":
        chinese = [("le café était très bon, naïve façade", "bon"), ("déçu par le dîner à Genève", "mal")]
    body = "text,label\n" + "".join(f'"{t}",{g}\n' for t, g in chinese)
    path = put(tmp_path / "a.csv", body.encode(codec))
    rows = read(path, COLUMNS)
    assert [(r.text, r.label) for r in rows.rows] == chinese
    if codec not in ("utf-8-sig", "utf-16", "utf-32"):
        assert codec in rows.notes[0]
        raw = path.read_bytes()
        source = rows.rows[1].source
        assert raw[source.offset : source.offset + source.length].decode(codec).startswith(f'"{chinese[1][0]}')
    if codec == "utf-8-sig":
        assert rows.rows[0].source.offset == 3 + len(b"text,label\n")


def test_one_bad_byte_costs_one_row(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,label\ncafé,1\n".encode() + b"caf\xe9 x,1\nok,2\n")
    rows = read(path, COLUMNS)
    assert [row.text for row in rows.rows] == ["café", "ok"]
    assert [(e.reason, e.source.line) for e in rows.events] == [("not_utf8", 3)]
    assert not any("\ufffd" in row.text for row in rows.rows)


def test_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"text,label\n" + b"".join(b"text %d,a\n" % i for i in range(5000)))
    assert len(pairs(put(tmp_path / "a.csv.gz", whole))) == 5000
    with pytest.raises(DataError, match="truncated_gzip"):
        pairs(put(tmp_path / "b.csv.gz", whole[: len(whole) // 2]))


def test_wrong_columns_are_named_together(tmp_path: Path) -> None:
    a, b = put(tmp_path / "a.csv", "Text,sentimant\nx,1\n"), put(tmp_path / "b.jsonl", '{"txt": "x", "label": 1}\n')
    with pytest.raises(DataError) as error:
        read([a, b, tmp_path / "none.csv"], Columns("text", "sentiment"))
    found = [(p.found, p.to_do, p.allowed) for p in error.value.problems]
    assert len(found) == 5
    assert found[0] == ("there is no column 'text'", "did you mean 'Text'?", "'Text', 'sentimant'")
    assert found[1][1] == "did you mean 'sentimant'?"
    assert found[2][1] == "did you mean 'txt'?"


def test_no_header(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "hello,pos\nbye,neg\n")
    assert pairs(path, Columns("0", "1")) == [("hello", "pos"), ("bye", "neg")]
    assert pairs(path, Columns("0", "1"), Form(header=False)) == [("hello", "pos"), ("bye", "neg")]
    assert pairs(put(tmp_path / "b.csv", "0,1\nbye,neg\n"), Columns("0", "1")) == [("bye", "neg")]


def test_a_quote_left_open_in_a_tsv(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", 'label\ttext\nham\t"I am here\nspam\tcall 5" now\n')
    assert pairs(path) == [('"I am here', "ham"), ('call 5" now', "spam")]


def test_arrays_and_parquet(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": i % 2} for i in range(20)]
    expected = [(f"t{i}", str(i % 2)) for i in range(20)]
    assert pairs(put(tmp_path / "a.json", json.dumps(rows, indent=2))) == expected
    assert pairs(put(tmp_path / "b.json", "\n".join(map(json.dumps, rows)))) == expected
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert pairs(tmp_path / "a.parquet") == expected
    with pytest.raises(DataError, match="no column 'txt'"):
        pairs(tmp_path / "a.parquet", Columns("txt", "label"))
    with pytest.raises(DataError, match="not a whole parquet"):
        pairs(put(tmp_path / "b.parquet", (tmp_path / "a.parquet").read_bytes()[:100]))


def saved(folder: Path, texts: list[str], labels: list[int]) -> None:
    """What datasets' save_to_disk writes."""
    folder.mkdir(parents=True)
    table = pa.table({"text": texts, "label": pa.array(labels, pa.int64())})
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    features = {
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    put(folder / "dataset_info.json", json.dumps({"features": features}))
    put(folder / "state.json", json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def test_hugging_face_folder(tmp_path: Path) -> None:
    root = tmp_path / "set"
    saved(root / "train", ["a", "b", "c", "d"], [0, 1, -1, 7])
    saved(root / "test", ["e"], [1])
    put(root / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    rows = read(root, COLUMNS)
    assert [(r.text, r.label, r.split) for r in rows.rows] == [
        ("a", "neg", "train"), ("b", "pos", "train"), ("c", None, "train"), ("e", "pos", "test"),
    ]  # fmt: skip
    assert [e.reason for e in rows.events] == ["unknown_label"]


def test_folder_of_named_files(tmp_path: Path) -> None:
    put(tmp_path / "s" / "train.csv", "text,label\na,1\n")
    put(tmp_path / "s" / "dev.jsonl", '{"text": "b", "label": 1}\n')
    put(tmp_path / "s" / "test-00000-of-00001.tsv", "text\tlabel\nc\t1\n")
    assert {(r.text, r.split) for r in read(tmp_path / "s", COLUMNS).rows} == {
        ("a", "train"), ("b", "validation"), ("c", "test"),
    }  # fmt: skip
    put(tmp_path / "e" / "notes.md", "x")
    with pytest.raises(DataError, match=r"not a data set folder; it holds notes\.md"):
        read(tmp_path / "e", COLUMNS)


@pytest.mark.parametrize(
    ("file", "text", "label", "pair", "task"),
    [
        ("tweets/tweets.csv", "text", "sentiment", None, "classification"),
        ("waimai/waimai_10k.csv", "review", "label", None, "classification"),
        ("sms_spam/SMSSpamCollection", "1", "0", None, "classification"),
        ("sst2/dev.tsv", "sentence", "label", None, "classification"),
        ("rte/train.tsv", "sentence1", "label", "sentence2", "classification"),
        ("stsb/stsb-en-train.csv", "0", "2", "1", "regression"),
        ("goemotions/train8k.tsv", "0", "1", None, "multilabel"),
        ("eprstmt/train_few_all.json", "sentence", "label", None, "classification"),
        ("gsm8k/train.jsonl", None, None, None, "chat"),
        ("instructions/alpaca_zh_demo.json", None, None, None, "chat"),
        ("instructions/dpo_en_demo.json", None, None, None, "preference"),
        ("dialogsum/dialogsum.dev.jsonl", "dialogue", "summary", None, "seq2seq"),
        ("multi30k/train5k", "en", "de", None, "seq2seq"),
        ("tinyshakespeare/input.txt", None, None, None, "language_modeling"),
        ("instructions/wiki_demo.txt", None, None, None, "language_modeling"),
        ("instructions/c4_demo.jsonl", "text", None, None, "language_modeling"),
        ("crowd_duck/answer.csv", None, "answer", None, None),
    ],
)
def test_guesses_on_real_files(
    shared: Path, file: str, text: str | None, label: str | None, pair: str | None, task: str | None
) -> None:
    found = guess(shared / "data" / file)
    assert (found.text, found.label, found.pair, found.task) == (text, label, pair, task)
    assert found.evidence


@pytest.mark.parametrize(
    ("file", "columns", "count", "faults"),
    [
        ("tweets/tweets.csv", Columns("text", "sentiment"), 8000, 0),
        ("waimai/waimai_10k.csv", Columns("review", "label"), 11987, 0),
        ("sms_spam/SMSSpamCollection", Columns("1", "0"), 5574, 0),
        ("sst2/train.tsv", Columns("sentence", "label"), 60614, 0),
        ("rte/train.tsv", Columns("sentence1", "label", "sentence2"), 1244, 0),
        ("stsb/stsb-en-train.csv", Columns("0", "2", "1"), 5749, 0),
        ("eprstmt/test_public.json", Columns("sentence", "label"), 610, 0),
        ("goemotions/train8k.tsv", Columns("0", "1"), 8000, 0),
        ("instructions/alpaca_zh_demo.json", Columns("instruction", None), 1000, 0),
        ("crowd_offensiveness/ratings.csv", Columns("text", "offensiveness"), 6501, 0),
    ],
)
def test_real_files_are_read_whole(shared: Path, file: str, columns: Columns, count: int, faults: int) -> None:
    path = shared / "data" / file
    rows = read(path, columns)
    assert (len(rows.rows), len(rows.events)) == (count, faults)
    data = path.read_bytes()
    for row in rows.rows[:: max(1, count // 50)]:
        place = row.source
        assert place.line == 1 + data.count(b"\n", 0, place.offset)
        if not file.endswith("json"):
            assert row.text.replace('"', "") in data[place.offset : place.offset + place.length].decode().replace(
                '"', ""
            )
