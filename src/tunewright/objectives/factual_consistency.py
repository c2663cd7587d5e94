"""Factual consistency: what the model says by itself is to follow from its source, by a local entailment model.

The expected risk of `minimum_risk` with score(y) = P(source entails y), by the sequence classifier in the folder `model`
(trained on MNLI, say; it is asked once for every reply drawn). Entailment as a reward for summaries: Pasunuru and Bansal
2018, "Multi-Reward Reinforced Summarization with Saliency and Entailment"; as a judge of consistency: Kryscinski et al.
2020, "Evaluating the Factual Consistency of Abstractive Text Summarization".

What differs from both: the risk is Shen et al.'s expectation over samples, not a policy gradient. An entailment model can
be pleased by replies that say little: keep an inner objective beside it. Unit: example. Cost: as `minimum_risk`, and the
entailment model on every reply.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tunewright.core.files import sha256
from tunewright.core.registry import register
from tunewright.core.sampled import Measure
from tunewright.objectives.minimum_risk import Risk


@register("objective", "factual_consistency")
@dataclass(frozen=True)
class FactualConsistency(Risk):
    """`model`: the folder of an entailment model."""

    paths: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("no `model`: the folder of an entailment model, such as one trained on MNLI")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what the model's folder holds; over its name where there is no such folder."""
        place = Path(self.model).expanduser()
        files = sorted(p for p in place.glob("*") if p.is_file()) if place.is_dir() else []
        found = [[p.name, sha256(p)] for p in files] or [["", self.model]]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()

    @property
    def name(self) -> str:
        return "factual_consistency"

    @property
    def measure(self) -> Measure:
        return Measure("entailment", self.model)
