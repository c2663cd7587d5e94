"""From records to examples to packed batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.records import Record, Source
from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example, collate, encode, pack, token_counts, weighted


def letters(
    texts: Sequence[str], pairs: Sequence[str] | None, limit: int
) -> tuple[list[list[int]], list[list[int]] | None, list[int]]:
    """One token a letter, 1 before and 2 after; a pair follows with type 1."""
    whole = [[1, *map(ord, t), 2] for t in texts]
    types = None
    if pairs is not None:
        types = [[0] * len(w) + [1] * (len(p) + 1) for w, p in zip(whole, pairs, strict=True)]
        whole = [[*w, *map(ord, p), 2] for w, p in zip(whole, pairs, strict=True)]
        types = [t[:limit] for t in types]
    return [w[:limit] for w in whole], types, [len(w) for w in whole]


def record(text: str, label: str | None = "yes", pair: str | None = None) -> Record:
    return Record(f"id-{text}", text, label, Source("f", 1), pair=pair)


LABELS = {"no": 0, "yes": 1}


def test_records_become_examples_in_their_order() -> None:
    made = encode([record("ab"), record("c", "no"), record("", None), record("x", "perhaps")], letters, LABELS.get, 8)
    assert [e.id for e in made] == ["id-ab", "id-c", "id-", "id-x"]
    assert [e.tokens.tolist() for e in made] == [[1, 97, 98, 2], [1, 99, 2], [1, 2], [1, 120, 2]]
    assert [e.target for e in made] == [1, 0, None, None], "a label that is not known is no class 0"
    assert all(e.tokens.dtype == np.int64 and e.types is None for e in made)
    assert encode([], letters, LABELS.get, 8) == []


def test_what_is_cut_says_how_long_it_was() -> None:
    long, short = encode([record("abcdefgh"), record("a")], letters, LABELS.get, 5)
    assert (len(long), long.full) == (5, 10) and (len(short), short.full) == (3, 3)


def test_a_pair_of_one_makes_types_for_all() -> None:
    one, two = encode([record("a", pair="b"), record("c")], letters, LABELS.get, 9)
    assert one.tokens.tolist() == [1, 97, 2, 98, 2] and one.types is not None and one.types.tolist() == [0, 0, 0, 1, 1]
    assert two.types is not None and two.types.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_may_be_several_numbers(dtype: type) -> None:
    table = {"yes": np.array([0.0, 1.5], dtype), "no": np.array([2.0, -1.0], dtype)}
    batch = pack(encode([record("a"), record("b", None), record("c", "no")], letters, table.get, 8))
    assert batch.positions.tolist() == [0, 2] and batch.targets.tolist() == [[0.0, 1.5], [2.0, -1.0]]
    assert batch.targets.dtype == (torch.float32 if dtype is np.float32 else torch.float64)
    assert batch.counts() == {"example": 2, "step": 1}
    assert pack(encode([record("b", None)], letters, table.get, 8)).targets.shape == (0,)


def examples(lengths: Sequence[int], missing: Sequence[int] = ()) -> list[Example]:
    return [
        Example(f"e{i}", np.arange(n, dtype=np.int64) + 100 * i, None if i in missing else i % 2, n)
        for i, n in enumerate(lengths)
    ]


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.sets(st.integers(0, 8)))
def test_a_batch_holds_its_examples_end_to_end(lengths: list[int], missing: set[int]) -> None:
    made = examples(lengths, sorted(missing))
    batch = pack(made, seed=3, step=5)
    assert batch.ids == tuple(e.id for e in made) and batch.lengths == tuple(lengths)
    parts = batch.tokens.split(list(batch.lengths))
    assert [p.tolist() for p in parts] == [e.tokens.tolist() for e in made]
    kept = [i for i, e in enumerate(made) if e.target is not None]
    assert batch.positions.tolist() == kept and batch.targets.tolist() == [i % 2 for i in kept]
    assert batch.tokens.dtype == batch.targets.dtype == batch.positions.dtype == torch.int64
    assert batch.counts() == {"example": len(kept), "step": 1}
    assert batch.keys is not None and batch.keys.tolist() == [key(3, 5, e.id) for e in made]


def test_keys_are_of_the_example_not_of_its_place() -> None:
    made = examples([2, 3, 4])
    one, two = pack(made, seed=0, step=1), pack(made[::-1], seed=0, step=1)
    assert one.keys is not None and two.keys is not None and one.keys.tolist() == two.keys.tolist()[::-1]
    assert pack(made, seed=0, step=2).keys.tolist() != one.keys.tolist()  # type: ignore[union-attr]
    assert pack(made, seed=1, step=1).keys.tolist() != one.keys.tolist()  # type: ignore[union-attr]
    assert pack(made).keys is None


def test_types_are_zero_where_an_example_has_none() -> None:
    first, second = examples([2, 3])
    assert pack([first, second]).types is None
    mixed = pack([first, replace(second, types=np.array([0, 1, 1]))])
    assert mixed.types is not None and mixed.types.tolist() == [0, 0, 0, 1, 1] and mixed.types.dtype == torch.int64


def test_collate_finds_examples_by_id() -> None:
    by_id = {e.id: e for e in examples([2, 3, 4])}
    batch = collate(by_id, seed=9)(["e2", "e0", "e2"], 4)
    assert batch.ids == ("e2", "e0", "e2") and batch.lengths == (4, 2, 4)
    assert batch.keys is not None and batch.keys.tolist() == [key(9, 4, i) for i in batch.ids]
    with pytest.raises(KeyError):
        collate(by_id, seed=9)(["nobody"], 0)


def test_tokens_are_supervised_where_they_are_not_ignored() -> None:
    a = Example("a", np.array([5, 6, 7]), np.array([IGNORED, 7, IGNORED]), 3, unit="token")
    b = Example("b", np.array([8, 9]), np.array([9, 1]), 2, unit="token")
    none = Example("c", np.array([4]), None, 1, unit="token")
    batch = pack([a, none, b])
    assert (batch.unit, batch.lengths) == ("token", (3, 1, 2))
    assert batch.positions.tolist() == [1, 4, 5] and batch.targets.tolist() == [7, 9, 1]
    assert batch.owners().tolist() == [0, 2, 2] and batch.counts() == {"token": 3, "example": 2, "step": 1}


def test_two_sides_lie_side_by_side() -> None:
    def side(tokens: list[int], **given: float) -> Example:
        target = np.array([IGNORED, *tokens[2:], 1])
        return Example("x", np.array(tokens), target, len(tokens), unit="token", given=given)

    a = replace(side([5, 6, 7], reference=1.0), id="a", other=side([5, 8], reference=2.0))
    b = replace(side([3, 4], reference=3.0), id="b", other=side([3, 9, 9], reference=4.0))
    batch = pack([a, b], seed=1)
    assert (batch.ids, batch.sides, batch.lengths) == (("a", "b"), 2, (3, 2, 2, 3)) and len(a) == 5
    assert batch.sequences().tolist() == [0, 0, 1, 2, 3, 3] and batch.owners().tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.given["reference"].tolist() == [1, 2, 3, 4] and batch.keys is not None and len(batch.keys) == 2
    assert batch.counts() == {"token": 6, "example": 2, "pair": 2, "chosen": 3, "step": 1}
    assert pack([replace(a, given={"good": 1.0}), replace(b, given={"good": 0.0})]).given["good"].tolist() == [1, 0]
    pairs = pack([replace(a, unit="pair"), replace(b, unit="pair")])
    assert pairs.positions.tolist() == [0, 1, 2, 3] and pairs.counts() == {"pair": 2, "example": 2, "step": 1}
    with pytest.raises(ValueError, match="two sides"):
        pack([a, side([1, 2])])


def test_a_decoders_targets_stand_beside_what_it_reads() -> None:
    a = Example("a", np.array([5, 6, 7]), np.array([8, 1]), 3, unit="token", decoder=np.array([0, 8]))
    b = Example("b", np.array([5]), np.array([9]), 1, unit="token", decoder=np.array([0]))
    batch = pack([a, b])
    assert batch.decoder is not None and batch.decoder.tokens.tolist() == [0, 8, 0] and batch.decoder.lengths == (2, 1)
    assert batch.positions.tolist() == [0, 1, 2] and batch.owners().tolist() == [0, 0, 1] and len(a) == 5


def test_a_step_can_alter_its_examples_by_their_keys() -> None:
    examples = {i: Example(i, np.array([1, 2]), 0, 2) for i in "ab"}
    seen = []
    make = collate(examples, 3, lambda example, k: seen.append(k) or replace(example, tokens=np.array([k % 7])))  # type: ignore[func-returns-value]
    assert make(["b", "a"], 5).lengths == (1, 1)
    assert seen == [key(3, 5, "b"), key(3, 5, "a")]


def test_tokens_are_counted_where_they_are_asked_for() -> None:
    asked = [Example("a", np.array([5, 6, 7]), np.array([6, 6, IGNORED]), 3, unit="token")]
    assert token_counts([*asked, Example("b", np.array([1]), None, 1, unit="token")]) == (0, 0, 0, 0, 0, 0, 2)
    unmasked = [Example("a", np.array([2, 0, 2]), np.full(3, IGNORED), 3, unit="token")]
    assert token_counts(unmasked) == (1, 0, 2) and token_counts([]) == ()


def test_a_batch_goes_to_the_device_that_is_asked_for() -> None:
    """An objective reads targets and positions beside the scores: they must be where the model is."""
    a = Example("a", np.array([5, 6, 7]), np.array([IGNORED, 7, 1]), 3, unit="token", given={"reference": 1.0})
    batch = collate({"a": a}, 3, device=torch.device("meta"))(["a"], 0)
    there = [batch.tokens, batch.targets, batch.positions, batch.keys, batch.given["reference"]]
    assert all(t is not None and t.device.type == "meta" for t in there)
    assert collate({"a": a}, 3, device=torch.device("cpu"))(["a"], 0).tokens.device.type == "cpu"


def believed(record: Record) -> np.ndarray | None:
    given = dict(record.soft)
    return np.array([given.get("no", 0), given.get("yes", 0)], np.float32) if given else None


def test_what_is_not_sure_makes_a_batch_of_probabilities() -> None:
    soft = replace(record("a"), soft=(("no", 0.25), ("yes", 0.75)))
    made = encode([soft, record("b", None), record("c", "no")], letters, LABELS.get, 8, believed)
    assert [e.target for e in made] == [1, None, 0], "all but the loss goes by the label"
    batch = pack(made)
    assert batch.targets.tolist() == [[0.25, 0.75], [1.0, 0.0]] and batch.positions.tolist() == [0, 2]
    assert batch.targets.dtype == torch.float32
    assert pack(made[1:]).targets.tolist() == [0], "a batch of sure labels is as it ever was"


def test_weights_of_rows_are_those_of_their_units() -> None:
    heavy = replace(record("a"), weight=2.5)
    made = encode([heavy, record("b", None), record("c")], letters, LABELS.get, 8)
    assert pack(made[1:]).weights is None
    weights = pack(made).weights
    assert weights is not None and weights.tolist() == [2.5, 1.0], "an unlabelled row has no unit"
    tokens = [
        Example(i, np.arange(3), np.array(target), 3, unit="token")
        for i, target in (("a#0", [IGNORED, 4, 5]), ("a#1", [6, IGNORED, IGNORED]), ("b", [7, 8, 9]))
    ]
    a, b = Record("a", "", None, Source("f", 1), weight=0.5), Record("b", "", None, Source("f", 1))
    weights = pack(weighted(tokens, [a, b])).weights
    assert weights is not None and weights.tolist() == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    two_sided = [
        replace(e, unit="pair", target=0, other=replace(e, unit="pair", target=0)) for e in weighted(tokens, [a, b])
    ]
    weights = pack(two_sided).weights
    assert weights is not None and weights.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
