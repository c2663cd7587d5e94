"""What several annotators said of one item: how far they agree, what is believed, and what people shall decide again.

votes.py, reading.py     answers as arrays, from tables of one row an answer, one column an annotator, or lists
agreement/               coefficients with intervals; each label, each annotator
arbitration/             majority, Dawid-Skene, median and mean: a label with its probability, and what goes to the queue
queue.py, answers.py     the adjudication queue: export, answers in one file that only grows, import
"""

from tunewright.data.labels.agreement import Agreement, Annotator, agree
from tunewright.data.labels.arbitration import METHODS, Arbitrated, Decision, arbitrate
from tunewright.data.labels.intervals import Figure
from tunewright.data.labels.votes import LEVELS, Level, Vote, Votes, gathered

__all__ = [
    "LEVELS", "METHODS", "Agreement", "Annotator", "Arbitrated", "Decision", "Figure", "Level", "Vote", "Votes", "agree",
    "arbitrate", "gathered",
]  # fmt: skip
