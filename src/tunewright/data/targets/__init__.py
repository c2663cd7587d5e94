"""What depends on the kind of answer that a task learns, in one file a kind behind one protocol.

    classes       one label a row: the label itself
    label_sets    several labels a row: a JSON array of their names, `["anger","joy"]`; `[]` is "none applies"
    numbers       one number a target: a JSON array, `[3.5]`
    spans         stretches of the text with a type each: a JSON array, `[[0,2,"NAME"]]`
    dialogues     chat: the last reply, a message as JSON
    preferences   two replies, or one with a thumb: messages as JSON
    texts         seq2seq: the target
    documents     language modelling: none, the text itself is learnt

A new kind is a file here and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable

from tunewright.core.errors import DataError, Problem, closest
from tunewright.data.options import Options
from tunewright.data.targets.classes import Classes
from tunewright.data.targets.dialogues import Dialogues
from tunewright.data.targets.documents import Documents
from tunewright.data.targets.label_sets import LabelSets
from tunewright.data.targets.numbers import Numbers
from tunewright.data.targets.preferences import Preferences
from tunewright.data.targets.protocol import ByColumns, Settled, Target
from tunewright.data.targets.spans import Spans
from tunewright.data.targets.texts import Texts

KINDS: dict[str, Callable[[Options], Target]] = {
    "classification": lambda o: Classes(o.columns, o.label_map),
    "multilabel": lambda o: LabelSets(o.columns, o.label_map, o.separator),
    "regression": lambda o: Numbers(o.columns, o.label_map),
    "language_modeling": lambda o: Documents(o.columns),
    "chat": lambda o: Dialogues(o.columns, o.conversation, o.system),
    "seq2seq": lambda o: Texts(o.columns),
    "preference": lambda o: Preferences(o.columns, o.conversation, o.system),
    "reward": lambda o: Preferences(o.columns, o.conversation, o.system, task="reward"),
    "token_classification": lambda o: Spans(o.columns, o.label_map),
}
FINDS_COLUMNS = frozenset({"chat", "preference", "reward", "language_modeling", "token_classification"})
"""Tasks that need no columns named: they are found out from the rows."""

CLASSES = Classes()
"""For reading where no recipe says otherwise."""


def target_of(options: Options) -> Target:
    """The kind of answer that the options ask for.

    Raises:
        DataError: an unknown task, a column that is missing or stands there twice, several of them for classification.
    """
    columns, problems = options.columns.labels, list[Problem]()
    if options.task not in KINDS:
        problems.append(
            Problem(where="task", found=repr(options.task), allowed=", ".join(KINDS),
                    to_do=closest(options.task, KINDS) or "choose one of these")
        )  # fmt: skip
    twice = sorted({name for name in columns if columns.count(name) > 1})
    problems += [
        Problem(where="data.label", found=f"column {name!r} stands there twice", to_do="name it once") for name in twice
    ]
    if options.task in KINDS and options.task not in FINDS_COLUMNS and options.columns.text is None:
        problems.append(Problem(where="data.text", found="nothing", allowed=f"a column's name, for {options.task}",
                                to_do="name the column with the texts"))  # fmt: skip
    if options.task == "seq2seq" and len(columns) != 1:
        problems.append(Problem(where="data.label", found=f"{len(columns)} columns", allowed="one for seq2seq",
                                to_do="name the column with the targets"))  # fmt: skip
    if options.task == "classification" and isinstance(options.columns.label, tuple):
        problems.append(
            Problem(where="data.label", found=", ".join(columns), allowed="one column for classification",
                    to_do="name one column, or set task: multilabel or regression")
        )  # fmt: skip
    if problems:
        raise DataError(*problems)
    return KINDS[options.task](options)


__all__ = [
    "CLASSES",
    "FINDS_COLUMNS",
    "KINDS",
    "ByColumns",
    "Classes",
    "Dialogues",
    "Documents",
    "LabelSets",
    "Numbers",
    "Preferences",
    "Settled",
    "Spans",
    "Target",
    "Texts",
    "target_of",
]
