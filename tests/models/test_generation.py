"""Generated texts against transformers' own, one prompt at a time; batches, places and stops."""

from __future__ import annotations

from typing import Any

import pytest
from generation_cases import DECODERS, SOURCES, model_of, ours, prompts_of, theirs

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 12},
    "greedy-repetition": {"max_new_tokens": 12, "repetition_penalty": 1.7},
    "greedy-ngram": {"max_new_tokens": 14, "no_repeat_ngram": 2},
    "greedy-both": {"max_new_tokens": 14, "no_repeat_ngram": 3, "repetition_penalty": 0.7},
    "greedy-ngram-1": {"max_new_tokens": 14, "no_repeat_ngram": 1},
    "beam": {"max_new_tokens": 12, "beams": 4},
    "beam-3-long": {"max_new_tokens": 12, "beams": 3, "length_penalty": 2.0},
    "beam-2-short": {"max_new_tokens": 9, "beams": 2, "length_penalty": -0.5},
    "beam-rules": {"max_new_tokens": 12, "beams": 3, "no_repeat_ngram": 2, "repetition_penalty": 1.4},
    "beam-1": {"max_new_tokens": 7, "beams": 1},
}


def method(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "method": "beam"} if "beams" in options else options


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("case", [*DECODERS, *sorted(SOURCES)])
def test_equal_to_transformers(case: str, setting: str) -> None:
    options, prompts = SETTINGS[setting], prompts_of()
    model = model_of(case)
    expected = [theirs(model, prompt, **options) for prompt in prompts]
    for budget in (32768, 40):
        found = ours(model, prompts, batch_tokens=budget, **method(options))
        assert [text.id for text in found] == [prompt.id for prompt in prompts]
        assert [text.tokens for text in found] == expected
    assert len({*expected}) > 1
