"""Perplexities of texts under a real small model."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tunewright.core.errors import ModelError
from tunewright.models.perplexing import perplexity, reply_losses

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


def test_losses_of_replies_are_those_of_the_reply_alone_token_by_token(shared: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = shared / "models" / "stories260K"
    pairs = [
        ("Tell me a story.", "Once upon a time there was a dog."),
        ("", "The dog ran home."),
        ("x" * 3000, "Once upon a time."),
    ]
    found = reply_losses(str(folder))([prompt for prompt, _ in pairs], [reply for _, reply in pairs])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for (prompt, reply), value in zip(pairs, found, strict=True):
        said = tokenizer(reply, add_special_tokens=False)["input_ids"]
        asked = tokenizer(f"{prompt}\n", add_special_tokens=False)["input_ids"] if prompt else []
        room = 512 - 1 - len(said)
        ids = torch.tensor([[tokenizer.bos_token_id, *asked[max(len(asked) - room, 0) :], *said]])
        with torch.no_grad():
            logits = model(ids).logits[0].double().log_softmax(-1)
        first = ids.shape[1] - len(said)
        own = -logits[torch.arange(first - 1, ids.shape[1] - 1), ids[0, first:]]
        assert abs(float(own.mean()) - value) < 2e-2 * max(1.0, value)
