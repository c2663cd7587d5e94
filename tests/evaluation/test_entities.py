"""Evidence, files and baselines of named entities."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.errors import DataError, RunDamaged
from tunewright.core.outcomes import Entities, Span
from tunewright.core.records import Record, Source
from tunewright.core.spans import canonical, fault, parsed
from tunewright.evaluation import Contender, compare_runs, entity_baselines, gather, read, write
from tunewright.evaluation.entity_baselines import TokenFeatures, lexicon, linear, majority, tfidf, windows, word_places
from tunewright.evaluation.shapes.entities import KINDS, errors_of
from tunewright.metrics import TASKS

TYPES = ("LOC", "PER")
F1 = TASKS["token_classification"].metric("f1")


def contender(name: str, n: int, skill: float, seed: int, unlabelled: int = 0) -> Contender:
    """Finds a share of the entities; the gold is the same for all."""
    rng, luck = np.random.default_rng(99), np.random.default_rng(seed)
    gold: list[tuple[Span, ...] | None] = []
    output: list[tuple[Span, ...]] = []
    for i in range(n):
        spans = [(10 * k, 10 * k + int(rng.integers(2, 8)), TYPES[rng.integers(2)]) for k in range(rng.integers(0, 5))]
        found = []
        for start, end, kind in spans:
            hit = luck.random()
            if hit < skill:
                found.append((start, end, kind))
            elif hit < skill + 0.1:
                found.append((start, end + 1, kind))
            elif hit < skill + 0.2:
                found.append((start, end, TYPES[kind == "LOC"]))
        gold.append(None if i < unlabelled else tuple(spans))
        output.append(tuple(found))
    p = Entities(name, "test", TYPES, tuple(f"i{i}" for i in range(n)), tuple(gold), tuple(output), np.full(n, 0.001))
    return Contender(p, name, "tuned" if name == "tuned" else "baseline")


def ladder(n: int = 200, **more: Any) -> list[Contender]:
    made = (("tuned", 0.8), ("majority", -1.0), ("lexicon", 0.4), ("tfidf", 0.6))
    return [contender(name, n, skill, seed, **more) for seed, (name, skill) in enumerate(made)]


# Evidence


def test_structure_is_the_contracts() -> None:
    found = gather(ladder(unlabelled=3))
    assert found["task"] == "token_classification" and found["items"] == 197
    assert found["verdict"]["outcome"] == "better" and found["verdict"]["metric"] == "f1"
    assert "entity F1" in found["verdict"]["sentence"] and found["verdict"]["against"] == "tfidf"
    for one in found["contenders"]:
        assert list(one["errors"]) == list(KINDS)
        assert [row["type"] for row in one["per_type"]] == list(TYPES)
        assert one["confusion"] == [] and one["calibration"] == {"bins": []} and one["per_class"] == []
    assert {c["metric"] for c in found["comparisons"]} == {"f1", "precision", "recall", "f1_macro"}
    assert all(c["test"] == "paired bootstrap" for c in found["comparisons"])
    assert set(found["mistakes"][0]) == {"id", "gold", "output", "wrong"}
    json.dumps(found, allow_nan=False)


def test_figures_of_types_are_those_of_the_predictions() -> None:
    tuned = ladder()[0]
    p = tuned.predictions
    assert isinstance(p, Entities)
    rows = gather([tuned, ladder()[2]])["contenders"][0]["per_type"]
    for row in rows:
        pairs = [({s for s in g or () if s[2] == row["type"]}, {s for s in o if s[2] == row["type"]}) for g, o in zip(p.gold, p.output, strict=True)]  # fmt: skip  # noqa: E501
        right, gold, output = (sum(map(len, found)) for found in (
            [g & o for g, o in pairs], [g for g, _ in pairs], [o for _, o in pairs]))  # fmt: skip
        assert row["support"] == gold
        expected = {"precision": right / output, "recall": right / gold, "f1": 2 * right / (gold + output)}
        for name, value in expected.items():
            assert row[name]["value"] == pytest.approx(value)
            assert row[name]["low"] < value < row[name]["high"] and row[name]["high"] - row[name]["low"] < 0.25


@pytest.mark.parametrize(
    ("gold", "output", "kinds"),
    [
        ([(0, 2, "X")], [(0, 2, "X")], {"right": 1}),
        ([(0, 2, "X")], [(0, 3, "X")], {"boundary": 1}),
        ([(0, 2, "X")], [(1, 3, "X")], {"boundary": 1}),
        ([(0, 2, "X")], [(0, 2, "Y")], {"type": 1}),
        ([(0, 2, "X")], [(0, 3, "Y")], {"type": 1}),
        ([(0, 2, "X")], [], {"missed": 1}),
        ([], [(0, 2, "X")], {"invented": 1}),
        ([(0, 2, "X")], [(2, 4, "X")], {"missed": 1, "invented": 1}),
        ([(0, 9, "X")], [(0, 2, "X"), (5, 9, "X")], {"split_or_merged": 1}),
        ([(0, 2, "X"), (2, 4, "X")], [(0, 4, "X")], {"split_or_merged": 1}),
        ([(0, 4, "X"), (6, 9, "X")], [(2, 7, "X"), (8, 12, "X")], {"split_or_merged": 1}),
        ([(0, 2, "X"), (3, 5, "Y"), (8, 9, "X")], [(0, 2, "X"), (3, 6, "Y"), (7, 8, "X")],
         {"right": 1, "boundary": 1, "missed": 1, "invented": 1}),
    ],
)  # fmt: skip
def test_errors_are_told_apart(gold: list[Span], output: list[Span], kinds: dict[str, int]) -> None:
    assert +errors_of(gold, output) == kinds


def test_mistakes_and_flips() -> None:
    tuned, _, _, tfidf = ladder()
    found = gather([tuned, tfidf])
    wrong = [row["wrong"] for row in found["mistakes"]]
    assert wrong == sorted(wrong, reverse=True) and len(wrong) == 30
    a, b = tuned.predictions, tfidf.predictions
    assert isinstance(a, Entities) and isinstance(b, Entities)
    gained = sum(g == x and g != y for g, x, y in zip(a.gold, a.output, b.output, strict=True))
    assert found["flips"]["gained_total"] == gained > 0
    first = found["flips"]["gained"][0]
    assert first["to"] == first["gold"] != first["from"]


def test_nothing_is_claimed_where_there_is_no_entity() -> None:
    p = ladder()[0].predictions
    assert isinstance(p, Entities)
    empty = replace(p, gold=tuple(() for _ in p.ids), output=tuple(() for _ in p.ids))
    found = gather([Contender(empty, "t", "tuned"), Contender(replace(empty, contender="lexicon"), "l")])
    assert "neither an entity nor an output" in found["verdict"]["sentence"]
    assert found["contenders"][0]["per_type"][0]["f1"]["value"] is None and found["mistakes"] == []


def test_same_evidence_whatever_the_order_of_items_and_from_disk(tmp_path: Path) -> None:
    first = ladder(unlabelled=2)
    order = np.random.default_rng(0).permutation(200)
    again = [first[0], *(replace(c, predictions=c.predictions.taken(order)) for c in first[1:])]
    assert gather(first, resamples=200) == gather(again, resamples=200)
    from_disk = [read(write(tmp_path, c)) for c in first]
    assert gather(first, resamples=200) == gather(from_disk, resamples=200)
    line = json.loads((tmp_path / "predictions" / "tuned.test.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert line["gold"] is None and set(line) == {"id", "gold", "output", "seconds"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output": None}, "output must be a list of"),
        ({"output": [[0, 1]]}, "output must be a list of"),
        ({"output": [[0.0, 1, "PER"]]}, "output must be a list of"),
        ({"gold": [[True, 2, "PER"]]}, "gold must be a list of"),
        ({"output": [[2, 1, "PER"]]}, "sorted spans that do not overlap"),
        ({"output": [[0, 3, "PER"], [2, 5, "PER"]]}, "sorted spans that do not overlap"),
        ({"output": [[5, 6, "PER"], [0, 3, "PER"]]}, "sorted spans that do not overlap"),
        ({"output": [[0, 3, "MISC"]]}, "not among the header's labels"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = write(tmp_path, ladder()[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] = json.dumps({**json.loads(lines[3]), **change})
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(RunDamaged, match=r"line 4") as error:
        read(path)
    assert said in str(error.value)


def test_runs_with_other_types_are_compared(tmp_path: Path) -> None:
    for name, types in (("a", ("LOC", "PER")), ("b", ("LOC", "ORG", "PER"))):
        for c in ladder()[:2]:
            p = c.predictions
            assert isinstance(p, Entities)
            write(tmp_path / name, replace(c, predictions=replace(p, labels=types)))
    found = compare_runs(tmp_path / "a", tmp_path / "b")
    assert found["verdict"]["outcome"] == "can't tell"


# Baselines


def record(text: str, spans: Sequence[Span] | None, n: int = 0) -> Record:
    return Record(f"r{n}", text, None if spans is None else canonical(spans), Source("x", n))


def marked(text: str, n: int = 0) -> Record:
    """A record from `Ann_PER lives in Rome_LOC`."""
    plain, spans = "", list[Span]()
    for word in text.split():
        plain += " " if plain else ""
        name, _, kind = word.partition("_")
        if kind:
            spans.append((len(plain), len(plain) + len(name), kind))
        plain += name
    return record(plain, spans, n)


def travellers(n: int, seed: int = 0) -> list[Record]:
    """People are told by `Mr`, places by `in`; the names themselves are new each time."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        word = lambda: "".join(rng.choice(list("abcdefgh"), 5))  # noqa: E731
        rows.append(marked(f"today Mr {word()}_PER stays in {word()}_LOC again {word()}", i))
    return rows


def value(c: Contender) -> float:
    found = F1.value(c.predictions)
    assert found is not None
    return float(found)


def output(c: Contender) -> list[tuple[Span, ...]]:
    assert isinstance(c.predictions, Entities)
    for spans in c.predictions.output:
        assert fault(spans, float("inf")) is None
    return list(c.predictions.output)


def test_nothing_anywhere() -> None:
    found = majority(travellers(5), travellers(3, 1))
    assert output(found) == [(), (), ()] and value(found) == 0.0 and found.title == "No entities"


def test_the_lexicon_takes_the_longest_name_and_its_commonest_type() -> None:
    train = [marked("Paris_LOC"), marked("Paris_PER Paris_LOC"), record("Paris Hilton", [(0, 12, "PER")])]
    items = [record(text, []) for text in ("Paris Hilton in Paris", "Parisian", "paris", "xParis Paris.", "")]
    assert output(lexicon(train, items)) == [
        ((0, 12, "PER"), (16, 21, "LOC")), (), (), ((7, 12, "LOC"),), (),
    ]  # fmt: skip


def test_the_lexicon_leaves_out_what_is_mostly_no_name() -> None:
    train = [marked("May_PER went"), *(record(f"May {i}", [], i) for i in range(3)), marked("Ann_PER may", 9)]
    assert output(lexicon(train, [record("Ann and May", [])])) == [((0, 3, "PER"),)]


def test_chinese_names_are_found_within_a_text() -> None:
    train = [record("王五在北京大学", [(0, 2, "PER"), (3, 7, "ORG")]), record("北京", [(0, 2, "LOC")], 1)]
    assert output(lexicon(train, [record("他叫王五，北京大学，北京", [])])) == [
        ((2, 4, "PER"), (5, 9, "ORG"), (10, 12, "LOC"))
    ]


def test_window_features_learn_what_stands_around() -> None:
    train, items = travellers(60), travellers(40, 1)
    assert value(lexicon(train, items)) == 0.0
    found = tfidf(train, items, validation=travellers(10, 2))
    assert value(found) == 1.0 and found.name == "tfidf"
    assert output(found) == output(tfidf(train, items, validation=travellers(10, 2)))


def test_words_and_their_windows() -> None:
    assert word_places("Ann's 王五, PMP3").tolist() == [[0, 3], [3, 4], [4, 5], [6, 7], [7, 8], [8, 9], [10, 14]]
    first = next(windows("Ann ran", word_places("Ann ran")))
    assert {"0=ann", "-1=<", "+1=ran", "s=Xx", "end=ann"} <= set(first)
    assert list(windows("", word_places(""))) == []


def vectors(records: Sequence[Record], dead: bool = False) -> list[TokenFeatures]:
    """Words as tokens between two special ones; the vector says what the word before was, and some noise."""
    out = []
    for r in records:
        words = r.text.split()
        ends = np.cumsum([len(w) + 1 for w in words])
        at = [(0, 0), *((int(e) - len(w) - 1, int(e) - 1) for w, e in zip(words, ends, strict=True)), (0, 0)]
        before = ["", "", *words][: len(words)]
        told = np.array([[w == "Mr", w == "in", 1.0] for w in ["", *words][: len(words)]]).reshape(-1, 3)
        assert len(before) == len(words)
        full = np.concatenate([np.full((1, 3), 7.0), told, np.full((1, 3), 7.0)])
        out.append(TokenFeatures(full * 0 if dead else full, np.array(at, np.int64)))
    return out


def test_a_linear_head_on_vectors_of_tokens() -> None:
    train, items, held = travellers(60), travellers(40, 1), travellers(10, 2)
    found = linear(
        vectors(train), train, vectors(items), items,
        validation_features=vectors(held), validation=held, labels=TYPES, seconds=0.5,
    )  # fmt: skip
    assert value(found) == 1.0 and found.predictions.seconds is not None and found.predictions.seconds[0] > 0.5
    assert value(linear(vectors(train, True), train, vectors(items, True), items)) == 0.0


def test_tokens_beyond_the_limit_are_missed() -> None:
    train, items = travellers(60), travellers(40, 1)
    cut = [TokenFeatures(f.vectors[:5], f.offsets[:5]) for f in vectors(items)]
    found = linear(vectors(train), train, cut, items)
    assert {kind for spans in output(found) for _, _, kind in spans} == {"PER"}
    assert 0.6 < value(found) < 0.7


def test_many_tokens_are_not_all_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity_baselines, "MOST_TOKENS", 100)
    train, items = travellers(60), travellers(20, 1)
    assert value(linear(vectors(train), train, vectors(items), items)) == 1.0
    pairs = list(zip(vectors(train), train, strict=True))
    kept = entity_baselines._some(pairs, 0)
    assert sum(len(f.offsets) for f, _ in kept) <= 100
    back = entity_baselines._some(pairs[::-1], 0)
    assert {r.id for _, r in kept} == {r.id for _, r in back}


@pytest.mark.parametrize("name", ["lexicon", "tfidf", "majority"])
def test_small_and_odd_training_sets(name: str) -> None:
    fit = getattr(entity_baselines, name)
    items = [record("Ann", [(0, 3, "PER")]), record("", []), record("  ", None, 2)]
    for train in (
        [record("x", [])],
        [record("Ann", [(0, 3, "PER")])],
        [record("Ann", None, 5), record("!", [])],
        [record("", [])],
    ):
        assert len(output(fit(train, items, labels=TYPES))) == 3
    assert output(fit([record("Ann", [(0, 3, "PER")])], [], labels=TYPES)) == []
    with pytest.raises(DataError, match="no training item has a label"):
        fit([record("x", None)], items)
    with pytest.raises(DataError, match="types PER"):
        fit([record("Ann", [(0, 3, "PER")])], items, labels=("LOC",))


def test_on_the_resumes(shared: Path) -> None:
    from tunewright.data import Columns, Options, prepare
    from tunewright.data import gather as rows_of

    place = shared / "data" / "resume_ner"
    options = Options(
        train=(str(place / "train.char.bmes"),), validation=(str(place / "dev.char.bmes"),),
        test=(str(place / "test.char.bmes"),), columns=Columns("text"), task="token_classification",
    )  # fmt: skip
    found = prepare(rows_of(options), options, 0)
    train, test = found.splits["train"][:800], found.splits["test"]
    known, learnt = lexicon(train, test, labels=found.labels), tfidf(train, test, labels=found.labels)
    assert 0.3 < value(known) < value(learnt) < 0.95
    evidence = gather([replace(learnt, role="tuned"), known])
    assert evidence["verdict"]["outcome"] == "better" and evidence["entities"] == sum(
        len(parsed(r.label or "[]")) for r in test
    )
