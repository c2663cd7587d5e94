"""One contender, or one measurement of the machine, in a fresh process: `python worker.py REQUEST.json`.

The request names a module of this folder (`jobs`) and the job in it; the answer is the last line of the output,
`OUTCOME ` and one JSON object.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

MARK = "OUTCOME "


def peak(request: dict[str, Any]) -> dict[str, Any]:
    """GFLOP/s of square matrix products, the best and the median of the repetitions, for both precisions."""
    import torch

    n, found, device = request["size"], {}, torch.device(request.get("device", "cpu"))
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(n, n).to(device, dtype), torch.randn(n, n).to(device, dtype)
        out, times = torch.empty(n, n, dtype=dtype, device=device), []
        for i in range(request["repetitions"] + 3):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if i >= 3:
                times.append(time.perf_counter() - start)
        found[name] = {"best": 2e-9 * n**3 / min(times), "median": 2e-9 * n**3 / statistics.median(times)}
    return found


def main() -> None:
    """Do what the request says and print the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    module = sys.modules[__name__] if request["jobs"] == "worker" else importlib.import_module(request["jobs"])
    answer = getattr(module, request["job"])(request)
    print(MARK + json.dumps(answer, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
