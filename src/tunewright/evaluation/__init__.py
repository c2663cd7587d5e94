"""From predictions to proof: intervals, paired tests, baselines, a verdict. Loads no model.

predictions -> gather -> evidence        everything after the predictions is computed from them alone
predictions.py   files of the run folder          scoring.py    every metric with its interval
intervals.py, resampling.py, paired.py, multiple.py, power.py   statistics, without knowledge of runs
compare.py, verdict.py, evidence.py               what may be said, and the sentence
ladders.py       what must be beaten, by task     runs.py       recompute, compare two runs
shapes/          what depends on the shape of predictions: classes, sets of labels, numbers
"""

from tunewright.evaluation.compare import Comparison, Plan, compare
from tunewright.evaluation.evidence import gather, write_evidence
from tunewright.evaluation.predictions import Contender, read, read_all, write
from tunewright.evaluation.runs import compare_runs, recompute

__all__ = [
    "Comparison",
    "Contender",
    "Plan",
    "compare",
    "compare_runs",
    "gather",
    "read",
    "read_all",
    "recompute",
    "write",
    "write_evidence",
]
