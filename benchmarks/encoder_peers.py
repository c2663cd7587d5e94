"""Hugging Face Trainer as its tutorial, its defaults and an expert would run it.

The options of `TrainingArguments` are those of transformers 5: `train_sampling_strategy="group_by_length"` is what
version 4 called `group_by_length=True`; `use_cpu=True` turns memory pinning off by itself; the fused AdamW is the
default; `report_to` is "none" by default and said again here. Loading in the main process is best on a machine with
few cores and rows that are already token ids: worker processes would take a core from the products.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract import PASSES, PROBE_ROWS, EncoderSettings, Finish, Outcome, Probe, tokens_digest
from trainers import begin_alike, lora, recorded, shared_arguments


@dataclass(frozen=True)
class Prediction:
    """A way to predict: rows in a batch, sorted by length or as they come, weights cast to bfloat16 or not."""

    batch: int | None = None
    sorted: bool = True
    cast: bool = False

    @property
    def name(self) -> str:
        """The setting in words."""
        order = "sorted" if self.sorted else "unsorted"
        return f"batch {self.batch or 'as trained'}, {order}{', weights in bfloat16' if self.cast else ''}"


@dataclass(frozen=True)
class Peer:
    """One way to set Trainer up; what is None is the shared setting. `predictions[0]` gives the result.

    `still`: frozen layers stay in evaluation mode, as Trainer alone does not leave them; `cast`: frozen weights are
    kept in bfloat16.
    """

    title: str
    batch: int | None = None
    accumulation: int = 1
    padding: bool | str = False
    grouped: bool = False
    bfloat16: bool = False
    attention: str = "sdpa"
    attention_dropout: float | None = None
    sampled: bool = False
    predictions: tuple[Prediction, ...] = (Prediction(),)
    still: bool = False
    cast: bool = False


BEST_32 = (Prediction(), Prediction(batch=128))
BEST_16 = (*BEST_32, Prediction(cast=True))
TUNED = Peer("Trainer, tuned: float32, grouped by length", grouped=True, predictions=BEST_32)
TUNED_16 = replace(TUNED, title="Trainer, tuned: bfloat16, grouped by length", bfloat16=True, predictions=BEST_16)
ONCE = (Prediction(),)

PEERS: dict[str, Peer] = {
    "tutorial": Peer(
        "Trainer, tutorial: padded to 512, batch 1 x 4", 1, 4, "max_length", sampled=True, predictions=()
    ),
    "default": Peer("Trainer as it comes: float32, dynamic padding", predictions=(Prediction(sorted=False),)),
    "tuned_float32": TUNED,
    "tuned_bfloat16": TUNED_16,
    "tuned_bfloat16_eager": replace(TUNED_16, title=f"{TUNED_16.title}, eager attention", attention="eager",
                                    predictions=ONCE),
    "nodropout_float32": replace(TUNED, title=f"{TUNED.title}, no attention dropout", attention_dropout=0.0,
                                 predictions=ONCE),
    "nodropout_bfloat16": replace(TUNED_16, title=f"{TUNED_16.title}, no attention dropout", attention_dropout=0.0,
                                  predictions=ONCE),
}  # fmt: skip

Encoded = list[dict[str, Any]]


class CountingCollator:
    """A collator that notes the real lengths of each micro-batch it makes."""

    def __init__(self, inner: Any) -> None:
        """`inner` makes the batch."""
        self.inner = inner
        self.lengths: list[list[int]] = []

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        """The batch of these rows."""
        self.lengths.append([sum(row["attention_mask"]) for row in rows])
        return self.inner(rows)


def arguments(peer: Peer, settings: EncoderSettings, folder: str, **changed: Any) -> dict[str, Any]:
    """The options of `TrainingArguments` for this peer."""
    options = shared_arguments(settings, folder) | {
        "per_device_train_batch_size": peer.batch or settings.batch,
        "per_device_eval_batch_size": peer.batch or settings.batch,
        "gradient_accumulation_steps": peer.accumulation,
        "eval_strategy": "no",
    }
    if peer.grouped:
        options |= {
            "train_sampling_strategy": "group_by_length",
            "dataloader_num_workers": 0,
            "dataloader_pin_memory": False,
            "logging_nan_inf_filter": False,
        }
    if peer.bfloat16:
        options["bf16"] = True
    if peer.sampled:
        options["max_steps"] = max(1, settings.tutorial_steps // peer.accumulation)
    return options | changed


def load(peer: Peer, settings: EncoderSettings) -> Any:
    """The initial model with this peer's attention, adapted as the settings say."""
    import torch
    from transformers import AutoModelForSequenceClassification

    changed = {} if peer.attention_dropout is None else {"attention_probs_dropout_prob": peer.attention_dropout}
    model = AutoModelForSequenceClassification.from_pretrained(
        settings.model, attn_implementation=peer.attention, dtype=torch.float32, local_files_only=True, **changed
    )
    return adapted(model, peer, settings)


def adapted(model: Any, peer: Peer, settings: EncoderSettings) -> Any:
    """Frozen parts as quick starts freeze them, or peft's LoRA with the initial weights that everyone has."""
    import torch

    if settings.adaptation == "full":
        return model
    way, options = next(iter(settings.adaptation.items()))
    if way == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, lora(options["rank"], options["alpha"], "SEQ_CLS"))
        begin_alike(model, settings.adapter)
    for part in frozen_parts(model, way, options):
        part.requires_grad_(False)
        if peer.still:
            hold_still(part)
    for parameter in model.parameters() if peer.cast else ():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    return model


def frozen_parts(model: Any, way: str, options: dict[str, Any]) -> list[Any]:
    """The modules of a BERT that do not learn where the head does, alone or with what lies under it."""
    body = model.base_model
    if way == "frozen":
        return [body.embeddings, *body.encoder.layer[: len(body.encoder.layer) - options["top"]]]
    if way == "head":
        return [body.embeddings, body.encoder] if options["pooler"] else [body]
    return []


def hold_still(part: Any) -> None:
    """Evaluation mode that `model.train()`, which Trainer calls at every step, does not end."""
    part.eval()
    part.train = lambda mode=True: part


def encode(
    peer: Peer, tokenizer: Any, texts: Sequence[str], settings: EncoderSettings, labels: Sequence[int] = ()
) -> Encoded:
    """Token ids of every row, padded where the peer pads beforehand; token types are left to the model (all 0)."""
    found = tokenizer(list(texts), truncation=True, max_length=settings.max_length, padding=peer.padding)
    rows: Encoded = [
        {"input_ids": ids, "attention_mask": mask}
        for ids, mask in zip(found["input_ids"], found["attention_mask"], strict=True)
    ]
    for row, label in zip(rows, labels, strict=False):
        row["labels"] = label
    return rows


def trainer_of(peer: Peer, settings: EncoderSettings, model: Any, tokenizer: Any, rows: Encoded, **changed: Any) -> Any:
    """A Trainer that keeps each micro-batch's loss in `losses` and its clocks in `ticks`."""
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    recording, clock, ticks = recorded(Trainer)
    trainer = recording(
        model=model,
        args=TrainingArguments(**arguments(peer, settings, str(Path(settings.model).parent / "peer"), **changed)),
        train_dataset=rows,
        data_collator=CountingCollator(DataCollatorWithPadding(tokenizer)),
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.losses, trainer.ticks = [], ticks
    return trainer


def steps_of(peer: Peer, trainer: Any) -> tuple[list[list[int]], list[float]]:
    """Each optimizer step's example lengths and mean loss, from those of its micro-batches.

    The collator runs ahead of the steps and in their order. Trainer leaves the loss of a classifier undivided when it
    accumulates (5.23: it takes every `forward(**kwargs)` for one that divides by `num_items_in_batch`), so a step's
    loss is the mean of its micro-batches' here.
    """
    losses = [float(loss) for loss in trainer.losses]
    lengths = trainer.data_collator.lengths[: len(losses)]
    starts = range(0, len(losses), peer.accumulation)
    return (
        [[n for part in lengths[i : i + peer.accumulation] for n in part] for i in starts],
        [sum(part) / len(part) for i in starts if (part := losses[i : i + peer.accumulation])],
    )


def predict(trainer: Any, rows: Encoded, how: Prediction, batch: int) -> list[int]:
    """Label indices in the rows' order. Sequential sampling over sorted rows beats Trainer's own grouping."""
    order = list(range(len(rows)))
    if how.sorted:
        order.sort(key=lambda i: -len(rows[i]["input_ids"]))
    trainer.args.train_sampling_strategy = "random"
    trainer.args.per_device_eval_batch_size = how.batch or batch
    trainer.args.bf16_full_eval = how.cast
    scores = trainer.predict([rows[i] for i in order]).predictions
    found = [0] * len(rows)
    for i, label in zip(order, scores.argmax(-1).tolist(), strict=True):
        found[i] = label
    return found


def time_passes(peer: Peer, trainer: Any, rows: Encoded, batch: int) -> dict[str, list[float]]:
    """Seconds of each prediction pass after a warm-up of four batches; the cast of the weights comes last."""
    passes: dict[str, list[float]] = {}
    for how in sorted(peer.predictions, key=lambda p: p.cast):
        predict(trainer, rows[: 4 * (how.batch or batch)], how, batch)
        passes[how.name] = []
        for _ in range(PASSES):
            start = time.perf_counter()
            predict(trainer, rows, how, batch)
            passes[how.name].append(time.perf_counter() - start)
    return passes


def probe(peer: Peer, settings: EncoderSettings, tokenizer: Any, rows: Encoded) -> Probe:
    """One step of rate 0 over the first rows through the whole Trainer, every dropout at 0."""
    import torch

    model, rows, norms = load(peer, settings), rows[:PROBE_ROWS], []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = peer.batch or len(rows)
    changed = {
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": len(rows) // batch,
        "max_steps": 1,
        "learning_rate": 0.0,
        "logging_steps": 1,
        "train_sampling_strategy": "sequential",
    }
    trainer = trainer_of(peer, settings, model, tokenizer, rows, **changed)
    trainer.log = lambda logs, *_: norms.append(logs.get("grad_norm"))
    trainer.train()
    losses = [float(loss) for loss in trainer.losses]
    return Probe(loss=sum(losses) / len(losses), gradient_norm=float(norms[0]), rows=len(rows))


def peer(
    peer: Peer,
    train_texts: Sequence[str],
    train_labels: Sequence[int],
    valid_texts: Sequence[str],
    settings: EncoderSettings,
) -> Outcome:
    """Fine-tune, predict, time the prediction, then look at step 0, in this order: see `Outcome`."""
    marks = [time.perf_counter()]

    def lap() -> float:
        marks.append(time.perf_counter())
        return marks[-1] - marks[-2]

    import torch
    import transformers
    from transformers import AutoTokenizer, Trainer  # noqa: F401  the class is imported lazily, and slowly

    seconds = {"imports": lap()}
    transformers.set_seed(settings.seed)
    tokenizer, model = AutoTokenizer.from_pretrained(settings.model, local_files_only=True), load(peer, settings)
    seconds["load"] = lap()
    train = encode(peer, tokenizer, train_texts, settings, train_labels)
    valid = encode(peer, tokenizer, valid_texts, settings)
    seconds["encode"] = lap()
    trainer = trainer_of(peer, settings, model, tokenizer, train)
    cpu = time.process_time()
    trainer.train()
    cpu, seconds["train"] = time.process_time() - cpu, lap()
    lengths, losses = steps_of(peer, trainer)
    predictions = predict(trainer, valid, peer.predictions[0], settings.batch) if peer.predictions else []
    seconds["predict"] = lap()
    finish = Finish.now()
    return Outcome(
        precision="bfloat16" if peer.bfloat16 else "float32",
        options={
            **arguments(peer, settings, ""),
            "attention": model.config._attn_implementation,
            "attention_dropout": model.config.attention_probs_dropout_prob,
            "hidden_dropout": model.config.hidden_dropout_prob,
            "threads": torch.get_num_threads(),
        },
        seconds=seconds,
        train_cpu_seconds=cpu,
        steps=trainer.ticks.steps(lengths, losses),
        predictions=predictions,
        passes=time_passes(peer, trainer, valid, settings.batch),
        finish=finish,
        tokens_digest=tokens_digest(
            [n for n, real in zip(row["input_ids"], row["attention_mask"], strict=True) if real]
            for row in (*train, *valid)
        ),
        probe=probe(peer, settings, tokenizer, train) if settings.probe else None,
        learns=sum(p.numel() for p in model.parameters() if p.requires_grad),
    )
