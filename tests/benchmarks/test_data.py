"""The data side's benchmark: its rows are what it says, its gates hold at a small size, and it runs from end to end."""

from __future__ import annotations

import argparse

import pytest

import data
import data_copies
import data_rows
import data_streaming


def test_rows_are_half_chinese_of_realistic_lengths_and_keyed() -> None:
    some = data_rows.texts(1600, 800)
    english = [text for text in some if " " in text]
    assert 0.45 < len(english) / len(some) < 0.55
    assert 115 < sum(map(len, english)) / len(english) < 145
    assert some[:800] == data_rows.texts(800, 800)


def test_recall_is_no_lower_than_datasketch() -> None:
    pytest.importorskip("datasketch")
    found = data_copies.measured(400, 100, 400)
    assert found.pairs > 10
    assert found.our_recall >= max(found.their_recall, 0.99)
    assert found.ours > 3 * found.theirs


def test_a_streamed_run_balances_and_is_measured() -> None:
    found = data_streaming.measured(2000, 1)
    assert found.balances and found.clusters > 20 and sum(found.splits.values()) + found.duplicates == 2000
    assert found.peak_mib > 10 and found.seconds > 0


def test_parts_make_tables() -> None:
    asked = argparse.Namespace(rows=[500], processes=1)
    table = data.PARTS["streaming"](asked)
    assert table[0].startswith("Clean, deduplicate and divide") and table[-1].startswith("| 500 |")
    assert len({line.count("|") for line in table[2:]}) == 1
