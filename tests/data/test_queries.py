"""Rows of data bases: read only, streamed, and without a password anywhere."""

from __future__ import annotations

import sqlite3
import sys
import tracemalloc
from pathlib import Path

import pytest

from tunewright.core.errors import DataError, TunewrightError
from tunewright.data import Columns, content, guess, placed, read, read_batches
from tunewright.data.queries import query_of

COLUMNS = Columns("text", "label")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE messages (text TEXT, label INTEGER, at TEXT, thread REAL)")
    rows = [("one", 1, "2024-01-02", 1.5), ("中文", None, None, None), ("NA", 0, "", 2)]
    made.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
    made.execute("CREATE TABLE others (a TEXT)")
    made.commit()
    made.close()
    return path


def test_a_query_and_a_table(base: Path) -> None:
    entry = f"sqlite:///{base}#SELECT text, label, at FROM messages ORDER BY label"
    rows = read(entry, Columns("text", "label", time="at"))
    assert [(r.text, r.label, r.time) for r in rows.rows] == [
        ("中文", None, None), ("NA", "0", None), ("one", "1", "2024-01-02"),
    ]  # fmt: skip
    assert [(r.source.file, r.source.line) for r in rows.rows][:2] == [(entry, 1), (entry, 2)]
    assert (rows.files[0].format, rows.files[0].rows, rows.files[0].sha256) == ("sql", 3, rows.files[0].sha256)
    table = read(f"sqlite:///{base}#messages", Columns("text", "label", group="thread"))
    assert [(r.text, r.group) for r in table.rows] == [("one", "1.5"), ("中文", None), ("NA", "2.0")]


def test_a_path_keeps_what_an_entry_means(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands take a Path, which makes one slash of several."""
    monkeypatch.chdir(base.parent)
    for entry in (f"sqlite:///{base}#messages", "sqlite:///x.db#messages"):
        assert len(read(Path(entry), COLUMNS).rows) == 3
    assert placed("sqlite:///x.db#messages", base.parent) == f"sqlite:///{base}#messages"
    assert placed(Path("postgresql://u@h/d#t"), base.parent) == "postgresql://u@h/d#t"


def test_the_only_table_or_one_that_must_be_named(base: Path) -> None:
    with pytest.raises(DataError) as error:
        read(f"sqlite:///{base}", COLUMNS)
    assert error.value.problems[0].found == "2 tables, and none is named"
    assert error.value.problems[0].allowed == "messages, others"
    with pytest.raises(DataError, match=r"no table 'mesages'(.|\n)*did you mean 'messages'"):
        read(f"sqlite:///{base}#mesages", COLUMNS)
    made = sqlite3.connect(base)
    made.execute("DROP TABLE others")
    made.commit()
    made.close()
    assert len(read(f"sqlite:///{base}", COLUMNS).rows) == 3


@pytest.mark.parametrize("query", [
    "DELETE FROM messages", "DROP TABLE messages", "SELECT 1; DROP TABLE messages",
    "WITH x AS (SELECT 1) DELETE FROM messages",
])  # fmt: skip
def test_nothing_but_rows_is_asked_for(base: Path, query: str) -> None:
    before = base.read_bytes()
    with pytest.raises(DataError):
        read(f"sqlite:///{base}#{query}", COLUMNS)
    assert base.read_bytes() == before


def test_no_file_is_made_where_none_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data base says: unable to open database file"):
        read(f"sqlite:///{tmp_path / 'none.db'}#t", COLUMNS)
    assert not list(tmp_path.iterdir())


def test_a_wrong_query_says_what_the_data_base_says(base: Path) -> None:
    with pytest.raises(DataError, match="no such column: txt"):
        read(f"sqlite:///{base}#SELECT txt FROM messages", COLUMNS)
    with pytest.raises(DataError, match="no column 'label'"):
        read(f"sqlite:///{base}#SELECT text FROM messages", COLUMNS)


def test_one_text_that_is_not_utf8_costs_its_row(base: Path) -> None:
    made = sqlite3.connect(base)
    made.execute("INSERT INTO messages (text, label) VALUES (CAST(x'636166e9' AS TEXT), 1)")
    made.commit()
    made.close()
    rows = read(f"sqlite:///{base}#messages", COLUMNS)
    assert len(rows.rows) == 3
    assert [(e.reason, e.detail) for e in rows.events] == [("not_utf8", "text: byte 0xe9 at byte 3")]


@pytest.mark.parametrize("entry", [
    "postgresql://me:hunter2@host/db#t",
    "mysql+pymysql://me:hunter2@host/db#SELECT 1",
    "postgresql://host/db?user=me&password=hunter2#t",
    "postgresql://me:hun:ter2/hunter2@host/db#t",
])  # fmt: skip
def test_a_password_is_refused_and_never_shown(entry: str) -> None:
    with pytest.raises(DataError) as error:
        read(entry, COLUMNS)
    assert "hunter2" not in f"{error.value} {error.value.as_json()}"
    assert "${DB_PASSWORD}" in str(error.value)


def test_a_password_in_a_variable_stays_there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = "postgresql://me:${DB_SECRET}@127.0.0.1:1/db#t"
    monkeypatch.delenv("DB_SECRET", raising=False)
    with pytest.raises(DataError, match="the environment variable DB_SECRET is not set"):
        read(entry, COLUMNS)
    monkeypatch.setenv("DB_SECRET", "hunt/er@2")
    assert "hunt" not in query_of(entry).shown
    with pytest.raises(DataError) as error:  # whether the driver is here or not, nobody listens there
        read(entry, COLUMNS)
    assert "hunt" not in str(error.value)
    monkeypatch.setenv("PLACE", str(base))
    assert len(read("sqlite:///${PLACE}#messages", COLUMNS).rows) == 3


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    with pytest.raises(DataError, match=r"SQLAlchemy knows no data base 'nosuch'"):
        read("nosuch://host/db#t", COLUMNS)
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(DataError, match=r"pymysql(.|\n)*is not installed(.|\n)*pip install psycopg"):
        read("mysql+pymysql://host/db#t", COLUMNS)
    with pytest.raises(DataError, match="files are not fetched from other machines"):
        read("https://host/a.csv", COLUMNS)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(DataError, match=r"pip install 'tunewright\[data\]'"):
        read(f"sqlite:///{base}#messages", COLUMNS)


def test_content_is_that_of_the_rows_in_any_order(base: Path) -> None:
    one, other = (content(f"sqlite:///{base}#SELECT text FROM messages ORDER BY text {way}") for way in ("ASC", "DESC"))
    assert one == other
    assert one != content(f"sqlite:///{base}#SELECT text FROM messages WHERE text = 'one'")


def test_rows_are_streamed(tmp_path: Path) -> None:
    made = sqlite3.connect(tmp_path / "l.db")
    made.execute("CREATE TABLE t (text TEXT, label TEXT)")
    made.executemany("INSERT INTO t VALUES (?, 'a')", ((f"{'x' * 400} {i}",) for i in range(20_000)))
    made.commit()
    made.close()
    entry = f"sqlite:///{tmp_path / 'l.db'}#t"
    count, peak = 0, 0
    tracemalloc.start()
    try:
        for batch in read_batches(entry, COLUMNS, size=1000):
            count += len(batch.rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 6 << 20 < (tmp_path / "l.db").stat().st_size


def test_what_is_in_a_data_base_is_guessed(base: Path) -> None:
    made = sqlite3.connect(base)
    made.executemany("INSERT INTO messages (text, label) VALUES (?, ?)",
                     [(f"some message of {i} words", i % 2) for i in range(40)])  # fmt: skip
    made.commit()
    made.close()
    found = guess(f"sqlite:///{base}#SELECT text, label FROM messages")
    assert (found.text, found.label, found.task, found.format) == ("text", "label", "classification", "sql")


def test_errors_are_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"this is no data base" * 100)
    for entry in (f"sqlite:///{tmp_path / 'no.db'}#t", "sqlite://#t", "postgresql://[::1#t", "a2://#"):
        with pytest.raises(TunewrightError):
            read(entry, COLUMNS)
