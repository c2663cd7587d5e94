"""What a fresh process does for the benchmark of shared prompts: the model, and training in one of two ways."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from causal_jobs import SHAPES, make_model, make_tokenizer
from causal_rows import sources
from contract import CausalSettings, Finish, Outcome, Probe, Ticks, tokens_digest


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Write the initial models and the groups of token ids: a prompt of `prompt` tokens, answers of about `answer`."""
    import torch

    folder, shape = Path(request["folder"]), SHAPES[request["shape"]]
    texts = [row.text() for _, rows in sources(None, None, request["pretend"]) for row in rows]
    tokenizer = make_tokenizer(texts, shape["vocab_size"])
    stream = iter([t for text in texts for t in tokenizer(text)["input_ids"] if t >= 4])
    end, user, assistant = (tokenizer.convert_tokens_to_ids(x) for x in ("<|end|>", "<|user|>", "<|assistant|>"))

    def take(n: int) -> list[int]:
        return [next(stream) for _ in range(n)]

    groups = []
    for _ in range(request["groups"]):
        prompt = [user, *take(request["prompt"] - 2), assistant]
        sizes = [request["answer"] + d for d in (-9, -6, -3, 0, 0, 3, 6, 9)]
        groups.append({"prompt": prompt, "answers": [[*take(n - 1), end] for n in sizes]})
    (folder / "rows.json").write_text(json.dumps(groups), encoding="utf-8")
    for seed in request["seeds"]:
        model = make_model(shape, tokenizer, 2048, seed)
        model.save_pretrained(folder / f"model-{seed}")
    return {"parameters": sum(p.numel() for p in model.parameters()), "threads": torch.get_num_threads(),
            "answers": len(sizes), "layers": model.config.num_hidden_layers,
            "width": model.config.hidden_size}  # fmt: skip


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Train on one group a step, `ADAPTATION/whole` or `ADAPTATION/once`: the same batches, shared prompts or not."""
    adaptation, how = request["contender"].split("/")
    settings = CausalSettings.from_json({**request["settings"], "adaptation": adaptation})
    groups = json.loads(Path(request["rows"]).read_text(encoding="utf-8"))
    outcome = _trained(groups, how == "once", settings)
    return {**outcome.as_json(), "time_to_result": outcome.finish.at - request["started"]}


def _trained(groups: list[dict[str, Any]], sharing: bool, settings: CausalSettings) -> Outcome:
    began = time.perf_counter()
    import torch

    from tunewright.encoding import pack
    from tunewright.training import train

    forward, objective, update, parameters = _engine(settings, len(groups))
    forward.sharing = sharing
    examples = [
        [_example(f"{i}.{k}", g["prompt"], a) for k, a in enumerate(g["answers"])] for i, g in enumerate(groups)
    ]
    seconds = {"load": time.perf_counter() - began}

    def windows() -> Iterator[list[Any]]:
        for group in examples:
            yield [pack(group)]

    ticks, reports = Ticks(), list[Any]()
    began, cpu = time.perf_counter(), time.process_time()
    ticks.tick()
    for report in train(forward, windows(), objective, update, parameters, steps=len(groups)):
        ticks.tick()
        reports.append(report)
    seconds["train"], cpu = time.perf_counter() - began, time.process_time() - cpu
    finish = Finish.now(torch.cuda.max_memory_allocated() / 2**20 if settings.device == "cuda" else None)
    lengths = [[len(e.tokens) for e in group] for group in examples]
    first = reports[0]
    return Outcome(
        precision=forward.precision,
        options={"layout": forward.layout, "adaptation": settings.adaptation},
        seconds=seconds,
        train_cpu_seconds=cpu,
        steps=ticks.steps(lengths, [r.loss for r in reports], [r.totals["token"] for r in reports]),
        finish=finish,
        tokens_digest=tokens_digest([e.tokens.tolist() for group in examples for e in group]),
        probe=Probe(loss=first.loss, gradient_norm=first.gradient_norm, rows=len(examples[0])),
    )


def _engine(settings: CausalSettings, steps: int) -> tuple[Any, Any, Any, Any]:
    """Forward, objective, update and parameters, as a recipe would make them."""
    from transformers import AutoModelForCausalLM

    from tunewright.core import registry
    from tunewright.core.seeds import key
    from tunewright.core.tensors import trainable
    from tunewright.models.forward import ModelForward
    from tunewright.recipe import families
    from tunewright.schedules import Scaled
    from tunewright.updates import AdamW, Clip

    families()
    lora = {"lora": {"rank": settings.rank, "alpha": settings.alpha}}
    model = AutoModelForCausalLM.from_pretrained(settings.model, local_files_only=True).float()
    adaptation: Any = registry.build("adaptation", lora if settings.adaptation == "lora" else "full")
    model = adaptation.attach(model, key(settings.seed, "adaptation")).to(settings.device).train()
    forward = ModelForward(model, precision="bfloat16")
    rate = Scaled(settings.rate, registry.build("schedule", "linear"))
    update = Clip(settings.clip, AdamW(rate=rate, decay=settings.weight_decay))
    parameters = trainable(model)
    return forward, registry.build("objective", "cross_entropy"), update.bind(parameters), parameters


def _example(name: str, prompt: Sequence[int], answer: Sequence[int]) -> Any:
    import numpy as np

    from tunewright.core.tensors import IGNORED
    from tunewright.encoding import Example

    tokens = np.asarray([*prompt, *answer], dtype=np.int64)
    target = np.full(len(tokens), IGNORED, dtype=np.int64)
    target[len(prompt) - 1 : -1] = tokens[len(prompt) :]
    return Example(name, tokens, target, len(tokens), unit="token")
