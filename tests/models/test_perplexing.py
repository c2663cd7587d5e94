"""Perplexities of texts under a real small model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tunewright.core.errors import ModelError
from tunewright.models.perplexing import perplexity

STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside."
NOISE = "zq xv 1 9 ## kj wpf lmt"


def test_stories_are_likelier_than_noise_and_batches_change_nothing(shared: Path) -> None:
    judge = perplexity("stories260K", shared / "models")
    values = judge([NOISE, STORY, "", STORY * 200, STORY])
    assert values[1] < 3 < 100 < values[0]
    assert math.isnan(values[2])
    assert np.isfinite(values[3])
    assert values[1] == pytest.approx(values[4], rel=1e-5)
    assert judge([STORY])[0] == pytest.approx(values[1], rel=1e-4)
    assert len(judge([])) == 0


def test_it_is_what_transformers_says(shared: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = shared / "models/stories260K"
    tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModelForCausalLM.from_pretrained(place)
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(STORY, add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    assert perplexity(str(place))([STORY])[0] == pytest.approx(float(loss.exp()), rel=2e-2)


def test_an_encoder_cannot_say_it() -> None:
    with pytest.raises(ModelError, match="encoder"):
        perplexity("minilm")
