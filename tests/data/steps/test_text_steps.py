"""Steps of texts over drafts: what changes, what leaves, what the ledger says and what it must not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tunewright.core import registry
from tunewright.core.conversations import Message
from tunewright.core.records import Source, content_id
from tunewright.core.registry import register
from tunewright.data.conversations.turns import canonical
from tunewright.data.journal import Draft, Journal
from tunewright.data.steps.mojibake import Mojibake
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.strip import Strip
from tunewright.data.steps.texts import apply, clean_texts, difference, stage_names
from tunewright.data.targets import Classes, Dialogues
from tunewright.data.targets.prompts import Prompts


@dataclass(frozen=True)
class NoBad:
    """Refuses what says bad."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "bad"
    whole: ClassVar[bool] = True
    at_least: int = 1

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [Edit(t, "says bad", refused="bad") if t.count("bad") >= self.at_least else None for t in texts]


@dataclass(frozen=True)
class Codes:
    """Masks what looks like a code, and flags it."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "codes"

    def masked(self, text: str) -> str:
        return text.replace("1234", "<code>")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [Edit(self.masked(t), "1 code", ("had_code",)) if "1234" in t else None for t in texts]


@dataclass(frozen=True)
class Mark:
    """Flags and changes nothing."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "long"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [Edit(t, flags=("long",)) if len(t) > 20 else None for t in texts]


@dataclass(frozen=True)
class Vowels:
    """Takes letters away."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "vowels"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [Edit(t.replace("a", "")) for t in texts]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The steps of this file, for as long as its tests run."""
    monkeypatch.setitem(registry._families, "step", dict(registry._families["step"]))
    for cls in (NoBad, Codes, Mark, Vowels):
        register("step", cls.__name__.lower())(cls)
    yield


def rows(*texts: str, pair: str | None = None) -> list[Draft]:
    return [Draft(text, "x", pair, Source("f.csv", i + 1), None) for i, text in enumerate(texts)]


def stages(journal: Journal) -> list[tuple[str, int, int, int, int]]:
    return [(s.name, s.entered, s.left, s.dropped, s.changed) for s in journal.ledger.stages]


def test_each_step_is_a_stage_and_the_sums_balance() -> None:
    drafts, journal = rows(" cafÃ© ", "fine", "  bad ", "so bad 1234", "code 1234 and a long text"), Journal()
    left = apply((Mojibake(), Strip(), NoBad(), Codes(), Mark()), drafts, Classes(), journal)
    assert [d.text for d in left] == ["café", "fine", "code <code> and a long text"]
    assert stages(journal) == [
        ("mojibake", 5, 5, 0, 1),
        ("strip", 5, 5, 0, 2),
        ("nobad", 5, 3, 2, 0),
        ("codes", 3, 3, 0, 1),
        ("mark", 3, 3, 0, 1),
    ]
    assert left[2].flags == ("had_code", "long")
    assert journal.ledger.events[-1].reason == "long_flagged"
    assert all(d.id == content_id(d.text, None) for d in left)
    assert all(e.record == drafts[e.source.line - 1].id for e in journal.ledger.events)
    assert all(d.key for d in left)


def test_before_and_after_are_shown_but_never_what_was_masked() -> None:
    drafts, journal = rows("  my 1234 ", "bad 1234 ", "\tx"), Journal()
    apply((Strip(), NoBad(), Codes()), drafts, Classes(), journal)
    assert journal.ledger.events[2].detail == "was: \\tx | now: x"
    said = repr(journal.ledger.events) + repr(journal.examples) + repr([d.text for d in drafts])
    assert "1234" not in said
    assert "<code>" in said


def test_a_step_twice_is_two_stages() -> None:
    assert stage_names([Strip(), Mojibake(), Strip()]) == ["strip", "mojibake", "strip_2"]


def test_a_pair_is_cleaned_and_judged_with_its_text() -> None:
    drafts, journal = rows(" one bad ", "two", pair=" other bad "), Journal()
    left = apply((Strip(), NoBad(at_least=2)), drafts, Classes(), journal)
    assert [(d.text, d.pair) for d in left] == [("two", "other bad")]
    assert (drafts[0].text, drafts[0].pair) == ("one bad", "other bad")
    assert stages(journal) == [("strip", 2, 2, 0, 2), ("nobad", 2, 1, 1, 0)]


def chat(*contents: str) -> Draft:
    messages: list[Message] = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": c} for i, c in enumerate(contents)
    ]  # type: ignore[misc]
    return Draft(canonical({"messages": messages[:-1]}), canonical(messages[-1]), None, Source("c.jsonl", 1), None)


def test_messages_of_a_conversation_are_cleaned_one_by_one() -> None:
    target = Dialogues()
    assert isinstance(target, Prompts)
    drafts, journal = [chat(" hi ", "yes", " more ", " good 1234 "), chat("a", "b")], Journal(shown=target.shown)
    left = apply((Strip(), Codes(), Vowels()), drafts, target, journal)
    assert len(left) == 1
    assert '"content":"hi"' in left[0].text
    assert '"content":"more"' in left[0].text
    assert '"content":"good <code>"' in (left[0].label or "")
    assert left[0].key == _key(target, left[0])
    assert stages(journal)[0] == ("strip", 2, 2, 0, 1)
    assert stages(journal)[-1] == ("emptied", 2, 1, 1, 0)
    assert "1234" not in repr(journal)


def _key(target: Dialogues, draft: Draft) -> str:
    again = Draft(draft.text, draft.label, None, draft.source, None)
    target.tidy(again, str)
    return again.key


def test_what_was_white_space_alone_is_left_to_the_stage_of_empty_rows() -> None:
    drafts, journal = rows("   ", "aaa", "b"), Journal()
    assert [d.text for d in apply((Strip(), Vowels()), drafts, Classes(), journal)] == ["", "b"]
    assert journal.counts["emptied_text"] == 1


def test_texts_alone_in_any_batches_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f" text {i} {'bad' if i % 7 == 0 else ''} {'1234' if i % 5 == 0 else ''}" for i in range(100)]
    steps = (Strip(), NoBad(), Codes())
    whole = clean_texts(steps, texts)
    monkeypatch.setattr("tunewright.data.steps.texts.BATCH", 7)
    assert clean_texts(steps, texts) == whole
    alone = [clean_texts(steps, [text]) for text in texts]
    assert [one.texts[0] for one in alone] == whole.texts
    assert {i for i, one in enumerate(alone) if one.gone} == whole.gone == set(range(0, 100, 7))
    assert sum(len(one.entries) for one in alone) == len(whole.entries)


def test_lost_characters_are_shown_and_left() -> None:
    drafts, journal = rows("what\ufffd is"), Journal()
    assert apply((Mojibake(),), drafts, Classes(), journal)[0].text == "what\ufffd is"
    assert journal.counts["replacement_character"] == 1


def test_differences_are_short_and_visible() -> None:
    assert difference("same", "same") == ""
    assert difference("a\u200bb", "ab") == "was: a\\u200bb | now: ab"
    text = "x" * 1000
    shown = difference(text + "\x00" + text, text + text)
    assert len(shown) < 250
    assert shown.startswith("was: …xxx")
    assert len(difference("y" * 5000, "z" * 5000)) < 250
    assert difference("aa", "aaa") == "was: aa | now: aaa"
