"""ROUGE is rouge_score's; BLEU and chrF are sacrebleu's: on random and on real texts, for corpora and for resamples."""

from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from tunewright.core.errors import RecipeError
from tunewright.metrics import rouge, sacre, score_pair

ROUGES = {
    "rouge1": lambda gold, output: rouge.rouge_n(gold, output, 1),
    "rouge2": lambda gold, output: rouge.rouge_n(gold, output, 2),
    "rougeL": rouge.rouge_l,
    "rougeLsum": rouge.rouge_lsum,
}
SCORER = RougeScorer(list(ROUGES))
TEXT = st.text(alphabet=st.sampled_from("aabbcdé ß \n\n.,-_7Ü"), max_size=60)
LATIN = st.text(alphabet=st.characters(max_codepoint=0x36F), max_size=30)


def same_rouge(gold: str, output: str) -> None:
    reference = SCORER.score(gold, output)
    for name, ours in ROUGES.items():
        assert ours(gold, output) == pytest.approx(reference[name].fmeasure, abs=1e-12), (name, gold, output)


@given(TEXT | LATIN, TEXT | LATIN)
@settings(max_examples=400, deadline=None)
def test_rouge_of_random_texts(gold: str, output: str) -> None:
    same_rouge(gold, output)


def test_rouge_by_pencil() -> None:
    assert rouge.rouge_n("testing one two", "testing", 1) == 0.5
    assert rouge.rouge_n("a b c", "a b d", 2) == 0.5, "one of two pairs each"
    assert rouge.rouge_l("the cat sat down", "the dog sat up down") == pytest.approx(
        2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4)
    )
    assert rouge.rouge_lsum("a b\nc d", "c d\na b") == 1.0 != rouge.rouge_l("a b\nc d", "c d\na b") == 0.5
    assert rouge.common("abcbdab", "bdcaba") == 4
    assert {f("", "a") for f in ROUGES.values()} == {0.0} == {f("a", "") for f in ROUGES.values()}


def test_scripts_that_rouge_score_cannot_read() -> None:
    assert SCORER.score("今天天气很好", "今天天气很好")["rouge1"].fmeasure == 0.0
    assert {f("今天天气很好", "今天天气很好") for f in ROUGES.values()} == {1.0}
    assert rouge.tokens("我有2个iPhone。") == ["我", "有", "2", "个", "iphone"]
    assert rouge.rouge_l("今天天气很好", "今天很好") == pytest.approx(2 * 4 / (6 + 4))
    assert rouge.tokens("Привет, мир") == ["привет", "мир"] and rouge.tokens("ไท") == ["ไ", "ท"]


@pytest.fixture(scope="session")
def real(shared: Path) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Gold texts and plausible outputs: the same with words lost, swapped and from the next text."""
    rng, found = random.Random(0), {}

    def spoilt(text: str, other: str) -> str:
        words = [word for word in text.split(" ") if rng.random() < 0.8]
        if len(words) > 3 and rng.random() < 0.5:
            words[1:3] = words[2:0:-1]
        return " ".join([*words, *other.split(" ")[:2]])

    for language in ("en", "de"):
        lines = (shared / f"data/multi30k/train5k.{language}").read_text(encoding="utf-8").splitlines()[:401]
        found[language] = lines
    rows = (shared / "data/dialogsum/dialogsum.dev.jsonl").read_text(encoding="utf-8").splitlines()[:101]
    found["summaries"] = [json.loads(row)["summary"] for row in rows]
    found["dialogues"] = [json.loads(row)["dialogue"] for row in rows[:41]]
    chinese = json.loads((shared / "data/instructions/alpaca_zh_demo.json").read_text(encoding="utf-8"))[:101]
    found["zh"] = [row["output"][:300] for row in chinese]
    return {
        name: (tuple(texts[:-1]), tuple(spoilt(a, b) for a, b in itertools.pairwise(texts)))
        for name, texts in found.items()
    }


@pytest.mark.parametrize("name", ["en", "de", "summaries", "dialogues"])
def test_rouge_of_real_texts(real: dict[str, tuple[tuple[str, ...], tuple[str, ...]]], name: str) -> None:
    for gold, output in zip(*real[name], strict=True):
        same_rouge(gold, output)


@pytest.mark.parametrize("name", ["en", "de", "summaries", "dialogues", "zh"])
def test_bleu_and_chrf_of_real_texts_and_of_resamples(
    real: dict[str, tuple[tuple[str, ...], tuple[str, ...]]], name: str
) -> None:
    gold, output = real[name]
    tokenize = sacre.tokenizer(gold)
    assert tokenize == ("zh" if name == "zh" else "13a")
    n = len(gold)
    for rows in [np.arange(n), *(np.random.default_rng(seed).integers(0, n, n) for seed in range(3))]:
        golds, outputs = [gold[i] for i in rows], [output[i] for i in rows]
        bleu = sacrebleu.corpus_bleu(outputs, [golds], tokenize=tokenize).score
        assert 5 < bleu < 95
        assert float(sacre.bleu(sacre.bleu_columns(gold, output)[rows].mean(axis=0))) == pytest.approx(bleu, abs=1e-9)
        chrf = sacrebleu.corpus_chrf(outputs, [golds]).score
        assert float(sacre.chrf(sacre.chrf_columns(gold, output)[rows].mean(axis=0))) == pytest.approx(chrf, abs=1e-9)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_bleu_and_chrf_of_random_corpora(pairs: list[tuple[str, str]]) -> None:
    """Short ones: counts of 0, which are smoothed, and texts too short for four words."""
    gold, output = (tuple(side) for side in zip(*pairs, strict=True))
    bleu = sacrebleu.corpus_bleu(output, [gold], force=True).score
    assert float(sacre.bleu(sacre.bleu_columns(gold, output).mean(axis=0))) == pytest.approx(bleu, abs=1e-9)
    chrf = sacrebleu.corpus_chrf(output, [gold]).score
    assert float(sacre.chrf(sacre.chrf_columns(gold, output).mean(axis=0))) == pytest.approx(chrf, abs=1e-9)


def test_signatures_say_how_texts_were_cut() -> None:
    assert "|tok:13a|smooth:exp|" in sacre.signatures(["A dog."])["bleu"]
    assert "|tok:zh|" in sacre.signatures(["一只狗在跑。"])["bleu"]
    assert "|tok:char|" in sacre.signatures(["犬がはしっています。"])["bleu"]
    assert "|nc:6|nw:0|" in sacre.signatures(["A dog."])["chrf"]


def test_the_score_of_one_text() -> None:
    gold, output = "the cat sat on the mat", "the cat is on the mat"
    assert score_pair("bleu", gold, output) == pytest.approx(sacrebleu.sentence_bleu(output, [gold]).score / 100)
    assert score_pair("chrf", gold, output) == pytest.approx(sacrebleu.sentence_chrf(output, [gold]).score / 100)
    assert score_pair("rougeL", gold, output) == pytest.approx(5 / 6) == score_pair("rouge1", gold, output)
    assert score_pair("exact_match", gold, gold) == 1.0 > score_pair("exact_match", gold, output)
    for name in ("rougeL", "rouge1", "rouge2", "rougeLsum", "chrf", "bleu", "exact_match"):
        assert score_pair(name, gold, gold) == pytest.approx(1.0) and score_pair(name, gold, "") == 0.0
        assert score_pair(name, "我们去公园", "我们去公园") == pytest.approx(1.0)
    with pytest.raises(RecipeError, match="did you mean 'rougeL'"):
        score_pair("rouge-l", gold, output)


def test_long_texts_take_milliseconds() -> None:
    rng = random.Random(0)
    gold, output = (" ".join(rng.choices(["a", "b", "c", "d"], k=1000)) for _ in range(2))
    started = time.process_time()
    rouge.rouge_l(gold, output)
    rouge.rouge_lsum(gold, output)
    assert time.process_time() - started < 1
