"""Windows of documents, and masked tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.records import Record, Source
from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED
from tunewright.encoding import collate, record_of
from tunewright.encoding.documents import Masking, pieces, windows
from tunewright.encoding.examples import Example
from tunewright.models.codecs import Plain, borders_of, masking_of


def document(text: str, name: str = "d") -> Record:
    return Record(name, text, None, Source("f", 1))


def bytewise(text: str) -> tuple[list[int], list[int]]:
    """One token a byte of UTF-8: a character of several bytes is several tokens."""
    ids = [b for c in text for b in c.encode()]
    return ids, [i for i, c in enumerate(text) for _ in c.encode()]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 12), st.data(), st.booleans(), st.booleans())
def test_every_token_is_predicted_once(text: str, limit: int, data: st.DataObject, starts: bool, ends: bool) -> None:
    context = data.draw(st.integers(0, limit - 1))
    start, end = 300 if starts else None, 301 if ends else None
    made, refused = windows([document(text)], bytewise, limit=limit, start=start, end=end, context=context)
    whole = [300] * starts + bytewise(text)[0] + [301] * ends
    if not text or len(whole) < 2:
        assert made == [] and [(r.id, r.reason) for r in refused] == [("d", "no_text")]
        return
    assert refused == [] and all(record_of(e.id) == "d" for e in made) and len({e.id for e in made}) == len(made)
    said: list[int] = []
    for example in made:
        tokens, target = example.tokens.tolist(), np.asarray(example.target)
        assert 0 < len(tokens) <= limit and len(target) == len(tokens)
        new = np.flatnonzero(target != IGNORED)
        assert new.tolist() == list(range(len(tokens) - len(new), len(tokens))), "only what was read before is ignored"
        behind = len(tokens) - len(new)
        assert behind == (0 if not said else min(context, len(said)))
        at = len(said) - behind
        assert tokens == whole[at : at + len(tokens)]
        said += target[new].tolist()
    assert said == whole[1:]
    first = 0 if starts else len(text[0].encode()) if len(text[0].encode()) == 1 else None
    total = sum(e.given["bytes"] for e in made)
    if first is not None:
        assert total == len(text.encode()) - first


def test_bytes_of_a_window_are_those_of_its_characters() -> None:
    one, two = windows([document("aé中b")], bytewise, limit=4, start=300)[0]
    assert one.tokens.tolist()[1:] == list("aé".encode()) and np.asarray(one.target)[-1] == "中".encode()[0]
    assert one.given == {"bytes": 3.0} and two.given == {"bytes": 4.0}, "中 counts where it ends"
    assert (one.id, two.id) == ("d#0", "d#1")
    assert windows([document("ab")], bytewise, limit=9)[0][0].id == "d"
    with pytest.raises(ValueError, match="leaves no room"):
        windows([], bytewise, limit=4, context=4)


@pytest.mark.parametrize("base", ["gpt2", "stories260K"])
def test_bytes_add_up_for_real_tokenizers(shared: Path, base: str) -> None:
    codec = Plain(loaded(shared, base))
    text = "  Once upon a time, 从前有座山 🙂👩‍👩‍👧\n\nthere was — naïve — a café.\n"
    end = codec.tokenizer.eos_token_id
    made, _ = windows([document(text)], codec.spans, limit=7, start=end, end=end)
    assert sum(e.given["bytes"] for e in made) == len(text.encode()) and len(made) > 3
    said = [int(t) for e in made for t in np.asarray(e.target)]
    assert codec.decode(said[:-1]).strip() == text.strip() and said[-1] == end


def loaded(shared: Path, base: str) -> Any:
    from transformers import AutoTokenizer, BertTokenizerFast, GPT2TokenizerFast

    if base == "gpt2":
        return GPT2TokenizerFast.from_pretrained(shared / "models" / "tokenizers" / "gpt2")
    if base.startswith("bert"):
        return BertTokenizerFast.from_pretrained(shared / "models" / "tokenizers" / base)
    return AutoTokenizer.from_pretrained(shared / "models" / base)


def plain_piece(n: int, name: str = "d") -> Example:
    tokens = np.asarray([1, *range(10, 10 + n), 2], dtype=np.int64)
    return Example(name, tokens, np.full(len(tokens), IGNORED), len(tokens), unit="token")


MASKING = Masking(mask=3, ordinary=np.arange(10, 1000), special=frozenset({0, 1, 2, 3}))


def test_pieces_hold_every_token_once() -> None:
    made, refused = pieces([document("abcdefg"), document("", "e")], bytewise, limit=5, before=[1], after=[2])
    assert [e.tokens.tolist() for e in made] == [[1, 97, 98, 99, 2], [1, 100, 101, 102, 2], [1, 103, 2]]
    assert [e.id for e in made] == ["d#0", "d#1", "d#2"] and [r.id for r in refused] == ["e"]
    assert all((np.asarray(e.target) == IGNORED).all() for e in made)


def test_masks_depend_on_the_key_alone() -> None:
    one, two = plain_piece(100, "a"), plain_piece(60, "b")
    put = collate({"a": one, "b": two}, 7, MASKING)
    alone, both = put(["b"], 3), put(["a", "b"], 3)
    assert both.tokens[-62:].tolist() == alone.tokens.tolist()
    assert both.targets[-len(alone.targets) :].tolist() == alone.targets.tolist() and len(alone.targets) == 9
    assert put(["b"], 4).tokens.tolist() != alone.tokens.tolist(), "other masks at another step"
    assert one.tokens.tolist() == plain_piece(100).tokens.tolist(), "the example itself is as it was"


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 200), st.integers(0, 2**62))
def test_of_the_chosen_most_are_masked(n: int, k: int) -> None:
    before = plain_piece(n)
    after = MASKING(before, k)
    target = np.asarray(after.target)
    chosen = target != IGNORED
    assert chosen.sum() == max(1, round(0.15 * n)) and not chosen[0] and not chosen[-1]
    assert (target[chosen] == before.tokens[chosen]).all() and (after.tokens[~chosen] == before.tokens[~chosen]).all()


def test_shares_are_those_of_bert() -> None:
    counts = np.zeros(3)
    places = np.zeros(102)
    drawn: set[int] = set()
    for step in range(600):
        before = plain_piece(100)
        after = MASKING(before, key(0, step, "d"))
        chosen = np.asarray(after.target) != IGNORED
        masked, kept = after.tokens[chosen] == 3, after.tokens[chosen] == before.tokens[chosen]
        counts += [masked.sum(), kept.sum(), (~masked & ~kept).sum()]
        places += chosen
        drawn |= set(after.tokens[chosen][~masked & ~kept].tolist())
    share = counts / counts.sum()
    assert np.abs(share - [0.8, 0.1, 0.1]).max() < 0.015
    assert np.abs(places[1:-1] / 600 - 0.15).max() < 0.06, "every place as often as another"
    assert min(drawn) < 60 and max(drawn) > 950 and len(drawn) > 500


def test_a_word_begins_behind_a_special_token() -> None:
    continues = np.zeros(1000, dtype=np.bool_)
    continues[20:] = True
    masking = replace(MASKING, continues=continues, share=0.01)
    piece = Example("d", np.asarray([1, 10, 20, 2, 21, 22, 2]), np.full(7, IGNORED), 7, unit="token")
    seen = {tuple(np.flatnonzero(np.asarray(masking(piece, k).target) != IGNORED)) for k in range(40)}
    assert seen == {(1, 2), (4, 5)}


def test_nothing_is_masked_where_all_is_special() -> None:
    bare = Example("d", np.asarray([1, 2]), np.full(2, IGNORED), 2, unit="token")
    assert (np.asarray(MASKING(bare, 5).target) == IGNORED).all()


@pytest.mark.parametrize("base", ["bert_base_uncased", "gpt2"])
def test_whole_words_are_masked_with_all_their_tokens(shared: Path, base: str) -> None:
    tokenizer = loaded(shared, base)
    if base == "gpt2":
        tokenizer.add_special_tokens({"mask_token": "<mask>"})
    codec = Plain(tokenizer)
    text = (
        "Unbelievable transformations antidisestablishmentarianism happened yesterday; hyperparameterization, too. " * 4
    )
    before, after = borders_of(tokenizer)
    assert (before, after) == (([101], [102]) if base != "gpt2" else ([], []))
    (piece,), _ = pieces([document(text)], codec.spans, limit=400, before=before, after=after)
    masking = replace(masking_of(tokenizer, whole_words=True), share=0.3)
    words = (
        [None, *tokenizer(text, add_special_tokens=False).word_ids(), None] if before else tokenizer(text).word_ids()
    )
    seen = 0
    for k in range(20):
        chosen = np.asarray(masking(piece, k).target) != IGNORED
        for word in {w for w in words if w is not None}:
            of_word = [bool(chosen[i]) for i, w in enumerate(words) if w == word]
            assert all(of_word) or not any(of_word)
            seen += any(of_word) and len(of_word) > 1
        assert 0 < chosen.sum() <= max(round(0.3 * (len(piece.tokens) - len(before) - len(after))), 8)
    assert seen > 20
    ordinary = masking_of(tokenizer)
    assert ordinary.continues is None and tokenizer.mask_token_id not in ordinary.ordinary
    assert not set(tokenizer.all_special_ids) & set(ordinary.ordinary.tolist())
