"""Scores, losses and texts beside those of transformers itself; and those of the model when it was saved and opened."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example, pack
from tunewright.fitting import opened
from tunewright.models import plain, rows
from tunewright.models.generation import Prompt, generate
from tunewright.models.options import Generation
from tunewright.models.saving import open_saved, save
from tunewright.objectives import CrossEntropy
from tunewright.selftesting.results import Difference, Found, apart
from tunewright.selftesting.subjects import Subject

LOOSE = 1e-4
"""How far scores of another implementation may lie apart in float32: its sums are in another order."""
NEW_TOKENS = 16


def independent(subject: Subject) -> Found:
    """(f) Losses and scores beside transformers' own forward, an example at a time, and torch's cross entropy."""
    tokens = subject.task in ("language_modeling", "chat", "seq2seq", "token_classification")
    classes = subject.task == "classification"
    with subject.forward(subject.own) as forward:
        ours = told(forward, subject)
        step = subject.step(forward, [subject.ids], CrossEntropy()) if tokens or classes else None
    with _plain(subject) as model:
        theirs = {e.id: _reference(model, subject.altered(e), subject) for e in subject.examples}
    size = max(float(np.abs(x).max(initial=0)) for x in theirs.values()) or 1.0
    found: list[Difference] = []
    for id_, wanted in theirs.items():
        gap = float(np.abs(ours[id_] - wanted).max(initial=0)) if ours[id_].shape == wanted.shape else float("nan")
        found.append((gap / size, f"example {id_} beside transformers' own forward"))
    words = "scores equal transformers' own, an example at a time"
    if step is None:
        return Found.of(words, found, LOOSE)
    if tokens:
        count = sum(int((np.asarray(e.target) != IGNORED).sum()) for e in map(subject.altered, subject.examples))
        total = sum(float(x.sum()) for x in theirs.values())
    else:
        count = len(subject.examples)
        total = sum(_class_loss(theirs[e.id], e) for e in subject.examples)
    unit = "token" if tokens else "example"
    if step.totals.get(unit) != count:
        found.append(f"{count} {unit}s are supervised, and the step divides by {step.totals.get(unit)}")
    words = f"the loss is the sum over {count} supervised {unit}s by transformers' forward, divided by {count}"
    found.append((apart(total / count, step.loss), f"the loss is {step.loss:.6g}, by transformers {total / count:.6g}"))
    return Found.of(words, found, LOOSE)


def _class_loss(scores: Any, example: Example) -> float:
    return float(F.cross_entropy(torch.from_numpy(scores)[None], torch.tensor([int(example.target or 0)])))


def told(forward: Any, subject: Subject, examples: Sequence[Example] | None = None) -> dict[str, Any]:
    """What the model says of each example: the losses of its tokens, of both sides where there are two, or its scores."""
    examples = [subject.altered(e) for e in examples or subject.examples]
    batch = pack(examples)
    with torch.no_grad():
        tokens = batch.unit == "token"
        found = (forward.losses(batch) if tokens else forward(batch)).double().cpu()
    owners = batch.owners().cpu()
    return {e.id: found[owners == i].flatten().numpy() for i, e in enumerate(examples)}


def _reference(model: Any, example: Example, subject: Subject) -> Any:
    """As `told`, by the plain model, a sequence at a time."""
    sides = [example] if example.other is None else [example, example.other]
    if example.unit == "token":
        return torch.cat([plain.token_losses(model, side) for side in sides]).cpu().numpy()
    found = torch.cat([plain.scores(model, side).flatten() for side in sides]).cpu().numpy()
    if subject.kind.scale is not None:
        mean, spread = map(np.asarray, subject.kind.scale)
        found = found * spread + mean
    return found


class _plain:  # noqa: N801  (used as a statement)
    """The model as transformers knows it, in evaluation mode; our embedding rows come back after."""

    def __init__(self, subject: Subject) -> None:
        self.model = subject.job.model

    def __enter__(self) -> Any:
        model = self.model
        self.inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        live = self.inner.get_input_embeddings()
        self.live = live if isinstance(live, rows.LiveRows) else None
        rows.remove(self.inner)
        return model.eval()

    def __exit__(self, *of: object) -> None:
        if self.live is not None:
            self.inner.set_input_embeddings(self.live)


def saved(subject: Subject) -> Found:
    """(g) The saved model, opened again, reads rows and scores them as the model in training does."""
    with subject.forward(subject.own) as forward:
        before = told(forward, subject)
    part, kind = subject.recipe, subject.kind
    extra = {"precision": "float32", "max_tokens": kind.limit, "text": part.data.text, "pair": part.data.pair,
             "layout": subject.own, "device": part.model.device, "adapted": part.dump()["adaptation"],
             **kind.card()}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        with _plain(subject) as model:
            name = part.adaptation_name
            save(kind.loaded, model, Path(folder) / "model", adaptation_name=name, extra=extra)
        exact = part.model_copy(update={"model": part.model.model_copy(update={"precision": "float32"})})
        again, forward = opened(open_saved(Path(folder) / "model"), exact)
        read = {e.id: e for e in again.encode(subject.records).examples}
        found: list[Difference] = [
            f"example {e.id} has other tokens for the model that was opened again"
            for e in subject.examples
            if e.id not in read or not _alike(e, read[e.id])
        ]
        after = told(forward, subject)
    size = max(float(np.abs(x).max(initial=0)) for x in before.values()) or 1.0
    found += [
        (float(np.abs(before[i] - after[i]).max(initial=0)) / size, f"example {i}, before saving and opened again")
        for i in before
    ]
    return Found.of("the saved model, opened again, reads and scores the rows alike", found)


def _alike(one: Example, other: Example) -> bool:
    read = [np.array_equal(a, b) for a, b in zip(one.read(), other.read(), strict=False)]
    return len(one.read()) == len(other.read()) and all(read)


def texts(subject: Subject) -> Found:
    """(h) A greedy text is the same alone, in a batch and by `model.generate`, in float32."""
    ends: Sequence[int] = getattr(subject.kind, "ends", ())
    if not subject.prompts or not ends:
        return Found("this task writes no texts", applies=False)
    prompts = [Prompt(p.id, p.tokens) for p in subject.prompts]
    with _plain(subject) as model:

        def written(some: Sequence[Prompt]) -> Mapping[str, tuple[int, ...]]:
            made = generate(
                model, some, Generation(max_new_tokens=NEW_TOKENS), seed=subject.recipe.seed,
                tokenizer=subject.kind.loaded.tokenizer, end=ends,
            )  # fmt: skip
            return {one.id: one.tokens for one in made}

        together = written(prompts)
        found: list[Difference] = []
        for prompt in prompts:
            alone = written([prompt])[prompt.id]
            theirs = plain.greedy(model, prompt.tokens.tolist(), ends, min(NEW_TOKENS, _room(model, prompt)))
            for name, other in (("alone and among others", alone), ("here and by model.generate", theirs)):
                gap = _tie(model, prompt, together[prompt.id], other, ends)
                found.append((gap, f"the text of {prompt.id}, {name}: {_said(subject, together[prompt.id])} and "
                              f"{_said(subject, other)}"))  # fmt: skip
    words = f"{len(prompts)} greedy texts of up to {NEW_TOKENS} tokens: alone, in a batch, and by model.generate"
    return Found.of(words, found, LOOSE)


def _room(model: Any, prompt: Prompt) -> int:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    limit = getattr(inner.config, "max_position_embeddings", None)
    return NEW_TOKENS if not limit or inner.config.is_encoder_decoder else int(limit) - len(prompt.tokens)


def _tie(model: Any, prompt: Prompt, one: Sequence[int], other: Sequence[int], ends: Sequence[int]) -> float:
    """0 for equal texts; else how far apart the scores of the first different tokens lie, relative: a tie is 0, too."""
    if tuple(one) == tuple(other):
        return 0.0
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    scores = plain.following(inner, prompt.tokens.tolist(), one[:same])
    last = int(scores[list(ends)].argmax())
    left, right = (text[same] if same < len(text) else ends[last] for text in (one, other))
    return apart(float(scores[left]), float(scores[right]), float(scores.abs().max()))


def _said(subject: Subject, tokens: Sequence[int]) -> str:
    return repr(str(subject.kind.loaded.tokenizer.decode(list(tokens))))[:60]
