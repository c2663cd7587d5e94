"""What the command line shows: progress, tables, verdicts and errors. Decides nothing."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tunewright.core.errors import Problem, TunewrightError, counted

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_STAGES = {
    "data": "Reading, cleaning and splitting the data",
    "model": "Loading the base model",
    "baselines": "Fitting the baselines",
    "train": "Training",
    "predict": "Predicting the held-out rows",
    "alone": "Training each task alone",
    "evidence": "Weighing the evidence",
}
_COLOURS = {"better": "green", "worse": "red", "can't tell": "yellow"}


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end the run after the step under way, with a checkpoint; a second Ctrl-C ends it at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        err.print("[yellow]stopping after this step; once more to stop at once[/]")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(events: Iterable[Any], *, quiet: bool) -> dict[str, Any] | None:
    """Shows the events of a run as they come; returns the evidence, where there is any."""
    evidence: dict[str, Any] | None = None
    if quiet:
        for event in events:
            if event.kind == "verdict":
                evidence = dict(event.values)
        return evidence
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(),
               TextColumn("{task.fields[more]}"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=out, transient=True) as bar:
        task: Any = None
        pace = _Pace()
        for event in events:
            if event.kind == "stage":
                out.print(f"[bold]{_STAGES[event.name]}[/]")
            elif event.kind == "data":
                _data(event.values, event.name)
            elif event.kind == "model":
                _model(event.name, event.values)
            elif event.kind == "note":
                out.print(f"  [yellow]{escape(event.name)}[/]")
            elif event.kind == "plan":
                pace = _Pace()
                task = bar.add_task("  step", total=event.values["steps"], more="")
                out.print(f"  {counted(event.values['steps'], 'step')}, learning rate {event.values['rate']:g}")
            elif event.kind == "resumed":
                step = event.values["step"]
                for damaged in event.values["damaged"]:
                    out.print(f"  [yellow]{escape(damaged)}[/]")
                out.print(f"  going on after step {step}" if step else "  no whole checkpoint is left: starting again")
                bar.update(task, completed=step)
                pace = _Pace(step)
            elif event.kind == "step":
                row = event.values
                bar.update(task, completed=row["step"], more=pace.after(row))
            elif event.kind == "validation":
                _validation(event.values)
            elif event.kind == "verdict":
                evidence = dict(event.values)
            if event.kind in ("stage", "finished") and task is not None and event.name != "train":
                bar.remove_task(task)
                task = None
    return evidence


class _Pace:
    """How fast the steps of this process go; tokens are those that are learnt from, where the unit is a token."""

    def __init__(self, before: int = 0) -> None:
        self.before, self.tokens, self.began = before, 0.0, time.monotonic()

    def after(self, row: Mapping[str, Any]) -> str:
        """What stands beside the bar after this step."""
        spent = max(time.monotonic() - self.began, 1e-9)
        self.tokens += row.get("totals", {}).get("token", 0)
        steps = f"loss {row['loss']:.3f}  {(row['step'] - self.before) / spent:.1f} steps/s"
        return steps + (f"  {self.tokens / spent:,.0f} learnt tokens/s" if self.tokens else "")


def _data(values: Mapping[str, Any], task: str = "") -> None:
    ledger = values["ledger"]["stages"]
    read, sizes = ledger[0], values["splits"]
    used = sum(sizes.values())
    total = read["in"] + sum(stage["added"] for stage in ledger)
    gone = _defects((d["title"], d["count"]) for d in values["card"].get("defects", []))
    named = f"{escape(task)}: " if task else ""
    out.print(
        f"  {named}{counted(total, 'row')} in, {used:,} used: " + ", ".join(f"{n} {name}" for name, n in sizes.items())
    )
    if gone:
        out.print(f"  found: {escape(gone)}")


def _defects(found: Iterable[tuple[str, int]]) -> str:
    """Titles as they stand in the report, with their counts; a first word such as NaN or JSON stays as it is."""

    def within(title: str) -> str:
        first = title.partition(" ")[0]
        return title if first[1:] != first[1:].lower() else title[:1].lower() + title[1:]

    return ", ".join(f"{within(title)} {n:,}" for title, n in found if n)


def _model(name: str, facts: Mapping[str, Any]) -> None:
    head = "its own head" if facts["head"] == "checkpoint" else "a new head"
    out.print(f"  {escape(name)}: {facts['architecture']}, {_size(facts['parameters'])} parameters, {head}, "
              f"{facts['precision']}")  # fmt: skip


def _size(n: int) -> str:
    return f"{n / 1e6:.1f} million" if n >= 1e6 else f"{n / 1e3:.0f} thousand"


def _validation(row: Mapping[str, Any]) -> None:
    shown = "  ".join(f"{k} {v:.4f}" for k, v in row["metrics"].items() if v is not None)
    out.print(f"  epoch {row['epoch']:g}, validation: {shown}" + ("  [green]best[/]" if row["best"] else ""))


def finished(place: Path, evidence: Mapping[str, Any] | None) -> None:
    """The verdict, the ladder, and where the report is."""
    if evidence is None:
        out.print(f"\nTrained. [bold]tunewright evaluate {place}[/] compares it with the baselines.")
        return
    judged(evidence, place)
    out.print(f"report: [bold]{(place / 'report.html').resolve()}[/]", soft_wrap=True)
    task = next(iter(evidence["tasks"]), "") if evidence.get("task") == "multitask" else ""
    where = place / "tasks" / task / "model" if task else place / "model"
    out.print(f"model:  {where.resolve()}", soft_wrap=True)
    option = f" --task {task}" if task else ""
    out.print(f'try it: tunewright predict {place} "your text"{option}', soft_wrap=True)


def judged(evidence: Mapping[str, Any], folder: Path | None = None) -> None:
    """The ladder of contenders with intervals, the figures of labels or targets, and the verdict; of several tasks, a
    line a task. `folder` holds the rows that a sample of generated texts is shown with."""
    from tunewright.reporting import standings
    from tunewright.reporting.tasks import parts_of

    if several := standings.tasks(evidence):
        _tables([several, standings.transfer(evidence)])
        for name, part in parts_of(evidence).items():
            _verdict(part, escape(f"{name}: "))
        return
    _tables([standings.ladder(evidence), standings.parts(evidence)])
    if sample := standings.sample(evidence, folder):
        _sample(sample)
    _verdict(evidence)


def _tables(found: Iterable[Any]) -> None:
    for one in found:
        if one is not None:
            out.print()
            out.print(_laid(one))


def _verdict(evidence: Mapping[str, Any], before: str = "") -> None:
    verdict = evidence.get("verdict") or {"outcome": "no verdict", "sentence": "Nothing was compared."}
    colour = _COLOURS.get(verdict["outcome"], "white")
    title = f"[bold {colour}]{before}{escape(verdict['outcome'])}[/]"
    out.print(Panel(escape(verdict["sentence"]), title=title, border_style=colour))


def _sample(found: Any) -> None:
    """One item of generated texts: what was asked, then the replies side by side, or one below the other where narrow."""
    out.print(f"\n[dim]one of {found.of} samples[/]")
    if found.asked:
        out.print(Text(found.asked, style="dim"))
    if out.width >= 90:
        table = Table(box=None, padding=(0, 2), pad_edge=False, expand=True)
        for who, _ in found.said:
            table.add_column(escape(who), ratio=1, overflow="fold")
        table.add_row(*(Text(text) for _, text in found.said))
        out.print(table)
    else:
        for who, text in found.said:
            out.print(Text.assemble((f"{who}: ", "bold"), text))


def _laid(found: Any) -> Table:
    """A table of `reporting.standings`, laid out."""
    table = Table(box=None, padding=(0, 2), title=None, caption_justify="left",
                  caption=f"  and {found.left:,} more in the report" if found.left else None)  # fmt: skip
    for k, name in enumerate(found.columns):
        table.add_column(name, justify="right" if k else "left")
    for k, cells in enumerate(found.lines):
        table.add_row(*map(escape, cells), style="bold" if k == found.bold else "")
    return table


def judging(run_folder: Path, data: Path) -> None:
    """What is about to be done, as it takes a while."""
    out.print(f"[bold]Judging {escape(str(run_folder))} on {escape(str(data))}[/], beside its baselines")


def judged_on(place: Path, evidence: Mapping[str, Any]) -> None:
    """A run's model on other rows: which of them counted, then as after a run."""
    data = evidence["data"]
    left = ", ".join(f"{n} {reason}" for reason, n in data["why"].items())
    out.print(f"  {counted(data['items'], 'row')} judged" + (f"; left out: {escape(left)}" if left else ""))
    for name, reason in data["baselines_left_out"].items():
        out.print(f"  [yellow]without the baseline {name}: {escape(reason)}[/]")
    judged(evidence)
    out.print(f"evidence: [bold]{escape(str((place / 'evidence.json').resolve()))}[/]", soft_wrap=True)


def compared(evidence: Mapping[str, Any]) -> None:
    """Two runs beside each other."""
    judged(evidence)
    left = {name: n for name, n in evidence["left_out"].items() if n}
    if left:
        out.print(
            "left out, as only one run has them: "
            + ", ".join(f"{counted(n, 'item')} of {name}" for name, n in left.items())
        )


def started(recipe: Path, guess: Mapping[str, Any]) -> None:
    """What `init` guessed, and what comes next."""
    out.print(f"[bold]{recipe}[/] written for {counted(guess['rows'], 'row')} ({guess['format']})")
    label = guess["label"]
    columns = ", ".join(map(str, label)) if isinstance(label, list | tuple) else label
    for name, column in (("text: ", guess["text"]), ("label:", columns), ("form: ", guess.get("conversation"))):
        if column is not None:
            out.print(f"  {name} {escape(str(column))}")
    if guess["pair"]:
        out.print(f"  pair:  {escape(guess['pair'])}")
    if guess.get("task", "classification") != "classification":
        out.print(f"  task:  {escape(str(guess['task']))}")
    for line in guess["evidence"]:
        out.print(f"  [dim]{escape(line)}[/]")
    out.print(f"next: [bold]tunewright check {recipe}[/], then [bold]tunewright run {recipe}[/]")


def checked(found: Any, recipe: Path) -> None:
    """What `check` found."""
    facts = found.facts
    for name, own in facts.get("tasks", {}).items():
        out.print(f"[bold]{escape(name)}[/]")
        _found(own)
    _found(facts)
    for problem in found.warnings:
        _problem(problem, "yellow", "warning")
    for problem in found.errors:
        _problem(problem, "red", "error")
    if found.errors:
        out.print(f"[red]{len(found.errors)} to mend before `tunewright run {recipe}`[/]")
    else:
        out.print(f"[green]ready:[/] tunewright run {recipe}")


def _found(facts: Mapping[str, Any]) -> None:
    """The facts of one task's data, texts and model."""
    if "splits" in facts:
        out.print("splits:  " + ", ".join(f"{n} {name}" for name, n in facts["splits"].items()))
        _gold(facts)
        if facts["defects"]:
            titles = facts["defect_titles"]
            out.print("found:   " + escape(_defects((titles[code], n) for code, n in facts["defects"].items())))
    if "tokens" in facts:
        t = facts["tokens"]
        out.print(f"tokens:  median {t['median']}, 95% below {t['p95']}, longest {t['longest']}, limit {t['limit']}: "
                  f"{t['share_cut']:.1%} of the texts would be cut")  # fmt: skip
    if "model" in facts:
        m = facts["model"]
        learns = "" if m["trainable"] is None else f", {_size(m['trainable'])} learn"
        out.print(f"model:   {escape(m['name'])}, {m['architecture']}, {_size(m['parameters'])} parameters{learns}, "
                  f"{m['layout']}, {m['precision']}, {'new head' if m['head'] == 'new' else 'own head'}")  # fmt: skip
    if "training" in facts:
        out.print(f"plan:    {counted(facts['training']['steps'], 'step')}, rate {facts['training']['rate']:g}")
    if facts.get("shown"):
        show_masked(facts["shown"])


def _gold(facts: Mapping[str, Any]) -> None:
    """What the rows are labelled with: classes, labels, types of spans, or how the targets are spread; of texts, their
    form."""
    classes = facts.get("classes") or {}
    listed = escape(", ".join(f"{label} {n}" for label, n in list(classes.items())[:20]))
    if facts.get("targets"):
        for one in facts["targets"]:
            out.print(f"target:  {escape(str(one['name']))} from {one['low']:g} to {one['high']:g}, "
                      f"median {one['median']:g}, mean {one['mean']:.4g}")  # fmt: skip
    elif facts.get("types"):
        each = facts["spans_per_item"]
        named = ", ".join(
            f"{one['type']} {one['train'] + one['validation'] + one['test']}" for one in facts["types"][:20]
        )
        more = len(facts["types"]) - 20
        out.print("types:   " + escape(named) + (f" and {more} more" if more > 0 else ""))
        out.print(f"an item: {each['mean']:.2f} spans on average, at most {each['max']}; {each['none']:,} have none")
    elif facts.get("labels_per_item"):
        each = facts["labels_per_item"]
        more = len(classes) - 20
        out.print("labels:  " + listed + (f" and {more} more" if more > 0 else ""))
        out.print(f"an item: {each['mean']:.2f} labels on average, at most {each['max']}; {each['none']:,} have none")
    elif classes:
        out.print("classes: " + listed)
    from tunewright.reporting import standings

    for line in standings.texts(facts):
        out.print(escape(line))


def _problem(problem: Problem, colour: str, kind: str, to: Console = out) -> None:
    to.print(f"[{colour}]{kind}:[/] [bold]{escape(problem.where)}[/]: {escape(problem.found)}", soft_wrap=True)
    if problem.allowed:
        to.print(f"  allowed: {escape(problem.allowed)}", soft_wrap=True)
    if problem.to_do:
        to.print(f"  to do:   {escape(problem.to_do)}", soft_wrap=True)


def failed(error: TunewrightError) -> None:
    """Every problem of an error, on standard error."""
    sys.stdout.flush()
    colour = "yellow" if error.exit_code == 130 else "red"
    for problem in error.problems:
        _problem(problem, colour, error.kind.replace("_", " ") + ("" if error.exit_code == 130 else " error"), err)


def listed_runs(rows: Sequence[Mapping[str, Any]], root: Path) -> None:
    """A line a run."""
    if not rows:
        out.print(f"no runs in {root}")
        return
    from tunewright.reporting.standings import reached

    figures = [reached(row) for row in rows]
    names = {name for name, value in figures if value != "–"}
    figure = "figure" if len(names) > 1 else next(iter(names), "accuracy")
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("run", "result", figure, "model", "adaptation", "created"):
        table.add_column(name, justify="right" if name == figure else "left", no_wrap=name != "run", overflow="fold")
    for row, (metric, value) in zip(rows, figures, strict=True):
        shown = f"{metric} {value}" if len(names) > 1 and value != "–" else value
        created = str(row["created"])[:16].replace("T", " ")
        cells = (row["name"], _result(row), shown, row.get("model"), row.get("adaptation"), created)
        table.add_row(*(escape(str(cell if cell is not None else "–")) for cell in cells))
    out.print(table)


def _result(row: Mapping[str, Any]) -> str:
    """The verdict of a run that is finished, the status of another."""
    verdict = row.get("verdict")
    if row["status"] != "finished" or verdict is None:
        return str(row["status"])
    return f"{verdict} than {row['against']}" if verdict in ("better", "worse") else str(verdict)


def shown_run(facts: Mapping[str, Any]) -> None:
    """A run in short, then its recipe."""
    import yaml

    from tunewright.reporting.standings import shown

    run = facts["run"]
    out.print(f"[bold]{escape(str(run.get('name')))}[/]  {run.get('status')}  {run.get('created')}")
    if facts["verdict"]:
        out.print(escape(facts["verdict"]["sentence"]))
    for name, figures in facts["figures"].items():
        found = shown(run.get("task", "classification"), facts["verdict"], figures)
        if found is not None:
            out.print(f"  {name:<10} {found[0]} {found[1]} ({found[2]})")
    for name in ("training", "speed", "timings", "machine"):
        if run.get(name):
            out.print(f"{name}: " + escape(", ".join(f"{k} {v}" for k, v in run[name].items())))
    out.print(escape(yaml.safe_dump(facts["recipe"], sort_keys=False, allow_unicode=True)))


def shown_difference(rows: Sequence[Mapping[str, Any]]) -> None:
    """What differs, one row each."""
    if not rows:
        out.print("no difference")
        return
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("what", "first", "second"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape("–" if row[name] is None else str(row[name])) for name in ("what", "first", "second")))
    out.print(table)


def show_masked(rows: Sequence[tuple[str, Sequence[tuple[str, bool, str | None]]]]) -> None:
    """Rows as the model sees them, with what is learnt from marked: (title, [(piece, supervised, role)])."""
    from tunewright.reporting.masks import shown

    for part in shown(rows):
        out.print(part)


def selftested(results: Iterable[Any]) -> bool:
    """A line for each check as it ends, under its task; whether none failed."""
    task, began, failed, n = "", time.monotonic(), 0, 0
    for one in results:
        if one.task != task:
            task = one.task
            out.print(f"[bold]{escape(task)}[/]")
        mark = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[dim]-     [/]"}[one.passed]
        figure = "" if one.figure is None else f"{one.figure:.1e}, at most {one.bound:.1e}"
        colour = "red" if one.passed is False else "dim"
        out.print(f"  {mark} {one.name:<23} {figure:<26} [{colour}]{escape(one.words)}[/]", soft_wrap=True)
        failed += one.passed is False
        n += one.passed is not None
    spent = f"{time.monotonic() - began:.0f} s"
    if failed:
        out.print(
            f"[red]{failed} of {counted(n, 'check')} failed[/] in {spent}: what is trained depends on how it is computed"
        )
    else:
        out.print(
            f"[green]all {counted(n, 'check')} passed[/] in {spent}: relative differences, and the most they may be"
        )
    return not failed
