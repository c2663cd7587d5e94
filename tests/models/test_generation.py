"""Generated texts against transformers' own, one prompt at a time; batches, places and stops."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generation_cases import DECODERS, SOURCES, Spelling, model_of, ours, prompts_of, theirs

from tunewright.core.errors import DataError, RecipeError
from tunewright.models import generation
from tunewright.models.cache import Slots
from tunewright.models.generation import Generation, Prompt, generating
from tunewright.models.sampling import Draw, History, Rules

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


@pytest.mark.parametrize("case", ["llama", "mistral", "t5", "bart"])
@pytest.mark.parametrize("options", [{"beams": 3}, {}, {"method": "sampling"}], ids=str)
def test_order_company_and_budget_change_nothing(case: str, options: dict[str, Any]) -> None:
    model, prompts = model_of(case), prompts_of((4, 8, 2, 6, 3, 3, 11, 1, 5, 7))
    options = method({**options, "max_new_tokens": 10, "repetition_penalty": 1.2})
    whole = {text.id: (text.tokens, text.text) for text in ours(model, prompts, **options)}
    for budget, some in [(50, prompts[::-1]), (90, prompts[3:8]), (1, prompts[:4]), (32768, prompts[5:6])]:
        found = ours(model, some, batch_tokens=budget, **options)
        assert {text.id: (text.tokens, text.text) for text in found} == {p.id: whole[p.id] for p in some}
    assert len({tokens for tokens, _ in whole.values()}) > 5


def test_a_draw_depends_on_seed_and_item() -> None:
    model, prompt = model_of("llama"), prompts_of((5,))[0]
    same = [replace(prompt, id=f"copy {i}") for i in range(6)]
    options = {"max_new_tokens": 8, "method": "sampling"}
    texts = [text.tokens for text in ours(model, same, **options)]
    assert len({*texts}) == 6
    assert texts == [text.tokens for text in ours(model, same, **options)]
    assert texts != [text.tokens for text in ours(model, same, seed=1, **options)]


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.6}, {"temperature": 1.5, "top_k": 9, "top_p": 0.8}],
    ids=str,
)
def test_draws_follow_transformers_filters(options: dict[str, Any]) -> None:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    model, prompt, n = model_of("llama"), prompts_of((6,))[0], 3000
    with torch.no_grad():
        scores = model(torch.as_tensor(prompt.tokens)[None]).logits[:, -1]
    scores = TemperatureLogitsWarper(options.get("temperature", 1.0))(None, scores)
    if "top_k" in options:
        scores = TopKLogitsWarper(options["top_k"])(None, scores)
    if "top_p" in options:
        scores = TopPLogitsWarper(options["top_p"])(None, scores)
    expected = scores.softmax(-1)[0].double().numpy()
    draw = Draw(3, options.get("temperature", 1.0), options.get("top_k", 0), options.get("top_p", 1.0))
    with torch.no_grad():
        logits = model(torch.as_tensor(prompt.tokens)[None]).logits[:, -1].expand(n, -1)
    found = np.bincount(draw(logits, [(str(i), 0) for i in range(n)]).numpy(), minlength=len(expected)) / n
    assert not found[expected == 0].any()
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / n)
    assert np.abs(found - np.roll(expected, 1)).max() > 4 * np.sqrt(0.25 / n)


def test_the_least_share_is_the_best_token() -> None:
    scores = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    items = [(str(i), 0) for i in range(50)]
    assert torch.equal(Draw(0, 1.0, 0, 1e-9)(scores, items), scores.argmax(-1))
    assert torch.equal(Draw(0, 1.0, 1, 1.0)(scores, items), scores.argmax(-1))


@pytest.mark.parametrize(("repetition", "ngram"), [(1.6, 0), (0.5, 0), (1.0, 2), (1.3, 3)])
def test_rules_on_rows_of_different_lengths(repetition: float, ngram: int) -> None:
    from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(5, 9, (n,), generator=generator) for n in (6, 2, 4, 11)]
    history, rules = History(torch.device("cpu")), Rules(repetition, ngram)
    history.extend(rows[:2], 3)
    history.extend(rows[2:], 3)
    for _ in range(3):
        scores, new = torch.randn(4, 12, generator=generator), torch.randint(5, 9, (4,), generator=generator)
        for row, (found, plain) in enumerate(zip(rules(scores, history, 0), scores, strict=True)):
            expected = RepetitionPenaltyLogitsProcessor(repetition)(rows[row][None], plain[None].clone())
            if ngram:
                expected = NoRepeatNGramLogitsProcessor(ngram)(rows[row][None], expected)
            assert torch.equal(found, expected[0])
        assert torch.equal(rules(scores[2:], history, 2), rules(scores, history, 0)[2:])
        history.append(0, new)
        rows = [torch.cat([row, token[None]]) for row, token in zip(rows, new, strict=True)]
    history.keep(torch.tensor([3, 1]))
    assert [history.tokens[i, :n].tolist() for i, n in enumerate(history.sizes)] == [rows[3].tolist(), rows[1].tolist()]


def test_the_ends() -> None:
    model, prompts = model_of("llama"), prompts_of()
    free = ours(model, prompts, max_new_tokens=12, end=())
    assert all(text.truncated and len(text.tokens) == 12 for text in free)
    end = free[0].tokens[4]
    for text, all_of_it in zip(ours(model, prompts, max_new_tokens=12, end=(end, 1)), free, strict=True):
        at = min((all_of_it.tokens.index(t) for t in (end, 1) if t in all_of_it.tokens), default=12)
        assert text.tokens == all_of_it.tokens[:at]
        assert text.truncated == (at == 12)
        assert text.seconds > 0


@pytest.mark.parametrize("beams", [1, 3])
def test_stop_strings_are_cut_and_end_a_text(beams: int) -> None:
    model, prompts = model_of("qwen3"), prompts_of()
    options = {"max_new_tokens": 14, "end": (), "method": "beam", "beams": beams}
    free = ours(model, prompts, **options)
    stop = (free[0].text[3:6], free[2].text[5])
    stopped = ours(model, prompts, stop=stop, **options)
    assert not any(s in text.text for text in stopped for s in stop)
    assert [text.truncated for text in stopped].count(False) >= (2 if beams == 1 else 1)
    for text, whole in zip(stopped, free, strict=True) if beams == 1 else ():
        at = min((whole.text.find(s) for s in stop if s in whole.text), default=len(whole.text))
        assert text.text == whole.text[:at]
        assert text.truncated == (at == len(whole.text))
        assert len(text.tokens) <= at + 3


def test_a_stop_string_across_the_borders_of_tokens_of_many_letters() -> None:
    class Syllables:
        def decode(self, tokens: list[int], **options: Any) -> str:
            return "".join(f"<{t}>" for t in tokens)

    model, prompts = model_of("gpt2"), prompts_of()
    whole = ours(model, prompts[:1], tokenizer=Syllables(), end=(), max_new_tokens=9)[0]
    a, b = whole.tokens[3:5]
    stop = f"{a}"[-1] + "><" + f"{b}"[0]
    text = ours(model, prompts[:1], tokenizer=Syllables(), end=(), max_new_tokens=9, stop=(stop,))[0]
    assert text.text == whole.text[: whole.text.index(stop)]
    assert text.tokens == whole.tokens[: len(text.tokens)]
    assert stop in "".join(f"<{t}>" for t in text.tokens)
    assert stop not in "".join(f"<{t}>" for t in text.tokens[:-1])  # it ended there and then
    assert not text.truncated


def test_stop_strings_with_beams_as_transformers() -> None:
    from transformers import StoppingCriteria

    class Holds(StoppingCriteria):  # type: ignore[misc]
        def __init__(self, stop: str, first: int) -> None:
            self.stop, self.first = stop, first

        def __call__(self, tokens: Any, scores: Any, **options: Any) -> Any:
            return torch.tensor([self.stop in Spelling().decode(row[self.first :].tolist()) for row in tokens])

    model, stopped = model_of("llama"), 0
    for prompt in prompts_of():
        for free in theirs(model, prompt, max_new_tokens=9, beams=3)[1:5]:
            stop = Spelling().decode([free]) or "none"
            holds = Holds(stop, len(prompt.tokens))
            expected = theirs(model, prompt, max_new_tokens=9, beams=3, stopping_criteria=[holds])
            found = ours(model, [prompt], method="beam", beams=3, max_new_tokens=9, stop=(stop,))[0]
            assert found.tokens == expected
            assert found.text == Spelling().decode(list(expected)).partition(stop)[0]
            stopped += stop in Spelling().decode(list(expected))
    assert stopped > 3


def test_bart_as_it_comes_is_forced_to_end() -> None:
    prompts = prompts_of()
    model = model_of("bart", forced_eos_token_id=2)
    model.generation_config.forced_bos_token_id = 7
    for options in ({"max_new_tokens": 6}, {"max_new_tokens": 6, "method": "beam", "beams": 2}):
        plain = {k: v for k, v in options.items() if k != "method"}
        texts = ours(model, prompts, **options)
        assert [text.tokens for text in texts] == [theirs(model, prompt, **plain) for prompt in prompts]
        assert all(text.tokens[0] == 7 for text in texts)
        assert all(text.truncated == (len(text.tokens) == 5) for text in texts)
        assert any(text.truncated for text in texts)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for what was renamed
def test_lora() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model_of("llama"), LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]))
    plain = [text.tokens for text in ours(model, prompts_of(), max_new_tokens=8)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.5, generator=generator)
    found = [text.tokens for text in ours(model, prompts_of(), max_new_tokens=8)]
    assert found == [theirs(model.get_base_model(), prompt, max_new_tokens=8) for prompt in prompts_of()]
    assert found != plain


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_model_is_put_back(precision: str) -> None:
    for case in ("llama", "t5"):
        model = model_of(case).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        config = model.config

        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ours(model, prompts_of(), precision=precision, between=stop)
        assert model.training
        assert model.config is config
        assert config._attn_implementation == "sdpa"
        assert not any("forward" in module.__dict__ for module in model.modules())
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_texts_come_as_they_are_finished() -> None:
    model, prompts, steps = model_of("llama"), prompts_of(), []
    options = Generation(max_new_tokens=12)
    made = generating(
        model, prompts, options, seed=0, tokenizer=Spelling(), end=(2, 30, 31, 32), between=lambda: steps.append(len(seen))
    )  # fmt: skip
    seen: list[int] = []
    for place, text in made:
        assert not torch.is_inference_mode_enabled()
        assert text.id == prompts[place].id
        seen.append(place)
    assert sorted(seen) == list(range(len(prompts)))
    assert seen != sorted(seen)
    assert 0 < sum(n > 0 for n in steps) < len(steps)


def test_the_cache_is_bounded_and_places_are_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[tuple[int, int, int]] = []
    ages: list[int] = []
    plain = Slots.step

    def step(self: Slots, parents: Any) -> Any:
        held.append((self.places, self.capacity, self.n))
        ages.append(len({*self.steps.tolist()}))
        assert all(x.shape[0] * x.shape[1] == 2 * self.places * self.capacity for x in self.keys)
        return plain(self, parents)

    monkeypatch.setattr(Slots, "step", step)
    model, prompts = model_of("llama"), prompts_of((9, 9, 9, 8, 8, 7, 3, 3, 2, 2, 2, 1) * 2)
    texts = ours(model, prompts, max_new_tokens=8, batch_tokens=70, end=(2, 30, 31, 32, 33))
    assert all(places * capacity <= 70 for places, capacity, _ in held)
    assert max(n for *_, n in held) > min(places for places, *_ in held) > 1
    waves = sum(len(text.tokens) for text in texts) / len(held)
    assert waves > 2.5  # of 4 to 6 places
    assert max(ages) > 1  # new texts beside older ones


def test_wrong_options_are_named_all_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        Generation(
            max_new_tokens=0, method="best", temperature=0, top_k=-1, top_p=0.0, beams=True,  # type: ignore[arg-type]
            length_penalty=float("nan"), repetition_penalty=0, no_repeat_ngram=-1, stop=("",),
        )  # fmt: skip
    named = [problem.where for problem in caught.value.problems]
    assert named == [f"generation.{field.name}" for field in fields(Generation)]


def test_prompts_without_room_are_named() -> None:
    model, prompts = model_of("gpt2"), prompts_of((3, 40, 39))
    with pytest.raises(DataError) as caught:
        ours(model, prompts)
    assert "row1" in str(caught.value)
    assert "row2" not in str(caught.value)
    with pytest.raises(DataError, match="row0"):
        ours(model, prompts_of((0, 2)))
    last = ours(model, prompts_of((3, 38)), end=(), max_new_tokens=9)
    assert [len(text.tokens) for text in last] == [9, 2]
    assert all(text.truncated for text in last)
    assert ours(model, []) == []


@pytest.mark.parametrize("case", [*DECODERS, *sorted(SOURCES)])
def test_bfloat16_is_near(case: str) -> None:
    model, prompts = model_of(case), prompts_of()
    for options in ({}, {"method": "beam", "beams": 2}):
        exact, near = (ours(model, prompts, max_new_tokens=5, precision=p, **options) for p in ("float32", "bfloat16"))
        same = [a.tokens[:2] == b.tokens[:2] for a, b in zip(exact, near, strict=True)]
        assert sum(same) >= 6


@pytest.mark.parametrize("case", ["llama", "gpt2", "t5", "bart"])
def test_bfloat16_where_products_cannot_be_laid_out(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "works", lambda: False)
    model, prompts = model_of(case), prompts_of()
    exact, near = (ours(model, prompts, max_new_tokens=5, precision=p) for p in ("float32", "bfloat16"))
    assert sum(a.tokens[:2] == b.tokens[:2] for a, b in zip(exact, near, strict=True)) >= 6
    assert not any("forward" in module.__dict__ for module in model.modules())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_real_model(shared: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = shared / "models" / "stories260K"
    model, tokenizer = (x.from_pretrained(place, local_files_only=True) for x in (AutoModelForCausalLM, AutoTokenizer))
    starts = ["Once upon a time", "Lily and Tom went to the park. They", "One day", "The dog was sad because", "A"]
    prompts = [Prompt(text, np.array(tokenizer(text)["input_ids"])) for text in starts]
    settings: list[dict[str, Any]] = [
        {"max_new_tokens": 60}, {"max_new_tokens": 40, "repetition_penalty": 1.2, "no_repeat_ngram": 3},
        {"max_new_tokens": 30, "beams": 4}, {"max_new_tokens": 30, "beams": 2, "length_penalty": 0.0},
    ]  # fmt: skip
    for options in settings:
        texts = ours(model, prompts, tokenizer=tokenizer, batch_tokens=300, **method(options))
        assert [text.tokens for text in texts] == [theirs(model, prompt, **options) for prompt in prompts]
    story = ours(model, prompts, tokenizer=tokenizer, max_new_tokens=60, stop=(". ",))[0]
    assert story.text.startswith(", there was a little")
    assert ". " not in story.text
    assert not story.truncated
