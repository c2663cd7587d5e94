"""What a fresh process does for the benchmark of encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contract import EncoderSettings, Outcome


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Run the contender that the request names; time to result counts from the parent's `started`."""
    name, settings = request["contender"], EncoderSettings.from_json(request["settings"])
    rows = json.loads(Path(request["rows"]).read_text(encoding="utf-8"))
    data = rows["train_texts"], rows["train_labels"], rows["valid_texts"]
    outcome: Outcome
    if name == "ours":
        from encoder_ours import ours

        outcome = ours(*data, settings)
    else:
        from encoder_peers import PEERS, peer

        outcome = peer(PEERS[name], *data, settings)
    return {**outcome.as_json(), "time_to_result": outcome.finish.at - request["started"]}


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Write the initial model, its head drawn from the seed alone, and count its parameters."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source, folder = request["source"], Path(request["folder"])
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        num_labels=request["labels"],
        id2label={i: str(i) for i in range(request["labels"])},
        dtype=torch.float32,
        local_files_only=True,
    )
    generator = torch.Generator().manual_seed(request["seed"])
    with torch.no_grad():
        model.classifier.weight.normal_(0.0, model.config.initializer_range, generator=generator)
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, local_files_only=True).save_pretrained(folder)
    layers = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".encoder." in f".{n}."]
    body = sum(m.weight.numel() for m in layers)
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "body": body,
        "head": linear - body,
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
        "threads": torch.get_num_threads(),
    }
