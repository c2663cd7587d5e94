"""Source and target, for decoders and for encoder-decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.core.records import Record, Source
from tunewright.core.tensors import IGNORED
from tunewright.encoding import pack
from tunewright.encoding.sequences import Layout, aligned_sequences, causal_sequences
from tunewright.encoding.showing import learnt_of
from tunewright.models.codecs import Plain, controls_of, layout_of
from tunewright.models.loading import tokenizing

LETTERS = st.characters(codec="utf-8", exclude_characters="▁", exclude_categories=("Cs", "Cn", "Co"))


def row(source: str, target: str | None, name: str = "s") -> Record:
    return Record(name, source, target, Source("f", 1))


@pytest.fixture(scope="session")
def gpt2(shared: Path) -> Any:
    from transformers import GPT2TokenizerFast

    return GPT2TokenizerFast.from_pretrained(shared / "models" / "tokenizers" / "gpt2")


@pytest.fixture(scope="session")
def stories(shared: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(shared / "models" / "stories260K")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.text(LETTERS, max_size=30),
    target=st.text(LETTERS, min_size=1, max_size=20).filter(lambda text: bool(text.strip())),
    between=st.sampled_from(["\n\n", "\n", " => ", "\n### German:\n", ""]),
)
def test_the_target_is_learnt_behind_the_prompt_of_serving(
    gpt2: Any, stories: Any, source: str, target: str, between: str
) -> None:
    for tokenizer in (gpt2, stories):
        codec, layout = Plain(tokenizer), layout_of(tokenizer, before="Translate: ", between=between)
        (prompt,), _ = causal_sequences([row(source, None)], codec, layout, limit=999)
        made, refused = causal_sequences([row(source, target)], codec, layout, limit=999)
        if refused:
            assert between == "" and refused[0].reason in ("prefix", "round_trip")
            continue
        tokens, gold = made[0].tokens.tolist(), np.asarray(made[0].target)
        n = len(prompt.tokens)
        assert prompt.target is None and tokens[:n] == prompt.tokens.tolist()
        assert tokens[n - 1 :][1:] == gold[n - 1 : -1].tolist() and (gold[: n - 1] == IGNORED).all()
        assert tokens[-1] == layout.end == tokenizer.eos_token_id and gold[-1] == IGNORED
        assert (tokens[0] == tokenizer.bos_token_id) == (tokenizer is stories)


def test_a_source_is_cut_at_the_same_place_with_and_without_its_target(gpt2: Any) -> None:
    codec, layout = Plain(gpt2), layout_of(gpt2, source_limit=10)
    long = "one two three four five six seven eight nine ten eleven twelve"
    assert [r.reason for r in causal_sequences([row(long, "t")], codec, layout, limit=99)[1]] == ["too_long"]
    (made,), refused = causal_sequences([row(long, "the target")], codec, layout, limit=99, too_long="cut_source")
    (prompt,), _ = causal_sequences([row(long, None)], codec, layout, limit=99, too_long="cut_source")
    assert refused == [] and made.tokens[: len(prompt.tokens)].tolist() == prompt.tokens.tolist()
    text = codec.decode(made.tokens)
    assert text == "one two three four five six seven eight nine ten\n\nthe target<|endoftext|>"
    assert made.full == len(made.tokens) + 2, "two tokens were cut off"
    chinese = causal_sequences([row("汉" * 20, "t")], codec, layout, limit=99, too_long="cut_source")[0][0]
    assert "\ufffd" not in codec.decode(chinese.tokens), "no half of a character is left"


def test_a_target_is_never_cut_nor_learnt_wrongly(gpt2: Any) -> None:
    codec, layout = Plain(gpt2), layout_of(gpt2)
    rows = [
        row("a", "b " * 50, "long"), row("a", " ", "empty"), row("a", "x<|endoftext|>y", "control"), row("a", "b", "good"),
        row("a " * 50, None, "prompt"),
    ]  # fmt: skip
    made, refused = causal_sequences(rows, codec, layout, limit=30)
    assert [e.id for e in made] == ["good"]
    assert [(r.id, r.reason) for r in refused] == [
        ("long", "too_long"), ("empty", "no_reply"), ("control", "control_text"), ("prompt", "too_long"),
    ]  # fmt: skip
    assert causal_sequences([], codec, layout, limit=9) == ([], [])


def test_a_tokenizer_that_loses_the_target_is_found_out(shared: Path) -> None:
    from transformers import BertTokenizerFast

    bert = BertTokenizerFast.from_pretrained(shared / "models" / "tokenizers" / "bert_base_uncased")
    _, (refused,) = causal_sequences([row("a", "Upper")], Plain(bert), layout_of(bert), limit=30)
    assert refused.reason == "round_trip" and "upper" in refused.detail


def test_the_decoder_reads_the_target_one_place_later(gpt2: Any) -> None:
    """As transformers' own T5 and BART shift them; GPT-2's tokenizer stands in, which ends no target by itself."""
    end, start = gpt2.eos_token_id, 7
    rows = [row("Hello world", "Hallo Welt"), row("Good", None, "u"), row("Bye", "Tschüs", "v")]
    made, refused = aligned_sequences(
        rows, tokenizing(gpt2), Plain(gpt2).targets, start=start, end=end, source_limit=9, target_limit=9, before="de: "
    )
    assert refused == [] and [e.id for e in made] == ["s", "u", "v"]
    gold = [*gpt2("Hallo Welt")["input_ids"], end]
    assert made[0].tokens.tolist() == gpt2("de: Hello world")["input_ids"]
    assert np.asarray(made[0].target).tolist() == gold and made[0].decoder is not None
    assert made[0].decoder.tolist() == [start, *gold[:-1]], "labels shifted right"
    assert made[1].target is None and made[1].decoder is None
    batch = pack([made[0], made[2]])
    assert batch.decoder is not None and batch.decoder.lengths == (len(gold), len(made[2].decoder))  # type: ignore[arg-type]
    assert batch.targets[: len(gold)].tolist() == gold
    assert aligned_sequences(
        [], tokenizing(gpt2), Plain(gpt2).targets, start=1, end=2, source_limit=9, target_limit=9
    ) == (
        [],
        [],
    )


def test_sides_have_limits_of_their_own(gpt2: Any) -> None:
    rows = [
        row("a " * 30, "b", "source"),
        row("a", "b " * 30, "target"),
        row("a", "  ", "empty"),
        row("a", "b", "good"),
    ]
    options: dict[str, Any] = {"start": 0, "end": 1, "source_limit": 9, "target_limit": 9}
    made, refused = aligned_sequences(rows, tokenizing(gpt2), Plain(gpt2).targets, **options)
    assert [e.id for e in made] == ["good"]
    assert [(r.id, r.reason) for r in refused] == [
        ("source", "too_long"),
        ("target", "too_long"),
        ("empty", "no_reply"),
    ]
    made, _ = aligned_sequences(rows[:1], tokenizing(gpt2), Plain(gpt2).targets, **options, too_long="cut_source")
    assert len(made[0].tokens) == 9 and made[0].full == 31


def test_a_target_that_the_vocabulary_cannot_write_is_refused(shared: Path) -> None:
    from transformers import BertTokenizerFast

    bert = BertTokenizerFast.from_pretrained(shared / "models" / "tokenizers" / "bert_base_uncased")
    rows = [row("a", "fine"), row("a", "well \U0001fae0", "odd"), row("a", "x [SEP] y", "control")]
    made, refused = aligned_sequences(
        rows, tokenizing(bert), Plain(bert).targets, start=bert.cls_token_id, end=bert.sep_token_id, source_limit=9,
        target_limit=9, controls=controls_of(bert), unknown=bert.unk_token_id,
    )  # fmt: skip
    assert [e.id for e in made] == ["s"] and np.asarray(made[0].target)[-1] == bert.sep_token_id
    assert [(r.id, r.reason) for r in refused] == [("odd", "round_trip"), ("control", "control_text")]


def test_what_is_learnt_can_be_shown(gpt2: Any) -> None:
    codec, layout = Plain(gpt2), layout_of(gpt2)
    made, _ = causal_sequences([row("a 源", "b 目"), row("c", None, "u")], codec, layout, limit=30)
    assert learnt_of(made[0], codec) == [("a 源\n\n", False), ("b 目<|endoftext|>", True)]
    assert learnt_of(made[1], codec) == [("c\n\n", False)]


def test_a_layout_is_a_value() -> None:
    assert Layout(end=3) == Layout(3, None, "", "\n\n", frozenset(), None)
