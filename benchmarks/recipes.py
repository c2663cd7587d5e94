"""The recipe of `tunewright run` that does what a benchmark's settings say."""

from __future__ import annotations

from typing import Any

from contract import Settings


def recipe_of(settings: Settings, **more: Any) -> dict[str, Any]:
    """Model, seed and training as every benchmark has them; `more` are further parts, and what is different in these."""
    beta1, beta2 = settings.betas
    update = {"decay": settings.weight_decay, "beta1": beta1, "beta2": beta2, "epsilon": settings.epsilon}
    shared: dict[str, Any] = {
        "model": {"name": settings.model, "max_tokens": settings.max_length},
        "training": {
            "epochs": settings.epochs,
            "batch": settings.batch,
            "rate": settings.rate,
            "schedule": "linear",
            "clip": settings.clip,
            "update": {"adamw": update},
        },
    }
    return {"seed": settings.seed, **more, **{name: part | more.get(name, {}) for name, part in shared.items()}}
