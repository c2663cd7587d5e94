"""`tunewright data agree | arbitrate | queue export | queue review | queue import`: what several annotators said of one item."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunewright.cli_data.describing import RED
from tunewright.cli_data.source import Json, say

if TYPE_CHECKING:
    from tunewright.data.labels.reading import Told
    from tunewright.data.labels.votes import Votes

File = Annotated[Path, typer.Argument(help="A table: a row an answer, a column an annotator, or a list `annotations`.")]
Item = Annotated[str | None, typer.Option("--item", help="The column that says which item a row is about.")]
Annotator = Annotated[str | None, typer.Option("--annotator", help="The column with the annotator's name.")]
Label = Annotated[str | None, typer.Option("--label", help="The column with the answer.")]
Annotators = Annotated[
    str | None, typer.Option("--annotators", help="In place of these two: the columns of one annotator each: anna,ben.")
]
Text = Annotated[str | None, typer.Option("--text", help="The column with the item's text.")]
Time = Annotated[
    str | None, typer.Option("--time", help="The column with the time of an answer, or the seconds it took.")
]
Level = Annotated[str, typer.Option("--level", help="nominal, ordinal (labels have an order) or interval (numbers).")]
Order = Annotated[str | None, typer.Option("--order", help="Ordinal labels that are no numbers: lowest,...,highest.")]
Method = Annotated[str, typer.Option("--method", help="dawid_skene, weighted, majority, median or mean.")]
Below = Annotated[float, typer.Option("--below", help="Labels less probable than that go to the queue.")]
SpreadAbove = Annotated[
    float | None, typer.Option("--spread-above", help="Items whose answers spread more go to the queue.")
]
Opinion = Annotated[
    Path | None,
    typer.Option("--opinion", help="A model's out-of-sample predictions, a further vote: columns ITEM and p_LABEL."),
]
Gold = Annotated[Path | None, typer.Option("--gold", help="Answers of a queue; they beat all.")]
Smoothing = Annotated[float, typer.Option("--smoothing", help="Answers added to each row of a confusion matrix.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the resamples that intervals are made of.")]
Resamples = Annotated[int, typer.Option("--resamples", help="How many; 0 for no intervals.")]


def _read(
    file: Path, item: str | None, annotator: str | None, label: str | None, annotators: str | None, text: str | None,
    time: str | None, level: str, order: str | None,
) -> tuple[Votes, Told]:  # fmt: skip
    from tunewright.data.labels import LEVELS
    from tunewright.data.labels.reading import Named, read_votes

    _one_of("--level", level, LEVELS)
    named = Named(item, annotator, label, text, time, tuple(_cut(annotators)))
    return read_votes(file, named, level=level, order=_cut(order))  # type: ignore[arg-type]


def _cut(names: str | None) -> list[str]:
    return [name.strip() for name in (names or "").split(",") if name.strip()]


def _one_of(where: str, given: str, known: Sequence[str]) -> None:
    from tunewright.core.errors import Problem, RecipeError, closest, listed

    if given not in known:
        raise RecipeError(Problem(where=where, found=repr(given), allowed=listed(known), to_do=closest(given, known)))


def agree(
    file: File, item: Item = None, annotator: Annotator = None, label: Label = None, annotators: Annotators = None,
    text: Text = None, time: Time = None, level: Level = "nominal", order: Order = None, seed: Seed = 0,
    resamples: Resamples = 1000,
    least: Annotated[
        float | None, typer.Option("--least", help="Least alpha; below it, or where it is refused, the exit code is 9.")
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """How far annotators agree, in all, by label and by annotator; who does not look."""
    from tunewright.data.labels import agree as act

    votes, told = _read(file, item, annotator, label, annotators, text, time, level, order)
    found = act(votes, seed=seed, draws=resamples)
    alpha = found.figures["alpha"].value
    red = least is not None and (alpha is None or alpha < least)
    if as_json:
        say({"ok": not red, "rows": told.rows, "left_out": dict(told.left), **found.as_json()})
    else:
        from tunewright import screen_labels

        screen_labels.agreement(found, told.notes(), least)
    raise typer.Exit(RED if red else 0)


def arbitrate(
    file: File, item: Item = None, annotator: Annotator = None, label: Label = None, annotators: Annotators = None,
    text: Text = None, level: Level = "nominal", order: Order = None, method: Method = "dawid_skene", below: Below = 0.0,
    spread_above: SpreadAbove = None, opinion: Opinion = None, gold: Gold = None, smoothing: Smoothing = 1.0,
    out: Annotated[Path | None, typer.Option("--out", help="Write a label an item here, as JSON lines.")] = None,
    truth: Annotated[Path | None, typer.Option("--truth", help="A file with the right label of some items.")] = None,
    truth_label: Annotated[str, typer.Option("--truth-label", help="Its column with the right label.")] = "truth",
    as_json: Json = False,
) -> None:  # fmt: skip
    """One label an item, with its probability, from several annotators' answers."""
    from tunewright.core.files import write_lines
    from tunewright.data.labels.arbitration import held
    from tunewright.data.labels.reading import read_truth

    votes, told = _read(file, item, annotator, label, annotators, text, None, level, order)
    found = _arbitrated(votes, item, method, below, spread_above, opinion, gold, smoothing)
    proof = None if truth is None else held(found, votes, read_truth(truth, item or "item", truth_label))
    if out is not None:
        write_lines(out, [_with_text(one.as_json(), votes.texts) for one in found.decisions])
    if as_json:
        say({"rows": told.rows, "left_out": dict(told.left), **found.as_json(),
             "truth": None if proof is None else proof.as_json(), "out": None if out is None else str(out)})  # fmt: skip
        return
    from tunewright import screen_labels

    screen_labels.arbitration(found, told.notes(), proof, out)


def _with_text(row: dict[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    return {"item": row["item"], "text": texts[row["item"]], **row} if row["item"] in texts else row


def _arbitrated(
    votes: Votes, item: str | None, method: str, below: float, spread_above: float | None, opinion: Path | None,
    gold: Path | None, smoothing: float,
) -> Any:  # fmt: skip
    from tunewright.data.labels import METHODS
    from tunewright.data.labels import arbitrate as act
    from tunewright.data.labels.answers import Log, gold_by_item
    from tunewright.data.labels.reading import read_opinion

    _one_of("--method", method, METHODS)
    return act(
        votes, method, below=below, spread_above=spread_above, smoothing=smoothing,  # type: ignore[arg-type]
        opinion=None if opinion is None else read_opinion(opinion, item or "item"),
        gold=None if gold is None else gold_by_item(Log(gold).current()),
    )  # fmt: skip


queue_app = typer.Typer(
    no_args_is_help=True, help="What people shall decide: export, answer, import.", rich_markup_mode=None
)
QueueFile = Annotated[Path, typer.Argument(help="A queue: what `queue export` wrote, .jsonl or .csv.")]
By = Annotated[str | None, typer.Option("--by", help="Who answers. Default: the name of this account.")]
AnswersFile = Annotated[Path | None, typer.Option("--answers", help="Where answers lie. Default: QUEUE.answers.jsonl.")]


@queue_app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="A table of answers, or a quarantine.jsonl, or a folder that has one.")],
    out: Annotated[Path, typer.Option("--out", help="The queue: .jsonl or .csv.")],
    item: Item = None, annotator: Annotator = None, label: Label = None, annotators: Annotators = None, text: Text = None,
    level: Level = "nominal", order: Order = None, method: Method = "dawid_skene", below: Below = 0.6,
    spread_above: SpreadAbove = None, opinion: Opinion = None, gold: Gold = None, smoothing: Smoothing = 1.0,
    labels: Annotated[str | None, typer.Option("--labels", help="Further labels that may be answered: a,b.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write what could not be decided: ties and doubts of annotators, or rows set aside under contradicting labels."""
    from tunewright.core.files import read_lines
    from tunewright.data.labels import queue

    place = _quarantine(file)
    if place is not None:
        rows = queue.of_quarantine(read_lines(place), _cut(labels))
    else:
        votes, _ = _read(file, item, annotator, label, annotators, text, None, level, order)
        rows = queue.of_arbitration(
            _arbitrated(votes, item, method, below, spread_above, opinion, gold, smoothing), votes
        )
    queue.write_queue(rows, out)
    if as_json:
        say({"items": len(rows), "out": str(out), "reasons": sorted({row.reason for row in rows})})
        return
    from tunewright import screen_labels

    screen_labels.exported(rows, out)


def _quarantine(file: Path) -> Path | None:
    """The rows set aside that `file` is, or holds."""
    if file.is_dir():
        from tunewright.core.errors import DataError, Problem

        for place in (file / "quarantine.jsonl", file / "data" / "quarantine.jsonl"):
            if place.exists():
                return place
        raise DataError(
            Problem(where=str(file), found="no quarantine.jsonl", allowed="a run's folder, or one of data check --out")
        )
    return file if file.name == "quarantine.jsonl" else None


@queue_app.command("review")
def review(queue_file: QueueFile, by: By = None, answers: AnswersFile = None, as_json: Json = False) -> None:
    """Answer on this screen, an item at a time; every answer is saved at once."""
    from tunewright import screen_labels
    from tunewright.data.labels import answers as log
    from tunewright.data.labels.queue import read_queue
    from tunewright.data.labels.review import Review

    rows = read_queue(queue_file)
    asked = Review(rows, log.Log(answers or log.beside(queue_file)), by or getpass.getuser())
    screen_labels.review(asked, quiet=as_json)
    if as_json:
        say({"items": len(rows), "answered": asked.answered, "answers": str(asked.log.path)})


@queue_app.command("import")
def import_(
    queue_file: QueueFile,
    by: By = None,
    answers: AnswersFile = None,
    asked: Annotated[
        Path | None, typer.Option("--asked", help="The queue as it was exported: other ids are refused.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take in answers that were filled in a queue's file; `arbitrate --gold` and a recipe's step read them."""
    from tunewright.data.labels import answers as log
    from tunewright.data.labels.queue import read_queue

    place = answers or log.beside(queue_file)
    known = None if asked is None else read_queue(asked)
    found = log.take_in(read_queue(queue_file), log.Log(place), by or getpass.getuser(), known)
    if as_json:
        say({**found.as_json(), "file": str(place)})
        return
    from tunewright import screen_labels

    screen_labels.imported(found, place)


def enter(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(agree)
    app.command()(arbitrate)
    app.add_typer(queue_app, name="queue")
