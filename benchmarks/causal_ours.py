"""Tunewright as a contender in causal language modelling: the seam between the benchmark and the package."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from causal_jobs import PROBE_ROWS, digest, encoded, held_out
from causal_rows import Chat
from contract import CausalSettings, Finish, Outcome, Probe, Ticks
from recipes import recipe_of


class InOrder:
    """A sampler that draws the examples in one given order, epoch after epoch: that of every other contender."""

    def __init__(self, ids: Sequence[str]) -> None:
        """`ids` in their order."""
        self.ids, self.drawn = list(ids), 0

    def draw(self, n: int) -> list[str]:
        """The next `n`."""
        found = [self.ids[i % len(self.ids)] for i in range(self.drawn, self.drawn + n)]
        self.drawn += n
        return found

    def observe(self, report: Any) -> None:
        """Nothing is learnt from a report."""

    def state(self) -> dict[str, Any]:
        """How many were drawn."""
        return {"drawn": self.drawn}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.drawn = int(state["drawn"])


def ours(train: Sequence[Chat], valid: Sequence[Chat], settings: CausalSettings, precision: str = "") -> Outcome:
    """Fine-tunes as `settings` says, through the same pieces that `tunewright run` puts together."""
    began = time.perf_counter()
    import torch

    from tunewright.core.conversations import prompt_text, reply_label
    from tunewright.core.records import Record, Source
    from tunewright.fitting import prepare_fit
    from tunewright.kinds import Encoded, begin
    from tunewright.models import rows as live
    from tunewright.models.loading import find
    from tunewright.recipe import parse
    from tunewright.training import train as steps_of

    seconds: dict[str, float] = {"imports": time.perf_counter() - began}
    recipe = parse(chat_recipe(settings, precision or "bfloat16"))

    def prepared(records: Sequence[Record], recipe: Any) -> tuple[Any, Any]:
        kind = begin(recipe, find(settings.model), {"train": records})
        seconds.setdefault("load", time.perf_counter() - began)
        examples = kind.encode(records).examples
        job = prepare_fit(recipe, kind, examples, Encoded([], []))
        job.windows.sampler = InOrder([e.id for e in examples])
        return job, examples

    began = time.perf_counter()
    records = [
        Record(
            f"r{i}",
            prompt_text([{"role": "user", "content": row.prompt}]),
            reply_label({"role": "assistant", "content": row.completion}),
            Source("", i),
        )
        for i, row in enumerate(train)
    ]
    job, examples = prepared(records, recipe)
    seconds["encode"] = time.perf_counter() - began - seconds["load"]

    seen, losses, supervised, ticks = list[list[int]](), list[float](), list[int](), Ticks()
    began, cpu = time.perf_counter(), time.process_time()
    ticks.tick()
    for report in steps_of(job.forward, job.windows, job.objective, job.update, job.parameters, steps=job.plan.steps):
        ticks.tick()
        seen.append([job.windows.lengths[i] for i in report.rows])
        losses.append(report.loss)
        supervised.append(report.totals["token"])
    seconds["train"], cpu = time.perf_counter() - began, time.process_time() - cpu
    finish = Finish.now(torch.cuda.max_memory_allocated() / 2**20 if settings.device == "cuda" else None)

    job.forward.release()
    live.remove(job.forward.inner)
    tokenizer = job.kind.loaded.tokenizer
    costs = held_out(job.model, [encoded(tokenizer, row) for row in valid])

    probe = None
    if settings.probe:
        first = chat_recipe(settings, precision or "bfloat16")
        first["training"] |= {"steps": 1, "batch": PROBE_ROWS}
        again, _ = prepared(records[:PROBE_ROWS], parse(first))
        report = next(
            iter(steps_of(again.forward, again.windows, again.objective, again.update, again.parameters, steps=1))
        )
        probe = Probe(loss=report.loss, gradient_norm=report.gradient_norm, rows=PROBE_ROWS)

    return Outcome(
        precision=job.forward.precision,
        options={"layout": job.forward.layout, "rate": job.rate, "adaptation": recipe.adaptation,
                 "recipe": recipe.training.model_dump(mode="json"), "notes": list(job.notes)},
        seconds=seconds,
        train_cpu_seconds=cpu,
        steps=ticks.steps(seen, losses, supervised),
        finish=finish,
        tokens_digest=digest([(e.tokens.tolist(), _labels(e)) for e in examples]),
        held_out=costs,
        probe=probe,
    )  # fmt: skip


def _labels(example: Any) -> list[int]:
    """As transformers has them: beside each token, not beside the one before."""
    return [-100, *example.target.tolist()[:-1]]


def chat_recipe(settings: CausalSettings, precision: str) -> dict[str, Any]:
    """The recipe of `tunewright run` that does what `settings` says."""
    lora = {"lora": {"rank": settings.rank, "alpha": settings.alpha, "dropout": 0.0, "targets": "all-linear"}}
    return recipe_of(
        settings,
        task="chat",
        data={"train": "rows.jsonl"},
        model={"precision": precision, "device": settings.device},
        adaptation=lora if settings.adaptation == "lora" else "full",
        objective="cross_entropy",
        training={"steps": settings.steps} if settings.steps else {},
    )
