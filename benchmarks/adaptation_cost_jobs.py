"""What a fresh process does for the table of costs: one shipped recipe, trained on real rows and judged on others."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

from contract import peak_mib


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Trains the recipe's adaptation with the recipe's own rate, schedule and update through the pieces of `tunewright run`."""
    import bitsandbytes  # noqa: F401  so that all begin with the same libraries in memory
    import peft  # noqa: F401
    import torch

    from tunewright.core.records import Record, Source
    from tunewright.core.tensors import parameters_of
    from tunewright.fitting import prepare_fit
    from tunewright.kinds import Encoded, begin
    from tunewright.models.forward import ModelForward
    from tunewright.models.loading import find
    from tunewright.models.scoring import score
    from tunewright.recipe import parse
    from tunewright.training import train

    rows = json.loads(Path(request["rows"]).read_text(encoding="utf-8"))
    recipe = parse(recipe_of(request["recipe"], request["epochs"], request["seed"]))
    names = rows["names"]
    records = [
        Record(f"t{i}", text, names[y], Source("", i))
        for i, (text, y) in enumerate(zip(rows["train_texts"], rows["train_labels"], strict=True))
    ]
    held = [Record(f"v{i}", text, None, Source("", i)) for i, text in enumerate(rows["valid_texts"])]
    kind = begin(recipe, find(recipe.model.name), {"train": records})
    whole = parameters_of(kind.loaded.model)
    examples, valid = kind.encode(records).examples, kind.encode(held).examples
    job = prepare_fit(recipe, kind, examples, Encoded([], []))
    before = _begin_peak()
    ticks = [time.perf_counter()]
    steps = train(job.forward, job.windows, job.objective, job.update, job.parameters, steps=job.plan.steps)
    ticks.extend(time.perf_counter() for _ in steps)
    peak = peak_mib()
    tuned = ModelForward(job.model, layout=job.forward.layout, precision=job.forward.precision, fixed=True)
    said = score(tuned, valid)[0].argmax(1).tolist()
    order = [list(kind.loaded.labels).index(names[y]) for y in rows["valid_labels"]]
    tuned.release()
    return {
        "adaptation": recipe.adaptation_name, "rate": job.rate, "precision": job.forward.precision,
        "learns": sum(p.numel() for p in job.parameters.values()), "parameters": whole, "steps": len(ticks) - 1,
        "step_seconds": statistics.median(b - a for a, b in itertools.pairwise(ticks)),
        "train_seconds": ticks[-1] - ticks[0], "before_mib": before, "peak_mib": peak, "stored": _stored(job),
        "right": sum(a == b for a, b in zip(said, order, strict=True)), "items": len(order),
        "threads": torch.get_num_threads(),
    }  # fmt: skip


def recipe_of(path: str, epochs: int, seed: int) -> dict[str, Any]:
    """A shipped recipe with other rows and epochs; what it says of the adaptation and of training stays."""
    import yaml

    found: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    found["data"] = {"train": "rows.csv", "text": "text", "label": "label"}
    found["training"] = {**found.get("training", {}), "epochs": epochs}
    found["training"].pop("stop", None)
    return {**found, "seed": seed, "model": "minilm"}


def _begin_peak() -> float:
    """MiB that are resident now; the kernel's high-water mark begins anew where it can be told so (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return peak_mib()
    return peak_mib()


def _stored(job: Any) -> int:
    """Bytes of the weights in the folder that a run would leave."""
    import tempfile

    from tunewright.models import rows
    from tunewright.models.saving import save

    job.forward.release()
    rows.remove(job.forward.inner)
    with tempfile.TemporaryDirectory() as folder:
        save(job.kind.loaded, job.model, Path(folder) / "model", adaptation_name=job.recipe.adaptation_name, extra={})
        return sum(p.stat().st_size for p in (Path(folder) / "model").glob("*.safetensors"))
