"""Tunewright as a contender: the seam between the benchmark and the package."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract import KEPT, PASSES, PROBE_ROWS, EncoderSettings, Finish, Outcome, Probe, Ticks, tokens_digest
from recipes import recipe_of

WITHOUT_PEFT = {"full", "frozen", "head", "bias"}


def ours(
    train_texts: Sequence[str], train_labels: Sequence[int], valid_texts: Sequence[str], settings: EncoderSettings
) -> Outcome:
    """Fine-tunes as `settings` says, through the same pieces that `tunewright run` puts together."""
    began = time.perf_counter()
    import torch  # noqa: F401  counted as an import

    from tunewright.core.records import Record, Source
    from tunewright.fitting import prepare_fit
    from tunewright.kinds import Encoded, begin
    from tunewright.models.forward import ModelForward
    from tunewright.models.loading import find
    from tunewright.models.scoring import score
    from tunewright.recipe import parse
    from tunewright.training import train

    named = {settings.adaptation} if isinstance(settings.adaptation, str) else set(settings.adaptation)
    if not named <= WITHOUT_PEFT:
        import peft  # noqa: F401  attaching is timed, and would import it
    seconds: dict[str, float] = {"imports": time.perf_counter() - began}
    labels = [str(i) for i in range(settings.labels)]
    recipe = parse(_recipe(settings))

    began = time.perf_counter()
    rows = [
        Record(f"t{i}", text, labels[y], Source("", i))
        for i, (text, y) in enumerate(zip(train_texts, train_labels, strict=True))
    ]
    held = [Record(f"v{i}", text, None, Source("", i)) for i, text in enumerate(valid_texts)]
    kind = begin(recipe, find(settings.model), {"train": rows})
    seconds["load"] = time.perf_counter() - began

    began = time.perf_counter()
    examples, valid = kind.encode(rows).examples, kind.encode(held).examples
    seconds["encode"] = time.perf_counter() - began
    began = time.perf_counter()
    job = prepare_fit(recipe, kind, examples, Encoded([], []))
    seconds["attach"] = time.perf_counter() - began

    seen: list[list[int]] = []
    losses: list[float] = []
    ticks = Ticks()
    began, cpu = time.perf_counter(), time.process_time()
    ticks.tick()
    for report in train(job.forward, job.windows, job.objective, job.update, job.parameters, steps=job.plan.steps):
        ticks.tick()
        seen.append([job.windows.lengths[i] for i in report.rows])
        losses.append(report.loss)
    seconds["train"], cpu = time.perf_counter() - began, time.process_time() - cpu

    began = time.perf_counter()
    trunk = job.forward.trunk
    keep = trunk.keep if trunk is not None and settings.cache else None  # as a run has it
    tuned = ModelForward(job.model, layout=job.forward.layout, precision=job.forward.precision, fixed=True, keep=keep)
    predicted = score(tuned, valid)[0].argmax(1).tolist()
    seconds["predict"] = time.perf_counter() - began
    finish = Finish.now()

    passes: dict[str, list[float]] = {}
    forwards = {"packed": tuned}
    if trunk is not None and trunk.keep is not None and trunk.layers.frozen():
        forwards[KEPT] = job.forward
    for name, forward in () if settings.survey else forwards.items():
        score(forward, valid)
        passes[name] = []
        for _ in range(PASSES):
            began = time.perf_counter()
            score(forward, valid)[0].argmax(1).tolist()
            passes[name].append(time.perf_counter() - began)

    return Outcome(
        precision=job.forward.precision,
        options={"layout": job.forward.layout, "rate": job.rate, "adaptation": recipe.adaptation,
                 "recipe": recipe.training.model_dump(mode="json"), "changed_method": list(job.notes)},
        seconds=seconds,
        train_cpu_seconds=cpu,
        steps=ticks.steps(seen, losses),
        predictions=predicted,
        passes=passes,
        finish=finish,
        tokens_digest=tokens_digest([e.tokens.tolist() for e in [*examples, *valid]]),
        probe=_probe(recipe, rows, examples) if settings.probe and not settings.survey else None,
        learns=sum(p.numel() for p in job.parameters.values()),
        stored=_stored(job, tuned) if settings.survey else 0,
    )  # fmt: skip


def _probe(recipe: Any, rows: Sequence[Any], examples: Sequence[Any]) -> Probe:
    """Loss and gradient of the initial model, dropout off."""
    import torch

    from tunewright.core.tensors import trainable
    from tunewright.encoding import pack
    from tunewright.fitting import prepare_fit
    from tunewright.kinds import Encoded, begin
    from tunewright.models.loading import find

    fresh = begin(recipe, find(recipe.model.name), {"train": rows})
    again = prepare_fit(recipe, fresh, examples, Encoded([], []))
    again.model.eval()
    again.model.get_input_embeddings().train()
    batch = pack(examples[:PROBE_ROWS])
    loss = torch.nn.functional.cross_entropy(again.forward(batch), batch.targets)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.get_total_norm([p.grad for p in trainable(again.model).values() if p.grad is not None])
    return Probe(loss=loss.item(), gradient_norm=norm.item(), rows=PROBE_ROWS)


def _stored(job: Any, tuned: Any) -> int:
    """Bytes of the weights in the folder that a run would leave."""
    from tunewright.models import rows
    from tunewright.models.saving import save

    tuned.release()
    job.forward.release()
    rows.remove(job.forward.inner)
    with tempfile.TemporaryDirectory() as folder:
        save(job.kind.loaded, job.model, Path(folder) / "model", adaptation_name=job.recipe.adaptation_name, extra={})
        return sum(p.stat().st_size for p in (Path(folder) / "model").glob("*.safetensors"))


def _recipe(settings: EncoderSettings) -> dict[str, Any]:
    data = {"train": "rows.csv", "text": "text", "label": "label"}
    training = {"trunk": {"keep": "disk", "folder": settings.cache}} if settings.cache else {}
    return recipe_of(settings, data=data, adaptation=settings.adaptation, training=training)
