"""From files to splits: reading, the ledger, cleaning, labels, exact duplicates, splits, the data card.

    rows -> compressed, globs, charset, lines -> delimited, json_rows, arrow, workbooks, column_files, plain
         -> queries, hub -> remote -> folders -> tables -> picking -> batches -> reading, columns
    targets: what depends on the kind of answer; conversations: the forms in which people write them
    journal -> clean, targets, duplicates, splits -> prepare -> card -> files

Refuses to lose a row without a reason, to turn a text into a missing value, and to move a row to another
split because the data grew.
"""

from tunewright.data.card import card, defect_title
from tunewright.data.columns import Guess, guess
from tunewright.data.files import load, load_records, set_aside, write
from tunewright.data.manifest import read as frozen
from tunewright.data.options import Division, Options, Shares
from tunewright.data.prepare import Defect, Labelled, Prepared, answers, labelled, prepare
from tunewright.data.reading import content, gather, read, read_batches
from tunewright.data.remote import is_remote, placed
from tunewright.data.rows import Columns, FileFacts, Form, Row, Rows, UnfitError
from tunewright.data.steps import NO_MODELS, Models
from tunewright.data.targets import FINDS_COLUMNS, Target, target_of

__all__ = [
    "FINDS_COLUMNS",
    "NO_MODELS",
    "Columns",
    "Defect",
    "Division",
    "FileFacts",
    "Form",
    "Guess",
    "Labelled",
    "Models",
    "Options",
    "Prepared",
    "Row",
    "Rows",
    "Shares",
    "Target",
    "UnfitError",
    "answers",
    "card",
    "content",
    "defect_title",
    "frozen",
    "gather",
    "guess",
    "is_remote",
    "labelled",
    "load",
    "load_records",
    "placed",
    "prepare",
    "read",
    "read_batches",
    "set_aside",
    "target_of",
    "write",
]
