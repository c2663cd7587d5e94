"""What a fresh process does for the benchmarks of adaptations: initial models, one contender, two runs over one cache."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import encoder_jobs
from contract import EncoderSettings, Outcome
from rounds import ask
from ways import WAYS


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """As of the other encoders; and the LoRA that all begin with, and the names of the adaptations that there are.

    The adapter is the one that Tunewright draws for this seed, so that ours needs no seam for it.
    """
    found = encoder_jobs.prepare(request)
    from tunewright.core import registry
    from tunewright.core.seeds import key
    from tunewright.recipe import families

    families()
    _draw_adapter(Path(request["folder"]), key(request["seed"], "adaptation"))
    return {**found, "adaptations": sorted(registry.members("adaptation"))}


def _draw_adapter(folder: Path, seed: int) -> None:
    from transformers import AutoModelForSequenceClassification

    from tunewright.core import registry

    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    registry.build("adaptation", WAYS["lora"].recipe).attach(model, seed).save_pretrained(folder / "adapter")


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Run the contender `WAY/NAME`; time to result counts from the parent's `started`.

    `ours_again` is the second of two runs over one cache on disk, each in a process of its own; the answer of the first,
    at half the rate, is its `first`.
    """
    way, name = request["contender"].split("/", 1)
    values = request["settings"]
    if name == "ours_again" and not values["cache"]:
        with tempfile.TemporaryDirectory() as folder:
            first, second = (
                ask(Path(folder), {**request, **changed, "settings": {**values, "cache": str(Path(folder) / "cache")}})
                for changed in ({"slower": 0.5}, {})
            )
        return {**second, "first": first}
    settings = EncoderSettings.from_json(
        {
            **values,
            "adaptation": WAYS[way].recipe,
            "adapter": str(Path(values["model"]) / "adapter"),
            "rate": "auto" if values["survey"] else WAYS[way].rate * request.get("slower", 1.0),
        }
    )
    rows = json.loads(Path(request["rows"]).read_text(encoding="utf-8"))
    data = rows["train_texts"], rows["train_labels"], rows["valid_texts"]
    outcome: Outcome
    if name.startswith("ours"):
        from encoder_ours import ours

        outcome = ours(*data, settings)
    else:
        from adaptation_peers import PEERS
        from encoder_peers import peer

        outcome = peer(PEERS[name], *data, settings)
    return {**outcome.as_json(), "time_to_result": outcome.finish.at - request["started"]}
