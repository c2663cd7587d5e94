"""What a tagger says of tokens, example by example, and where its tokens stand in their texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tunewright.core.spans import IGNORED
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.tagging import aligning, tag_scores, token_states
from tunewright.models.toy import toy_bert


def examples(count: int) -> list[Example]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        n = int(rng.integers(3, 12))
        target = np.where(rng.random(n) < 0.3, IGNORED, 0)
        made.append(Example(f"e{i}", rng.integers(5, 30, n), target, n, unit="token"))
    return made


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_every_example_gets_the_rows_of_its_own_tokens(layout: str) -> None:
    model, _ = toy_bert(5, 0, "TokenClassification")
    forward = ModelForward(model, layout=layout, precision="float32")  # type: ignore[arg-type]
    made = examples(9)
    scores, seconds = tag_scores(forward, made, budget=20)
    states, _ = token_states(forward, made, budget=20)
    assert len(scores) == len(states) == 9 and (seconds > 0).all()
    head = model.classifier
    for i, example in enumerate(made):
        supervised = int((np.asarray(example.target) != IGNORED).sum())
        assert scores[i].shape == (supervised, 5) and states[i].shape == (supervised, model.config.hidden_size)
        alone, _ = tag_scores(forward, [example])
        assert scores[i] == pytest.approx(alone[0], abs=1e-5)
        with torch.no_grad():
            told = head(torch.from_numpy(states[i])).numpy()
        assert told == pytest.approx(scores[i], abs=1e-5), "the head on these states gives these scores"


def test_places_of_tokens_with_and_without_a_limit() -> None:
    _, tokenizer = toy_bert(2, 0, "TokenClassification")
    aligned = aligning(tokenizer)
    text = "good bad, fine"
    ids, places, full = aligned([text, ""], 512)
    assert full == [len(ids[0]), len(ids[1])] and [len(at) for at in places] == full
    assert places[0][0] == places[0][-1] == (0, 0)
    assert [text[a:b] for a, b in places[0] if b > a] == ["good", "bad", ",", "fine"]
    short, cut, again = aligned([text], 4)
    assert again == full[:1] and len(short[0]) == 4 and cut[0][1] == (0, 4) and cut[0][-1] == (0, 0)
