"""TRL's SFTTrainer and transformers' Trainer with peft: as their quick starts have them, and as an expert sets them.

TRL 1.16 as it comes: float32 weights under bfloat16 autocast, gradient checkpointing, no packing, the loss on the
completion alone where rows have a prompt and a completion, a head in tiles. What changes between the tuned contenders:
checkpointing off, rows of a batch alike in length (`train_sampling_strategy="group_by_length"`), packing, batches
without padding, the attention, the precision, and for LoRA the frozen weights kept in bfloat16. All read the rows in
one order, but for those that group or pack them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from causal_jobs import PROBE_ROWS, digest, encoded, held_out
from causal_rows import Chat
from contract import CausalSettings, Finish, Outcome, Probe
from trainers import begin_alike, lora, recorded, shared_arguments

Row = dict[str, list[int]]


@dataclass(frozen=True)
class Peer:
    """One way to set a trainer up; `plain` leaves everything that is not shared at its default."""

    title: str
    trainer: Literal["trl", "hf"] = "trl"
    plain: bool = False
    bfloat16: bool = True
    grouped: bool = False
    packing: bool = False
    flat: bool = False
    attention: str = "sdpa"
    cast: bool = False
    liger: bool = False
    adaptations: tuple[str, ...] = ("full", "lora")
    devices: tuple[str, ...] = ("cpu", "cuda")


TRL = Peer("TRL, bfloat16, no checkpointing")
HF = Peer("Trainer and peft, bfloat16, grouped by length", "hf", grouped=True)

PEERS: dict[str, Peer] = {
    "trl_default": Peer("TRL as it comes", plain=True),
    "trl_bfloat16": TRL,
    "trl_bfloat16_grouped": replace(TRL, title=f"{TRL.title}, grouped by length", grouped=True),
    "trl_bfloat16_grouped_eager": replace(
        TRL, title=f"{TRL.title}, grouped by length, eager attention", grouped=True, attention="eager"
    ),
    "trl_bfloat16_packed": replace(TRL, title=f"{TRL.title}, packed", packing=True),
    "trl_bfloat16_flat": replace(TRL, title=f"{TRL.title}, without padding", flat=True),
    "trl_cast_grouped": replace(
        TRL, title=f"{TRL.title}, frozen weights in bfloat16, grouped by length", grouped=True, cast=True,
        adaptations=("lora",),
    ),
    "trl_float32_grouped": replace(TRL, title="TRL, float32, no checkpointing, grouped by length", grouped=True,
                                   bfloat16=False, devices=("cpu",)),
    "hf_bfloat16_grouped": HF,
    "hf_bfloat16_grouped_eager": replace(HF, title=f"{HF.title}, eager attention", attention="eager"),
    "hf_bfloat16_flat": replace(HF, title="Trainer and peft, bfloat16, without padding", grouped=False, flat=True),
    "hf_cast_grouped": replace(HF, title=f"{HF.title}, frozen weights in bfloat16", cast=True, adaptations=("lora",)),
    "hf_float32_grouped": replace(HF, title="Trainer and peft, float32, grouped by length", bfloat16=False,
                                  devices=("cpu",)),
    "trl_liger": replace(TRL, title=f"{TRL.title}, Liger kernels", liger=True, devices=("cuda",)),
    "trl_liger_packed": replace(TRL, title=f"{TRL.title}, packed, Liger kernels", liger=True, packing=True,
                                devices=("cuda",)),
    "trl_flash_packed": replace(TRL, title=f"{TRL.title}, packed, FlashAttention", packing=True,
                                attention="flash_attention_2", devices=("cuda",)),
    "trl_flash_liger_packed": replace(
        TRL, title=f"{TRL.title}, packed, FlashAttention, Liger kernels", packing=True, liger=True,
        attention="flash_attention_2", devices=("cuda",),
    ),
}  # fmt: skip


class CountingCollator:
    """A collator that notes the real lengths and the supervised tokens of each batch that it makes."""

    def __init__(self, inner: Any) -> None:
        """`inner` makes the batch."""
        self.inner = inner
        self.lengths: list[list[int]] = []
        self.supervised: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        """The batch of these rows."""
        self.lengths.append([n for row in rows for n in row.get("seq_lengths") or [len(row["input_ids"])]])
        self.supervised.append(sum(label != -100 for row in rows for label in row["labels"]))
        return self.inner(rows)


def arguments(peer: Peer, settings: CausalSettings, folder: str, **changed: Any) -> dict[str, Any]:
    """The options of `SFTConfig` or `TrainingArguments` for this peer."""
    options = shared_arguments(settings, folder) | {
        "use_cpu": settings.device == "cpu",
        "max_steps": settings.steps or -1,
        "per_device_train_batch_size": settings.packs if peer.packing else settings.batch,
        "train_sampling_strategy": "group_by_length" if peer.grouped else "sequential",
    }
    if peer.trainer == "trl":
        options["max_length"] = None if peer.flat else settings.max_length
    if not peer.plain:
        options |= {"bf16": peer.bfloat16, "gradient_checkpointing": False, "logging_nan_inf_filter": False}
        if peer.trainer == "trl":
            options |= {"packing": peer.packing, "padding_free": peer.flat}
        if peer.liger:
            options["use_liger_kernel"] = True
    return options | changed


def model_options(peer: Peer) -> dict[str, Any]:
    """How the model is opened."""
    if peer.plain:
        return {}
    return {"attn_implementation": peer.attention, "dtype": "bfloat16" if peer.cast else "float32"}


def lora_of(settings: CausalSettings) -> Any:
    """peft's configuration, or None for full fine-tuning."""
    return lora(settings.rank, settings.alpha, "CAUSAL_LM") if settings.adaptation == "lora" else None


def trl_trainer(peer: Peer, settings: CausalSettings, rows: Sequence[Chat], **changed: Any) -> Any:
    """SFTTrainer from the folder's path and rows of a prompt and a completion, as its quick start has it."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list(
        [
            {"prompt": [{"role": "user", "content": row.prompt}],
             "completion": [{"role": "assistant", "content": row.completion}]}
            for row in rows
        ]
    )  # fmt: skip
    options = arguments(peer, settings, str(Path(settings.model).parent / "peer"), **changed)
    if model_options(peer):
        options["model_init_kwargs"] = model_options(peer)
    recording, clock, ticks = recorded(SFTTrainer)
    trainer = recording(
        model=settings.model, args=SFTConfig(**options), train_dataset=data, peft_config=lora_of(settings),
        callbacks=[clock],
    )  # fmt: skip
    trainer.losses, trainer.ticks = [], ticks
    return trainer


def hf_trainer(peer: Peer, settings: CausalSettings, rows: Sequence[Chat], **changed: Any) -> Any:
    """Trainer with a padding or flattening collator, around a model that peft has wrapped."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        DataCollatorWithFlattening,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(settings.model, local_files_only=True)
    options = model_options(peer)
    model = AutoModelForCausalLM.from_pretrained(
        settings.model, local_files_only=True, attn_implementation=options["attn_implementation"],
        dtype=getattr(torch, options["dtype"]),
    )  # fmt: skip
    if settings.adaptation == "lora":
        from peft import get_peft_model

        model = get_peft_model(model, lora_of(settings))
    data = []
    for row in rows:
        ids, labels = encoded(tokenizer, row)
        data.append({"input_ids": ids, "labels": labels} | ({} if peer.flat else {"attention_mask": [1] * len(ids)}))
    collator = DataCollatorWithFlattening() if peer.flat else DataCollatorForSeq2Seq(tokenizer)
    recording, clock, ticks = recorded(Trainer)
    trainer = recording(
        model=model, train_dataset=data, data_collator=collator, processing_class=tokenizer, callbacks=[clock],
        args=TrainingArguments(**arguments(peer, settings, str(Path(settings.model).parent / "peer"), **changed)),
    )  # fmt: skip
    trainer.losses, trainer.ticks = [], ticks
    return trainer


def trainer_of(peer: Peer, settings: CausalSettings, rows: Sequence[Chat], **changed: Any) -> Any:
    """The trainer with the shared initial weights, its batches counted."""
    make = trl_trainer if peer.trainer == "trl" else hf_trainer
    trainer = make(peer, settings, rows, **changed)
    if settings.adaptation == "lora":
        begin_alike(trainer.model, settings.adapter)
    trainer.data_collator = CountingCollator(trainer.data_collator)
    return trainer


def read_rows(trainer: Any) -> list[tuple[list[int], list[int]]]:
    """Ids and labels of every row that the trainer learns, packs taken apart."""
    found = []
    for row in trainer.train_dataset:
        start = 0
        for n in row.get("seq_lengths") or [len(row["input_ids"])]:
            found.append((list(row["input_ids"][start : start + n]), list(row["labels"][start : start + n])))
            start += n
    return found


def probe(peer: Peer, settings: CausalSettings, rows: Sequence[Chat]) -> Probe:
    """One step of rate 0 over the first rows through the whole trainer."""
    norms: list[Any] = []
    changed = {
        "per_device_train_batch_size": PROBE_ROWS, "max_steps": 1, "learning_rate": 0.0, "logging_steps": 1,
        "train_sampling_strategy": "sequential",
    }  # fmt: skip
    trainer = trainer_of(peer, settings, rows[:PROBE_ROWS], **changed)
    trainer.log = lambda logs, *_: norms.append(logs.get("grad_norm"))
    trainer.train()
    return Probe(loss=float(trainer.losses[0]), gradient_norm=float(norms[0]), rows=PROBE_ROWS)


def peer(peer: Peer, train: Sequence[Chat], valid: Sequence[Chat], settings: CausalSettings) -> Outcome:
    """Fine-tune, then judge the held-out rows and look at step 0, in this order: see `Outcome`."""
    began = time.perf_counter()
    import torch
    import transformers

    if peer.trainer == "trl":
        from trl import SFTTrainer  # noqa: F401  classes are imported lazily, and slowly
    else:
        from transformers import Trainer  # noqa: F401

    seconds = {"imports": time.perf_counter() - began}
    began = time.perf_counter()
    trainer = trainer_of(peer, settings, train)
    seconds["load"] = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    seconds["train"], cpu = time.perf_counter() - began, time.process_time() - cpu
    finish = Finish.now(torch.cuda.max_memory_allocated() / 2**20 if settings.device == "cuda" else None)
    losses = [float(loss) for loss in trainer.losses]
    counted = trainer.data_collator
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings.model, local_files_only=True)
    return Outcome(
        precision="bfloat16" if trainer.args.bf16 else "float32",
        options={
            **{name: getattr(trainer.args, name) for name in arguments(peer, settings, "")},
            "bf16": trainer.args.bf16,
            "gradient_checkpointing": trainer.args.gradient_checkpointing,
            "attention": trainer.model.config._attn_implementation,
            "weights": str(trainer.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
        },
        seconds=seconds,
        train_cpu_seconds=cpu,
        steps=trainer.ticks.steps(counted.lengths[: len(losses)], losses, counted.supervised[: len(losses)]),
        finish=finish,
        tokens_digest=digest(read_rows(trainer)),
        held_out=held_out(trainer.model, [encoded(tokenizer, row) for row in valid]),
        probe=probe(peer, settings, train) if settings.probe else None,
    )
