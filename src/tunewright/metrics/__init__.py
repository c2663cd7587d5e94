"""Metrics: predictions in, one number out. No intervals, no tests: see `evaluation`.

Importing this package registers each task's metrics in a family of their own (tasks.py):
    metric              accuracy, balanced_accuracy, precision_*, recall_*, f1_* (macro, micro, weighted), mcc, roc_auc,
                        pr_auc, log_loss, brier, ece
    multilabel_metric   f1_*, precision_*, recall_* (micro, macro), f1_samples, subset_accuracy, hamming_loss, log_loss
    entity_metric       f1, precision, recall, f1_macro
    regression_metric   mse, rmse, mae, r2, pearson, spearman
    likelihood_metric   bits_per_byte, perplexity, loss
    text_metric         loss, chrf, bleu, rouge1, rouge2, rougeL, rougeLsum, exact_match, length_ratio
    preference_metric   accuracy, margin
"""

from tunewright.metrics import entities, likelihood, multilabel, preference, regression, text, thresholds
from tunewright.metrics.accuracy import Accuracy, BalancedAccuracy
from tunewright.metrics.auc import PrAuc, RocAuc
from tunewright.metrics.calibration import ECE
from tunewright.metrics.f1 import (
    F1Macro,
    F1Micro,
    F1Weighted,
    PrecisionMacro,
    PrecisionMicro,
    PrecisionWeighted,
    RecallMacro,
    RecallMicro,
    RecallWeighted,
)
from tunewright.metrics.mcc import MCC
from tunewright.metrics.pairs import score_pair
from tunewright.metrics.probability import Brier, LogLoss
from tunewright.metrics.protocol import Averaged, Counted, Metric, Ranked
from tunewright.metrics.tally import Tally, confusion, tally
from tunewright.metrics.tasks import TASKS, Task, task_of

__all__ = [
    "ECE",
    "MCC",
    "TASKS",
    "Accuracy",
    "Averaged",
    "BalancedAccuracy",
    "Brier",
    "Counted",
    "F1Macro",
    "F1Micro",
    "F1Weighted",
    "LogLoss",
    "Metric",
    "PrAuc",
    "PrecisionMacro",
    "PrecisionMicro",
    "PrecisionWeighted",
    "Ranked",
    "RecallMacro",
    "RecallMicro",
    "RecallWeighted",
    "RocAuc",
    "Tally",
    "Task",
    "confusion",
    "entities",
    "likelihood",
    "multilabel",
    "preference",
    "regression",
    "score_pair",
    "tally",
    "task_of",
    "text",
    "thresholds",
]
