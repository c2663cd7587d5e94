"""What the command line shows of annotators, of arbitration and of the queue; and the screen on which a queue is answered.

Decides nothing: what a key does is in `data.labels.review`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tunewright.core.errors import counted
from tunewright.data.labels.agreement import Agreement, reasons_in_words
from tunewright.data.labels.answers import Imported
from tunewright.data.labels.arbitration import Arbitrated, Held
from tunewright.data.labels.intervals import Figure
from tunewright.data.labels.queue import Asked, said
from tunewright.data.labels.review import Review
from tunewright.screen import out

_NAMES = {
    "alpha": "Krippendorff's alpha", "fleiss": "Fleiss' kappa", "gwet": "Gwet's AC", "cohen": "Cohen's kappa",
    "percent": "percent agreement",
}  # fmt: skip
_ROWS = 12


def _table(*heads: str) -> Table:
    made = Table(box=None, pad_edge=False, show_header=any(heads), header_style="dim")
    for i, head in enumerate(heads):
        made.add_column(head, justify="left" if i == 0 else "right", overflow="fold")
    return made


def _shown(figure: Figure) -> str:
    """A figure with its interval, or why there is none."""
    if figure.value is None:
        return f"[yellow]{escape(figure.refused)}[/]"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [dim]({figure.low:.3f} to {figure.high:.3f})[/]"


def agreement(found: Agreement, notes: Sequence[str], least: float | None) -> None:
    """The coefficients, the labels, the annotators who agree least, and the gate."""
    out.print(f"[bold]{counted(found.answers, 'answer')}[/] of {counted(len(found.annotators), 'annotator')} to "
              f"{counted(found.items, 'item')}, {found.shared:,} with two or more; {found.level} labels")  # fmt: skip
    overall = _table("", "95% interval")
    for name, figure in found.figures.items():
        overall.add_row(_NAMES[name], _shown(figure))
    out.print(overall)
    labels = _table("label", "answers", "alpha, it or not", "given again by others")
    for one in found.labels:
        labels.add_row(escape(one.label), f"{one.answers:,}", _shown(one.alpha), _shown(one.again))
    out.print(labels)
    if found.annotators:
        people = _table("least agreeing", "answers", "kappa with the others", "alpha without", "spammer score", "")
        shown = [*found.suspected, *(a for a in found.annotators if not a.suspected)][:_ROWS]
        for a in shown:
            score = "" if a.score is None else f"{a.score:.2f}"
            people.add_row(escape(a.name), f"{a.answers:,}", _shown(a.kappa), _shown(a.alone), score,
                           f"[red]{reasons_in_words(a.suspected)}[/]")  # fmt: skip
        out.print(people)
        if len(found.suspected) > _ROWS:
            out.print(f"  and {len(found.suspected) - _ROWS} more that are suspected (--json has all)")
    _notes([*found.notes, *notes])
    if least is not None:
        alpha = found.figures["alpha"].value
        good = alpha is not None and alpha >= least
        out.print(f"[{'green' if good else 'red'}]alpha is {'' if good else 'not '}{least:g} or more[/]")


def arbitration(found: Arbitrated, notes: Sequence[str], proof: Held | None, place: Path | None) -> None:
    """What was decided, how the model of annotators ended, who is least reliable, and the truth where it is known."""
    out.print(f"[bold]{found.method}[/]: {counted(len(found.decisions), 'item')}; {counted(found.ties, 'tie')}, "
              f"{len(found.queued):,} for the queue")  # fmt: skip
    if found.iterations is not None:
        out.print(f"  {'converged' if found.converged else '[yellow]not converged[/]'} after "
                  f"{counted(found.iterations, 'iteration')}")  # fmt: skip
    if found.annotators:
        people = _table("least reliable", "answers", "right", "spammer score")
        for a in found.annotators[:_ROWS]:
            people.add_row(escape(a.name), f"{a.answers:,}", f"{a.accuracy:.1%}", f"{a.score:.2f}")
        out.print(people)
    if proof is not None:
        against = _table(f"{counted(proof.items, 'item')} of known truth", "right, 95% interval")
        against.add_row(found.method, _shown(proof.right))
        against.add_row("majority", _shown(proof.majority))
        out.print(against)
        out.print(f"  {proof.gained} gained, {proof.lost} lost, p = {proof.p:.3g} (exact sign test)")
    _notes([*found.notes, *notes])
    if place is not None:
        out.print(f"labels: [bold]{escape(str(place))}[/]", soft_wrap=True)


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        out.print(f"  [yellow]{escape(note)}[/]")


def exported(rows: Sequence[Asked], place: Path) -> None:
    """How many for which reasons, and where."""
    out.print(f"{said(rows)}\nqueue: [bold]{escape(str(place))}[/]", soft_wrap=True)


def imported(found: Imported, place: Path) -> None:
    """What was taken in."""
    out.print(f"{counted(found.taken, 'answer')} taken in, {found.known} known before, {found.open} without an answer\n"
              f"answers: [bold]{escape(str(place))}[/]", soft_wrap=True)  # fmt: skip


def review(asked: Review, *, quiet: bool = False, source: TextIO | None = None) -> None:
    """Shows an item at a time and hands keys on, until none is left, or `q` or the end of the input."""
    stream = source or sys.stdin
    with _keys(stream) as keys:
        word = ""
        while (row := asked.current()) is not None:
            if not quiet:
                _ask(asked, row, word)
            pressed = next(keys, "q")
            word = asked.press(pressed)
    if not quiet:
        out.print(f"{asked.answered} of {counted(len(asked.rows), 'item')} answered\n"
                  f"answers: [bold]{escape(str(asked.log.path))}[/]", soft_wrap=True)  # fmt: skip


def _ask(asked: Review, row: Asked, word: str) -> None:
    if out.is_terminal:
        out.clear()
    if word:
        out.print(f"[dim]{escape(word)}[/]")
    why = f"{row.reason}{': ' + row.detail if row.detail else ''}"
    out.print(Panel(escape(row.text or f"item {row.item}"), subtitle=f"[dim]{escape(why)}[/]",
                    title=f"{asked.answered + 1} of {len(asked.rows)}"))  # fmt: skip
    known, opinion = {c.label: c for c in row.candidates}, dict(row.opinion)
    choices = _table("", "label", "votes", "probability", "the model")
    for number, label in enumerate(asked.choices(), start=1):
        c = known.get(label)
        sure = "" if c is None or c.probability is None else f"{c.probability:.0%}"
        choices.add_row(f"[bold]{number}[/]", escape(label), str(c.votes) if c else "", sure,
                        f"{opinion[label]:.0%}" if label in opinion else "")  # fmt: skip
    out.print(choices)
    out.print("[dim]1-9 choose, n more labels, s skip, u undo, q quit[/]")


@contextmanager
def _keys(stream: TextIO) -> Iterator[Iterator[str]]:
    """Single keys of a terminal as they are pressed; the characters of anything else, but for white space."""
    if not stream.isatty():
        yield (char for line in stream for char in line if not char.isspace())
        return
    import termios
    import tty

    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        yield iter(lambda: stream.read(1), "")
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)
