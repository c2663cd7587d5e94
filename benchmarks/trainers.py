"""What every trainer of transformers is given alike, and how its steps are recorded; the same LoRA for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract import Settings, Ticks


def shared_arguments(settings: Settings, folder: str) -> dict[str, Any]:
    """The options of `TrainingArguments` that no contender changes, but for the batch."""
    return {
        "output_dir": folder,
        "use_cpu": True,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch,
        "learning_rate": settings.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "optim": "adamw_torch_fused",
        "weight_decay": settings.weight_decay,
        "adam_beta1": settings.betas[0],
        "adam_beta2": settings.betas[1],
        "adam_epsilon": settings.epsilon,
        "max_grad_norm": settings.clip,
        "seed": settings.seed,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def recorded(base: type) -> tuple[type, Any, Ticks]:
    """A trainer that keeps each step's loss in `losses`, its callback that keeps the clocks, and the clocks."""
    from transformers import TrainerCallback

    ticks = Ticks()

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ticks.tick()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ticks.tick()

    class Recorded(base):  # type: ignore[misc]
        def training_step(self, *given: Any, **named: Any) -> Any:
            loss = super().training_step(*given, **named)
            self.losses.append(loss)
            return loss

    return Recorded, Clock(), ticks


def lora(rank: int, alpha: float, task: str) -> Any:
    """peft's configuration of the LoRA that all begin with."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type=task)


def begin_alike(model: Any, adapter: str) -> None:
    """Put the adapter's initial weights, the same for everyone, in place of those that peft drew.

    Raises:
        ValueError: they do not fit.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    left = set_peft_model_state_dict(model, load_file(Path(adapter) / "adapter_model.safetensors"))
    absent = [name for name in left.missing_keys if "lora_" in name]
    if left.unexpected_keys or absent:
        raise ValueError(f"other adapter weights: {left.unexpected_keys[:3]}, without {absent[:3]}")
