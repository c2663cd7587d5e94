"""Metrics of classification: Predictions in, one number out. No intervals, no tests: see `evaluation`.

Importing this package registers accuracy, balanced_accuracy, precision_*, recall_*, f1_* (macro, micro,
weighted), mcc, roc_auc, pr_auc, log_loss, brier and ece in the family "metric".
"""

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
from tunewright.metrics.probability import Brier, LogLoss
from tunewright.metrics.protocol import Averaged, Counted, Metric, Ranked
from tunewright.metrics.tally import Tally, confusion, tally

__all__ = [
    "ECE",
    "MCC",
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
    "confusion",
    "tally",
]
