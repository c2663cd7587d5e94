"""Fine-tunes language models on your own data, on your own machine, and proves that the result is better.

    core <- techniques <- verbs <- edges <- wiring

    core        values, protocols, errors, seeds, the registry
    techniques  data, encoding, adaptations, objectives, samplers, schedules, updates, metrics; never one another
    verbs       training, evaluation; receive techniques as arguments
    edges       models, tracking, reporting; the only places where a third party's framework appears
    wiring      recipe, fitting, running, predicting, checking, starting, cli

In Python: `tunewright.run("recipe.yaml")`, `tunewright.load("runs/name").predict(texts)`, `tunewright.load_adapters(folders)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunewright.predicting import load, load_adapters
    from tunewright.running import run

__version__ = "0.1.0"
__all__ = ["__version__", "load", "load_adapters", "run"]


def __getattr__(name: str) -> Any:
    """Imports what is heavy when it is asked for."""
    if name == "run":
        from tunewright.running import run

        return run
    if name in ("load", "load_adapters"):
        from tunewright import predicting

        return getattr(predicting, name)
    raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
