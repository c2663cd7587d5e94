"""The score of one written text, for training that rewards samples (minimum risk) rather than for evidence."""

from __future__ import annotations

from collections.abc import Callable

from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.metrics import sacre
from tunewright.metrics.text import ExactMatch, Rouge1, Rouge2, RougeL, RougeLsum

SCORES: dict[str, Callable[[str, str], float]] = {
    "rougeL": RougeL.score,
    "rouge1": Rouge1.score,
    "rouge2": Rouge2.score,
    "rougeLsum": RougeLsum.score,
    "chrf": lambda gold, output: sacre.sentence_chrf(gold, output) / 100,
    "bleu": lambda gold, output: sacre.sentence_bleu(gold, output) / 100,
    "exact_match": ExactMatch.score,
}


def score_pair(name: str, gold: str, output: str) -> float:
    """How near `output` comes to `gold`, from 0 to 1, by rougeL, rouge1, rouge2, rougeLsum, chrf, bleu or exact_match.

    BLEU is smoothed and takes the orders of n-grams that the output has, as sacrebleu's sentence score.

    Raises:
        RecipeError: there is no score of that name.
    """
    if name not in SCORES:
        names = list(SCORES)
        raise RecipeError(
            Problem(where="metric", found=repr(name), allowed=listed(names), to_do=closest(name, names) or "choose one")
        )
    return SCORES[name](gold, output)
