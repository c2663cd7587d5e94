"""JSON lines and arrays: faults by line and column, arrays as streams."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.json_rows import json_array, json_lines
from tunewright.data.lines import lines
from tunewright.data.rows import Fault


def by_line(data: bytes, cap: int = 1000) -> list[object]:
    return list(json_lines(lines([data], 0, cap), "utf-8", cap))


def array(data: bytes, chunk: int = 5, cap: int = 1000) -> list[object]:
    return list(json_array([data[i : i + chunk] for i in range(0, len(data), chunk)], "utf-8", 0, cap))


def reasons(found: list[object]) -> list[object]:
    return [x.reason if isinstance(x, Fault) else x[0] for x in found]  # type: ignore[index]


def test_faults_of_lines() -> None:
    data = b"\n".join([
        b'{"t": "ok\xe2\x80\xa8"}', b'{"t": "x",}', b'{"t": 1, "t": 2}', b'{"t": NaN}', b"[1]", b"", b'{"t": "\xff"}',
        b"[" * 100_000, b'{"t": ' + b"9" * 5000 + b"}", b'{"a": {"b": 1, "b": 2}}', b'{"t": "last"}\r',
    ])  # fmt: skip
    found = by_line(data, 200_000)
    assert reasons(found) == [
        {"t": "ok\u2028"}, "bad_json", "duplicate_key", "not_a_number", "bad_json", "blank_line", "not_utf8",
        "bad_json", "bad_json", "duplicate_key", {"t": "last"},
    ]  # fmt: skip
    assert found[1].detail.startswith("line 2, column 1")  # type: ignore[attr-defined]
    assert found[2].detail == 'line 3, column 10: "t" stands there twice'  # type: ignore[attr-defined]
    assert found[3].detail.startswith("line 4, column 7")  # type: ignore[attr-defined]


@given(
    st.lists(
        st.dictionaries(st.text(max_size=3), st.text(max_size=6) | st.lists(st.integers(), max_size=2), max_size=3)
    ),
    st.integers(1, 9),
    st.sampled_from([None, 1]),
)
def test_arrays_are_those_of_json(rows: list[object], chunk: int, indent: int | None) -> None:
    data = json.dumps(rows, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    found = array(data, chunk)
    assert [x[0] for x in found if not isinstance(x, Fault)] == json.loads(data)  # type: ignore[index]
    for value, line, offset, length in found:  # type: ignore[misc]
        assert json.loads(data[offset : offset + length]) == value
        assert line == 1 + data.count(b"\n", 0, offset)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", 'd"', "e\\\\"]),
            st.sampled_from([1, None, True, "x", '"', "\\\\", [], {"a": 1}]),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_a_key_that_stands_twice_is_never_missed(pairs: list[tuple[str, object]], ascii_only: bool) -> None:
    """The quick way through flat objects counts quotes; whether a key stands twice is known here."""
    cells = (f"{json.dumps(k, ensure_ascii=ascii_only)}: {json.dumps(v)}" for k, v in pairs)
    (found,) = by_line(f"{{{', '.join(cells)}}}".encode())
    twice = len({key for key, _ in pairs}) < len(pairs)
    assert reasons([found]) == ["duplicate_key" if twice else dict(pairs)]


def test_a_broken_element_costs_one_element() -> None:
    data = b'[\n {"t": "open,\n  "l": "a"},\n {"t": "b"},\n {"t": oops}, 7,\n {"t": "c"}\n]\n'
    for chunk in (1, 3, 1000):
        found = array(data, chunk)
        assert reasons(found) == ["bad_json", {"t": "b"}, "bad_json", "bad_json", {"t": "c"}]
        assert [x.line if isinstance(x, Fault) else x[1] for x in found] == [2, 4, 5, 5, 6]  # type: ignore[index]


def test_an_element_over_the_cap_is_skipped() -> None:
    data = b'[{"t": "' + b"x" * 5000 + b'"}, {"t": "b"}]'
    found = array(data, 64)
    assert reasons(found) == ["too_long_line", {"t": "b"}]
    assert (found[0].offset, found[0].length) == (1, 5009)  # type: ignore[attr-defined]


@given(st.text(alphabet='[]{},":\\\n 1a', max_size=40), st.integers(1, 5))
def test_garbage_raises_nothing(text: str, chunk: int) -> None:
    array(b"[" + text.encode(), chunk, 10)
