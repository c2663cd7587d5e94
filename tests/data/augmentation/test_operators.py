"""What every registered operator must do: keyed by (seed, row, copy), order of no account, protected tokens as they were."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from aug_rows import CHINESE, ENGLISH, ODD, asks, draft, drafts, kit
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.registry import build, dump, members
from tunewright.data.augmentation import (
    Ask,
    BackTranslation,
    Deletion,
    Generate,
    Guard,
    Insertion,
    Kit,
    Operator,
    Paraphrase,
    Structure,
    Swap,
    Synonyms,
    Typos,
)  # fmt: skip
from tunewright.data.augmentation.words import content, joined

ROWS = drafts([*ENGLISH, *CHINESE])
TABLE: dict[str, list[Any]] = {
    "synonyms": [Synonyms(), Synonyms(share=0.5)],
    "insertion": [Insertion(), Insertion(of="vocabulary", share=0.3), Insertion(of="punctuation")],
    "deletion": [Deletion(), Deletion(share=0.6)],
    "swap": [Swap(), Swap(share=0.4, reach=2)],
    "typos": [Typos(share=0.3), Typos(kinds=("transposition", "homophone")), Typos(kinds=("omission", "shape"))],
    "structure": [Structure(), *(Structure((kind,)) for kind in ("sentences", "coordination", "contraction"))],
    "back_translation": [BackTranslation(), BackTranslation(through=("Spanish",))],
    "paraphrase": [Paraphrase(), Paraphrase(prompt="Say: {text}")],
    "generate": [Generate(), Generate(shots=1, domain="hotels", labels={"a": "praise"})],
}
CASES = [pytest.param(o, id=f"{name}-{i}") for name, cases in TABLE.items() for i, o in enumerate(cases)]
every = pytest.mark.parametrize("operator", CASES)
EDITS = [case for case in CASES if case.values[0].kind == "edit"]


def test_every_registered_operator_is_here() -> None:
    assert set(TABLE) == set(members("operator"))
    assert all(type(o) is members("operator")[name] for name, cases in TABLE.items() for o in cases)


@every
def test_it_is_a_value_that_can_be_written_and_read(operator: Any) -> None:
    assert build("operator", dump(operator)) == operator


@every
def test_a_child_depends_on_the_seed_the_row_and_the_copy_alone(operator: Operator) -> None:
    wanted = asks(ROWS)
    first = operator(wanted, kit(ROWS), "it")
    mixed = random.Random(0).sample(range(len(wanted)), len(wanted))
    again = operator([wanted[i] for i in mixed], kit(ROWS[::-1]), "it")
    assert [first[i] for i in mixed] == again
    assert [operator([ask], kit(ROWS), "it")[0] for ask in wanted] == first
    made = [child for child in first if child is not None]
    assert made and all(
        child.operator == "it" and child.parents[0] == child.ask.row.id for child in made if child.ask.row
    )


@pytest.mark.parametrize("operator", [cases[0] for cases in TABLE.values() if cases[0].kind == "edit"])
def test_another_seed_or_name_gives_other_children(operator: Operator) -> None:
    wanted = asks(ROWS, 4)
    first, other, renamed = (
        operator(wanted, given, name) for given, name in ((kit(ROWS), "it"), (kit(ROWS, 1), "it"), (kit(ROWS), "it-2"))
    )
    assert first != other
    assert [c and c.text for c in first] != [c and c.text for c in renamed]


@pytest.mark.parametrize("operator", EDITS)
@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_edits_keep_protected_tokens_and_change_something(operator: Operator, texts: list[str]) -> None:
    rows = drafts(texts)
    made = [child for child in operator(asks(rows, 6), kit([*rows, *drafts(texts[::-1])]), "it") if child is not None]
    languages = {"contraction": ENGLISH}
    kinds = getattr(operator, "kinds", ())
    if len(kinds) == 1 and languages.get(kinds[0], texts) is not texts:
        assert not made
        return
    assert made
    guard = kit(rows).guard
    for child in made:
        assert child.ask.row is not None and child.text != child.ask.row.text
        assert guard.signature(child.text) == guard.signature(child.ask.row.text), (child.ask.row.text, child.text)


@every
def test_odd_texts_are_safe(operator: Operator) -> None:
    rows = drafts(ODD)
    for child in operator(asks(rows), kit(rows), "it"):
        assert child is None or child.text.strip()


@every
def test_of_two_texts_one_is_changed(operator: Operator) -> None:
    rows = [draft(text, pair=ENGLISH[(i + 1) % 4]) for i, text in enumerate(ENGLISH)]
    children = operator(asks(rows, 6), kit(rows), "it")
    if operator.kind == "new":
        assert not any(children), "a generated row has no second text"
        return
    sides = set()
    for child in (c for c in children if c is not None):
        row = child.ask.row
        assert row is not None and (child.text == row.text) != (child.pair == row.pair)
        sides.add(child.text == row.text)
    assert sides == {True, False}


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=60) | st.sampled_from([*ENGLISH, *CHINESE]).flatmap(lambda t: st.just(t * 2)))
def test_any_text_at_all_is_cut_and_edited(text: str) -> None:
    guard = Guard(("pos",), ("New York",))
    assert "".join(token.text for token in guard.tokens(text)) == text
    rows = [draft(text)]
    for name, cases in TABLE.items():
        for operator in cases if name not in ("synonyms",) else cases[:1]:
            for child in operator(asks(rows, 1), replace(kit(rows), guard=guard), "it"):
                assert child is None or (child.text.strip() and child.text != text)


# What each one does, in words.


def made(operator: Operator, text: str, copies: int = 30, **options: Any) -> set[str]:
    rows = [draft(text)]
    return {c.text for c in operator(asks(rows, copies), kit(rows, **options), "it") if c is not None}


def test_synonyms_keep_inflection_case_and_article() -> None:
    assert made(Synonyms(), "He started the Movie") <= {
        "He began the Movie", "He commenced the Movie", "He started the Film",
    }  # fmt: skip
    assert "He commenced the Movie" in made(Synonyms(), "He started the Movie")
    assert made(Synonyms(), "a movie of an idea") >= {"a film of an idea", "a movie of a thought"}
    assert made(Synonyms(), "MOVIE NIGHT") == set(), "abbreviations and shouting stay"
    assert made(Synonyms(), "the movie, bad and fast") == {"the film, bad and fast"}, (
        "bad is not big, fast not debauched"
    )


def test_synonyms_come_from_a_user_s_file(tmp_path: Any) -> None:
    (tmp_path / "own.json").write_text('{"Cat": ["feline", "kitty"], "外卖": ["快餐"]}', "utf-8")
    (tmp_path / "own.csv").write_text("cat,feline\n外卖,快餐,便当\n", "utf-8")
    rows = [draft("My cats sleep"), draft("外卖很好")]
    for file, expected in (("own.json", {"My felines sleep", "My kitties sleep", "快餐很好"}),
                           ("own.csv", {"My felines sleep", "快餐很好", "便当很好"})):  # fmt: skip
        given = replace(kit(rows), base=tmp_path)
        assert {c.text for c in Synonyms(thesaurus=file)(asks(rows, 20), given, "it") if c} == expected


@pytest.mark.parametrize("wrong", ["[1]", '{"a": 3}', "{}", "{", None])
def test_a_wrong_thesaurus_is_explained(tmp_path: Any, wrong: str | None) -> None:
    if wrong is not None:
        (tmp_path / "own.json").write_text(wrong)
    with pytest.raises(DataError, match="thesaurus"):
        Synonyms(thesaurus="own.json")(asks(ROWS, 1), replace(kit(ROWS), base=tmp_path), "it")


def test_insertion_only_adds_and_deletion_only_takes() -> None:
    guard = kit(ROWS).guard
    for operator, more in ((Insertion(), True), (Insertion(of="punctuation"), True), (Deletion(), False)):
        for child in operator(asks(ROWS, 4), kit(ROWS), "it"):
            if child is None or child.ask.row is None:
                continue
            old, new = (
                [t.text for t in guard.tokens(text) if t.kind != "space"] for text in (child.ask.row.text, child.text)
            )
            if any("\u4e00" <= ch <= "\u9fff" for ch in child.text):  # jieba may cut anew: compare characters
                old, new = list("".join(old)), list("".join(new))
            small, large = (old, new) if more else (new, old)
            rest = iter(large)
            assert all(piece in rest for piece in small) and len(small) < len(large)


def test_deletion_leaves_half_of_the_words() -> None:
    for child in Deletion(share=0.99)(asks(ROWS, 3), kit(ROWS), "it"):
        if child is not None and child.ask.row is not None:
            tokens = kit(ROWS).guard.tokens(child.ask.row.text)
            kept = len(content(kit(ROWS).guard.tokens(child.text)))
            assert kept >= len(content(tokens)) // 2 - 1


def test_swap_moves_words_and_loses_none() -> None:
    assert made(Swap(), "one red fox no") == {"one fox red no"}
    for child in Swap(share=0.5)(asks(ROWS, 3), kit(ROWS), "it"):
        if child is not None and child.ask.row is not None:
            assert sorted(child.text.replace(" ", "")) == sorted(child.ask.row.text.replace(" ", ""))


def test_typos_are_of_their_kind() -> None:
    assert made(Typos(kinds=("transposition",)), "horse no") == {"hrose no", "hosre no", "hores no"}
    assert made(Typos(kinds=("omission",)), "cat") == {"ct", "ca"}
    assert made(Typos(kinds=("doubling",)), "cat") == {"caat", "catt"}
    assert made(Typos(kinds=("neighbour",)), "qat", 200) == {
        *(f"q{c}t" for c in "qwsz"), *(f"qa{c}" for c in "rygf"),
    }  # fmt: skip
    assert "我门在说" not in made(Typos(kinds=("homophone",)), "在家") and made(Typos(kinds=("homophone",)), "在") == {
        "再"
    }
    assert made(Typos(kinds=("shape",)), "住") == {"往", "佳"}
    assert not made(Typos(), "不"), "a negation stays"


def test_typos_by_pinyin_where_it_is_installed() -> None:
    pytest.importorskip("pypinyin", reason="pypinyin is not installed")
    assert len(made(Typos(kinds=("homophone",), pinyin=True), "在", 60)) > 3


def test_structure_changes_one_thing() -> None:
    assert made(Structure(("contraction",)), "I don't know, it's fine") == {
        "I do not know, it's fine", "I don't know, it is fine",
    }  # fmt: skip
    assert made(Structure(("contraction",)), "I`m sure we can not go. Yes it is.") == {
        "I am sure we can not go. Yes it is.", "I`m sure we can't go. Yes it is.",
    }  # fmt: skip
    assert made(Structure(("sentences",)), "It rained. We slept. But it was fun.") == {
        "We slept. It rained. But it was fun."
    }
    assert made(Structure(("coordination",)), "cats and dogs, a horrible film and boring story") == {
        "dogs and cats, a horrible film and boring story"
    }
    assert made(Structure(("clauses",)), "价格便宜，质量一般。") == {"质量一般，价格便宜。"}
    assert made(Structure(("clauses",)), "价格便宜，但是质量一般。") == set()
    assert made(Structure(("coordination",)), "推荐给朋友和同事") == {"推荐给同事和朋友"}


def test_a_language_model_is_asked_in_the_text_s_language_and_its_answer_is_read() -> None:
    asked: list[str] = []

    def write(prompts: Any) -> list[str]:
        asked.extend(prompts)
        return ['Here is the text: "Quite another one."' for _ in prompts]

    rows = [draft(ENGLISH[0]), draft(CHINESE[0])]
    given = replace(kit(rows), write=write)
    for operator, mark in ((Paraphrase(), "改写"), (BackTranslation(), "German"), (Generate(), "Examples")):
        asked.clear()
        children = operator(asks(rows, 1), given, "it")
        assert [c and c.text for c in children] == ["Quite another one."] * 2
        assert any(mark in prompt for prompt in asked)
    with pytest.raises(RecipeError, match="no language model"):
        Paraphrase()(asks(rows, 1), replace(given, write=None), "it")


def test_back_translation_goes_there_and_back() -> None:
    asked: list[str] = []

    def write(prompts: Any) -> list[str]:
        asked.extend(prompts)
        return [f"Text {len(asked)}" if "German" in p else "back" for p in prompts]

    rows = [draft("It rains"), draft("今天下雨了")]
    children = BackTranslation(through=("German",))(asks(rows, 1), replace(kit(rows), write=write), "it")
    assert [c and c.text for c in children] == ["back", "back"]
    assert [("into English" in p, "into Chinese" in p) for p in asked[2:]] == [(True, False), (False, True)]


def test_generation_shows_rows_of_the_label_and_asks_for_labels_without_rows() -> None:
    asked: list[str] = []

    def write(prompts: Any) -> list[str]:
        asked.extend(prompts)
        return ["A text." for _ in prompts]

    rows = drafts([f"row {i}" for i in range(8)])
    given = replace(kit(rows), write=write)
    (child,) = Generate(shots=3)([Ask("a", 0, rows[0])], given, "it")
    assert child is not None and child.parents[0] == rows[0].id and len(child.parents) == 3
    assert all(f"row {i}" not in asked[0] for i in (1, 3, 5, 7)), "rows of another label are not shown"
    styled = replace(given, unlabelled=[draft("an unlabelled text"), draft("another of these")])
    Generate(style=1)([Ask("a", 0, rows[0])], styled, "it")
    last = asked.pop()
    assert sum(text in last for text in ("an unlabelled text", "another of these")) == 1 and "for their style" in last
    (child,) = Generate(domain="hotels", labels={"new": "a bill"})([Ask("new", 0)], given, "it")
    assert child is not None and child.parents == () and child.ask.row is None
    assert '"new" (a bill)' in asked[1] and "(hotels)" in asked[1]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"synonyms": {"share": 0}}, "share"),
        ({"synonyms": {"thesaurus": "a", "wordnet": "b"}}, "one of the two"),
        ({"typos": {"kinds": []}}, "at least one"),
        ({"typos": {"kinds": ["finger"]}}, "kinds"),
        ({"structure": {"kinds": []}}, "at least one"),
        ({"paraphrase": {"prompt": "no field"}}, "{text}"),
        ({"back_translation": {"through": []}}, "at least one"),
        ("synonym", "did you mean 'synonyms'"),
    ],
)
def test_wrong_options_are_refused(spec: Any, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        build("operator", spec)
    assert words in str(error.value)


def test_negations_numbers_labels_entities_links_and_masks_are_protected() -> None:
    guard = Guard(("positive", "差评"), ("New York",))
    text = "I can't say no to New York: 3 positive dont http://a.b/c <email> @you #tag sh*t [NAME] {x} 不喜欢 非常好 没有 三 差评"
    bound = {t.text for t in guard.tokens(text) if not t.free and t.kind not in ("space", "mark")}
    assert bound >= {"can't", "no", "New York", "3", "positive", "dont", "http://a.b/c", "<email>", "@you", "#tag", "sh*t",
                     "[NAME]", "{x}", "没有", "三", "差评"}  # fmt: skip
    assert not any("非常" in word for word in bound) and any("不" in word for word in bound)
    assert guard.signature("I do not") == guard.signature("I don`t") != guard.signature("I do")
    assert guard.denied("cannot") and guard.denied("没有") and not guard.denied("非常 good")
    assert joined(["a", " ", "", " ", "b"]) == "a b"


def test_jieba_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from tunewright.data.augmentation import words

    words._segmenter.cache_clear()
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(RecipeError, match=r"tunewright\[data\]"):
        Deletion()(asks(drafts(CHINESE)), Kit(0), "it")
    words._segmenter.cache_clear()
