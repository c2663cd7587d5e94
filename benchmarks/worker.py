"""One contender, or one measurement of the machine, in a fresh process: `python worker.py REQUEST.json`.

The request names the job; the answer is the last line of the output, `OUTCOME ` and one JSON object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from contract import Outcome, Settings

MARK = "OUTCOME "


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Run the contender that the request names; time to result counts from the parent's `started`."""
    name, settings = request["contender"], Settings.from_json(request["settings"])
    rows = json.loads(Path(request["rows"]).read_text(encoding="utf-8"))
    data = rows["train_texts"], rows["train_labels"], rows["valid_texts"]
    outcome: Outcome
    if name == "ours":
        from ours import ours

        outcome = ours(*data, settings)
    else:
        from peers import PEERS, peer

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


def peak(request: dict[str, Any]) -> dict[str, Any]:
    """GFLOP/s of square matrix products, the best and the median of the repetitions, for both precisions."""
    import torch

    n, found = request["size"], {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
        out, times = torch.empty(n, n, dtype=dtype), []
        for i in range(request["repetitions"] + 3):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            if i >= 3:
                times.append(time.perf_counter() - start)
        found[name] = {"best": 2e-9 * n**3 / min(times), "median": 2e-9 * n**3 / statistics.median(times)}
    return found


def main() -> None:
    """Do what the request says and print the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = {"contend": contend, "prepare": prepare, "peak": peak}[request["job"]](request)
    print(MARK + json.dumps(answer, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
