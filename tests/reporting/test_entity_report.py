"""The report on named entities, in the page and in the terminal."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import fake_runs
import pytest
from entity_runs import IDS, SPANS, TEXTS, TYPES, card, entities, write_entities
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outlines import Outline, outline
from wrong_values import json_values, places

from tunewright import screen
from tunewright.reporting import LIMIT, render, standings
from tunewright.reporting.entities import SPANS as MOST_SPANS
from tunewright.reporting.entities import Marked, flips, mistakes, types
from tunewright.reporting.loading import load
from tunewright.reporting.quotes import flips as plain_flips
from tunewright.reporting.quotes import mistakes as plain_mistakes


def between(words: str, start: str, end: str) -> str:
    return words[words.index(start) : words.index(end)]


def marked(folder: Path, which: int) -> list[Marked]:
    files = load(folder)
    return list(mistakes(files, plain_mistakes(files))[which].marked)


def said(side: Marked) -> list[tuple[str, str, str]]:
    return [(piece.text, piece.type, piece.kind) for piece in side.pieces if piece.type]


def test_a_run_has_its_own_sections_and_nothing_of_classification(tmp_path: Path) -> None:
    page = outline(write_entities(tmp_path / "run"))
    anchors = [str(found["id"]) for tag, found in page.tags if tag == "section"]
    assert anchors[3:6] == ["types", "mistakes", "flips"] and "classes" not in anchors and "calibration" not in anchors
    links = [str(link["href"]) for link in page.all("a") if link.get("class") != "skip"]
    assert links[: len(anchors)] == [f"#{name}" for name in anchors]
    words = page.words()
    for foreign in ("Confusion matrix", "Classes", "accuracy or", "Accuracy Contender"):
        assert foreign not in words
    assert not {"gap", "notice"} & {found.get("class") for found in page.all("p")}
    assert all(found.get("scope") in {"row", "col"} for found in page.all("th"))


def test_types_stand_by_frequency_with_their_figures_and_the_rivals(tmp_path: Path) -> None:
    words = outline(write_entities(tmp_path / "run")).words()
    part = between(words, "Where it is right and wrong, by type", "Kinds of errors")
    at = [part.index(f" {kind} ") for kind in TYPES[:4]]
    assert at == sorted(at) and "F1 of Window features + logistic regression" in part
    assert "99.0% [95.8, 100.0] 97.1%" in part
    ladder = between(words, "The ladder of contenders", "Paired comparisons")
    assert "F1, entities Contender" in ladder and "95.3% [94.1, 96.5]" in ladder and "Precision, entities" in ladder


def test_errors_are_counted_by_kind(tmp_path: Path) -> None:
    words = outline(write_entities(tmp_path / "run")).words()
    part = between(words, "Kinds of errors", "The texts with the most wrong spans")
    assert "Right start, end and type as in the gold spans 1,553 1,485" in part
    assert "Boundary the right type, but it begins or ends elsewhere 31 58" in part
    assert "Invented an answer that touches no gold span 55 55" in part


def test_spans_are_marked_with_what_is_wrong_of_them(tmp_path: Path) -> None:
    folder = write_entities(tmp_path / "run")
    gold, answer = marked(folder, 1)
    assert (gold.side, answer.side) == ("gold", "answer")
    assert said(gold) == [
        ("Angela Merkel", "NAME", "differs"), ("Volkswagen AG", "ORG", "right"),
        ("European Central Bank", "ORG", "missed"), ("São Paulo", "LOC", "differs"),
    ]  # fmt: skip
    assert said(answer) == [
        ("Angela", "NAME", "differs"), ("Merkel", "NAME", "differs"), ("Volkswagen AG", "ORG", "right"),
        ("São", "LOC", "differs"), ("Tuesday", "TITLE", "invented"),
    ]  # fmt: skip
    assert "".join(piece.text for piece in answer.pieces) == TEXTS[1]
    assert marked(folder, 0)[0].language == "zh"


def test_marks_differ_by_more_than_colour(tmp_path: Path) -> None:
    page = render(write_entities(tmp_path / "run")).read_text(encoding="utf-8")
    part = page[page.index('id="mistakes"') : page.index('id="flips"')]
    for sign, kind in (("−", "missed: "), ("+", "invented: "), ("≠", "differs: ")):
        assert f'<span aria-hidden="true">{sign}</span><span class="visually-hidden"> ({kind}</span>' in part
    assert '<mark class="invented"><bdi>Nobody</bdi>' in part
    assert "&lt;b&gt;nothing&lt;/b&gt;" in part and "<b>nothing" not in part
    assert 'dir="auto"' in part and "7 spans differ" in part and "1 span differs" in part


def test_a_long_text_is_shown_around_what_differs(tmp_path: Path) -> None:
    gold, answer = marked(write_entities(tmp_path / "run"), 3)
    assert gold.pieces[0].text == "…" and said(gold) == [("Rome", "LOC", "missed")] and said(answer) == []
    assert sum(len(piece.text) for piece in gold.pieces) < 430
    assert "".join(p.text for p in gold.pieces) == "".join(p.text for p in answer.pieces)


def test_offsets_hold_where_a_text_has_two_signs_for_a_line_break(tmp_path: Path) -> None:
    gold, _ = marked(write_entities(tmp_path / "run"), 5)
    assert [text for text, _, _ in said(gold)] == ["Ann Lee", "Bob", "Oslo"]
    assert "\r" not in "".join(piece.text for piece in gold.pieces)


def test_flips_are_marked_too(tmp_path: Path) -> None:
    files = load(write_entities(tmp_path / "run"))
    found = flips(files, plain_flips(files))
    assert found is not None and found.gained_total == "61"
    before, now = found.gained[1].marked
    assert (before.side, now.side) == ("before", "now right")
    assert {kind for _, _, kind in said(now)} == {"right"} and "invented" in {kind for _, _, kind in said(before)}
    before, now = found.lost[1].marked
    assert {kind for _, _, kind in said(before)} == {"right"} and "differs" in {kind for _, _, kind in said(now)}
    words = outline(write_entities(tmp_path / "again")).words()
    assert "An item is right where all of its spans are." in words and "[[0" not in words


def test_a_text_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = write_entities(tmp_path / "run")
    fake_runs.write_lines(folder / "data/test.jsonl", [])
    words = outline(folder).words()
    assert f"The text of item {IDS[0]} is not in the run folder." in words and "7 spans differ" in words


def test_many_types_and_long_texts_stay_below_the_limit(tmp_path: Path) -> None:
    found = entities()
    for one in found["contenders"]:
        one["per_type"] = [{**one["per_type"][0], "type": f"type {k} " + "&" * 300} for k in range(3000)]
    many = [[2 * k, 2 * k + 1, "&" * 500] for k in range(5000)]
    found["mistakes"] = [{"id": one, "gold": many, "output": [], "wrong": 5000} for one in IDS[:20]]
    rows = {**card(), "types": [{"type": f"t{k}", "train": 3, "share": 0.1} for k in range(3000)]}
    folder = write_entities(tmp_path / "run", found, card=rows)
    fake_runs.write_lines(folder / "data/test.jsonl", [{"id": one, "text": "<" * 50_000} for one in IDS[:20]])
    assert render(folder).stat().st_size < LIMIT
    assert len(said(marked(folder, 0)[0])) <= MOST_SPANS
    words = outline(folder).words()
    assert "160 rarer types" in words and "2,800 still rarer types" in words and "2,800 more types stand" in words


def test_the_data_chapter_counts_types_and_names_the_scheme(tmp_path: Path) -> None:
    words = outline(write_entities(tmp_path / "run")).words()
    part = between(words, "The data and what became of every row", "Speed and memory")
    assert "Types Type Train Validation Test" in part and "TITLE 5,404 772 772 47.4%" in part
    assert "Spans an item, mean 3.49 most 27 items with none 139" in part and "written as BMES" in part


def test_the_terminal_shows_the_ladder_and_the_types(capsys: pytest.CaptureFixture[str]) -> None:
    found = entities()
    ladder, parts = standings.ladder(found), standings.parts(found)
    assert ladder.columns == ["", "F1", "95% interval", "precision", "recall"]
    assert ladder.lines[0] == ["Fine-tuned bert", "95.3%", "94.1 to 96.5", "94.3%", "96.3%"] and ladder.bold == 0
    assert parts is not None and parts.columns == ["type", "entities", "precision", "recall", "F1"]
    assert parts.lines[0] == ["TITLE", "772", "97.0%", "100.0%", "99.0%"]
    screen.judged(found)
    assert "TITLE" in capsys.readouterr().out


def test_the_terminal_says_what_the_rows_hold(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"classes": {}, "types": card()["types"], "spans_per_item": card()["spans_per_item"]}
    screen._gold(facts)
    told = capsys.readouterr().out
    assert "TITLE 6948" in told and "3.49 spans on average, at most 27; 139 have none" in told


CAUGHT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=25, deadline=None, suppress_health_check=CAUGHT)
@given(data=st.data(), value=json_values)
def test_no_value_of_the_evidence_breaks_the_page(tmp_path: Path, data: st.DataObject, value: Any) -> None:
    found = copy.deepcopy(entities())
    roots = [("mistakes", 0), ("mistakes", 1), ("flips",), ("contenders", 3)]
    root = data.draw(st.sampled_from(roots))
    inner: Any = found
    for key in root:
        inner = inner[key]
    place = data.draw(st.sampled_from(places(inner)[1:]))
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    text = json.dumps(found)
    folder = write_entities(tmp_path / "run")
    (folder / "evidence.json").write_text(text, encoding="utf-8")
    try:
        page = Outline(render(folder).read_text(encoding="utf-8"))
    except Exception as error:
        from tunewright.core.errors import RunDamaged

        assert isinstance(error, RunDamaged)
        return
    assert page.all("section")


def test_other_tasks_have_none_of_it() -> None:
    assert types(fake_runs.evidence()) is None
    assert [spans for spans in SPANS if not spans[0]] == [([], [[0, 6, "NAME"]])]
