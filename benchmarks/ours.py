"""Tunewright as a contender: the seam between the benchmark and the package."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from contract import Outcome, Settings


def ours(
    train_texts: Sequence[str], train_labels: Sequence[int], valid_texts: Sequence[str], settings: Settings
) -> Outcome:
    """Fine-tune as `settings` says and predict the validation rows; see `Outcome` for what is measured.

    - `Ticks.tick()` when training begins and after every yielded report; `Ticks.steps(lengths, losses)` afterwards.
    - `Finish.now()` as soon as the predictions exist; then `PASSES` timed prediction passes (token ids in, label
      indices in the rows' order out) after a warm-up.
    - `tokens_digest` over the unpadded ids of the training rows, then of the validation rows.
    - `Probe` last, where `settings.probe` asks for it: the model loaded anew from `settings.model`, every dropout at
      0, loss and gradient norm (before clipping) over the first `PROBE_ROWS` training rows.
    """
    found: Outcome = importlib.import_module("tunewright.run").fit_and_predict(
        train_texts, train_labels, valid_texts, settings
    )
    return found
