"""Rows of a data base: a connection string, `#`, and a query or the name of a table. Through SQLAlchemy, read only.

    sqlite:///messages.db#SELECT text, label FROM messages
    postgresql://reader:${PGPASSWORD}@host/shop#reviews

Rows are streamed by a cursor on the server's side. Only queries are taken (SELECT, WITH, VALUES, TABLE), in a transaction
that is rolled back and that is read-only where the data base knows of such. Credentials stand in environment variables,
written `${NAME}`: an entry with a password in it is refused, so that none gets into a saved recipe, a run or an error.
A row's line is its number; order is the data base's own, unless the query has an ORDER BY.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.data.rows import Form, Item, Table

URL = re.compile(r"[a-zA-Z][a-zA-Z0-9]*(\+[a-zA-Z0-9_]+)?://")
_QUERY = re.compile(r"\s*(select|with|values|table)\b", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET = re.compile(r"pass|pwd|secret|token|key$", re.IGNORECASE)
_OF_FILES = ("http", "https", "ftp", "s3", "gs", "hdfs", "file", "hf")
_BATCH = 5000


@dataclass(frozen=True)
class Query:
    """A query (or a table's name) to the data base at `url`, whose variables are not filled in yet."""

    url: str
    query: str
    split: str = ""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return f"{self.url}#{self.query}" if self.query else self.url

    def table(self, form: Form, only: tuple[str, ...] | None) -> Table:
        rows = self._rows()
        columns = tuple(next(rows))
        items: Iterator[Item] = ((cells, line, 0, 0) for line, cells in enumerate(rows, 1))
        return Table(columns, items, "sql", encoding="")

    def content(self) -> str:
        """Does not depend on the order in which the data base hands out its rows."""
        total, rows = 0, self._rows()
        columns = repr(next(rows))
        for row in rows:
            total += int.from_bytes(hashlib.blake2b(repr(tuple(row)).encode("utf-8", "surrogatepass")).digest())
        return hashlib.sha256(f"{columns}{total % 2**512}".encode()).hexdigest()

    def _rows(self) -> Iterator[Sequence[Any]]:
        """The names of the columns, then row after row."""
        with self._connected() as connection:
            asked = self._asked(connection)
            found = connection.exec_driver_sql(asked, execution_options={"stream_results": True, "yield_per": _BATCH})
            if not found.returns_rows:
                raise _wrong(self, "the query gives no rows", "SELECT ... FROM ...")
            yield tuple(found.keys())
            for part in found.partitions():
                yield from part

    def _asked(self, connection: Any) -> str:
        if _QUERY.match(self.query):
            return self.query
        from sqlalchemy import inspect

        there = inspect(connection)
        tables = sorted([*there.get_table_names(), *there.get_view_names()])
        name = self.query or (tables[0] if len(tables) == 1 else "")
        schema, _, bare = name.rpartition(".")
        if name not in tables and not (schema and bare in there.get_table_names(schema)):
            found = f"there is no table {name!r}" if name else f"{len(tables)} tables, and none is named"
            raise DataError(
                Problem(where=self.shown, found=found, allowed=listed(tables) or "a data base with a table in it",
                        to_do=closest(name, tables) or f"name a table or a query: {self.url}#"
                        f"{tables[0] if tables else 'SELECT text, label FROM ...'}")
            )  # fmt: skip
        quoted = connection.dialect.identifier_preparer.quote
        return "SELECT * FROM " + ".".join(quoted(word) for word in ([schema] if schema else []) + [bare])

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection whose work is rolled back; what the driver says is said without the password.

        Raises:
            DataError: no SQLAlchemy or driver, a variable that is not set, or the data base refuses.
        """
        try:
            import sqlalchemy
        except ImportError:
            raise DataError(
                Problem(where=self.shown, found="SQLAlchemy, which speaks to data bases, is not installed",
                        to_do="pip install 'tunewright[data]'")
            ) from None  # fmt: skip
        url = _filled(self)
        secret = url.password
        try:
            engine = _engine(sqlalchemy, url)
        except ImportError as error:  # SQLAlchemy's NoSuchModuleError is another
            raise self._no_driver(f"{error.name or error} is not installed") from None
        except sqlalchemy.exc.NoSuchModuleError:
            raise self._no_driver(f"SQLAlchemy knows no data base {url.drivername!r}") from None
        try:
            with engine.connect() as connection:
                try:
                    yield connection
                finally:
                    connection.rollback()
        except sqlalchemy.exc.SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).splitlines()[0][:300]
            said = said.replace(str(secret), "***") if secret else said
            raise DataError(
                Problem(where=self.shown, found=f"the data base says: {said}", to_do="check the address and the query")
            ) from None
        finally:
            engine.dispose()

    def _no_driver(self, found: str) -> DataError:
        return DataError(
            Problem(where=self.shown, found=found, allowed="sqlite:///file.db, or a data base whose driver is installed",
                    to_do="pip install psycopg (postgresql+psycopg://), pymysql (mysql+pymysql://) or another driver")
        )  # fmt: skip


def query_of(entry: str) -> Query:
    """What a connection string with a query means.

    Raises:
        DataError: a password stands in it, or it asks for anything but rows.
    """
    url, _, query = entry.partition("#")
    made = Query(_masked(url), query.strip())
    if url.partition(":")[0].lower() in _OF_FILES:
        raise DataError(
            Problem(where=made.shown, found="files are not fetched from other machines", allowed="a file, a data base, hub:",
                    to_do="download it, and name the file")
        )  # fmt: skip
    if made.url != url:
        raise DataError(
            Problem(where=made.url, found="a password stands in the recipe, and would in every run",
                    allowed="the name of an environment variable", to_do=f"write ${{DB_PASSWORD}} in its place: "
                    f"{made.url.replace('***', '${DB_PASSWORD}')}, and set that variable")
        )  # fmt: skip
    if " " in made.query and not _QUERY.match(made.query):
        raise _wrong(made, f"{made.query.split()[0]!r} is no query", "SELECT, WITH, VALUES, or the name of a table")
    return made


def placed_query(entry: str, base: Path) -> str:
    """The entry with the path of an SQLite file made absolute."""
    found = re.match(r"(sqlite(?:\+\w+)?:///)([^/#?:][^#?]*)", entry)
    if found is None or found[2] == ":memory:":
        return entry
    return f"{found[1]}{os.path.normpath((base / found[2]).absolute())}{entry[found.end() :]}"


def _masked(url: str) -> str:
    """The connection string with `***` for every password that is no variable."""

    def hidden(found: re.Match[str]) -> str:
        return found[0] if _VARIABLE.fullmatch(found[2]) or not found[2] else f"{found[1]}***"

    head, mark, options = url.partition("?")
    head = re.sub(r"(://[^/@]*?:)([^@]*)(?=@)", hidden, head)
    pairs = [
        re.sub(r"([^=]*=)(.*)", hidden, pair) if _SECRET.search(pair.partition("=")[0]) else pair
        for pair in options.split("&")
    ]
    return head + mark + "&".join(pairs)


def _filled(query: Query) -> Any:
    """The URL with its variables filled in, each in its own part: a password may hold any character.

    Raises:
        DataError: a variable is not set, or this is no URL.
    """
    import sqlalchemy

    missing = [name for name in _VARIABLE.findall(query.url) if name not in os.environ]
    if missing:
        raise DataError(
            Problem(where=query.shown, found=f"the environment variable {missing[0]} is not set",
                    to_do=f"export {missing[0]}=... before the command")
        )  # fmt: skip

    def fill(part: str | None) -> str | None:
        return None if part is None else _VARIABLE.sub(lambda found: os.environ[found[1]], part)

    try:
        url = sqlalchemy.make_url(query.url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise _wrong(query, str(error), "dialect://user:${PASSWORD}@host/name") from None
    options = {
        name: fill(value) if isinstance(value, str) else tuple(fill(one) or "" for one in value)
        for name, value in url.query.items()
    }
    return url.set(username=fill(url.username), password=fill(url.password), host=fill(url.host),
                   database=fill(url.database), query=options)  # fmt: skip


def _engine(sqlalchemy: Any, url: Any) -> Any:
    if url.get_backend_name() != "sqlite":
        engine = sqlalchemy.create_engine(url, hide_parameters=True)
        readonly = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
        return engine.execution_options(**readonly)
    import sqlite3
    from urllib.parse import quote

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(f"file:{quote(url.database or '')}?mode=ro", uri=True, check_same_thread=False)
        made.text_factory = _text
        return made

    return sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.pool.NullPool)


def _text(raw: bytes) -> str | bytes:
    """One text that is not UTF-8 costs its row, not the whole query."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _wrong(query: Query, found: str, allowed: str) -> DataError:
    return DataError(Problem(where=query.shown, found=found, allowed=allowed, to_do="mend the entry in the recipe"))
