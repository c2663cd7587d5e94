"""The command line: verbs, a recipe, `--set key=value`. Nothing heavy is imported before it is needed.

Exit codes: 0 well, 1 a check of `selftest` failed, 2 recipe or option, 3 data, 4 model, 5 memory, 6 run, 7 storage, 8 not finite,
9 a gate on data is red, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright import cli_data, cli_models
from tunewright.core.errors import TunewrightError, counted

app = typer.Typer(
    name="tunewright",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tunes language models on your own data, on your own machine, and proves that the result is better.",
)
runs_app = typer.Typer(no_args_is_help=True, help="Past runs: list, show, diff.", rich_markup_mode=None)
app.add_typer(runs_app, name="runs")
app.add_typer(cli_data.app, name="data")

Changes = Annotated[list[str], typer.Option("--set", help="Change the recipe: training.epochs=1. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="The run's folder. Default: runs/NAME OF THE RECIPE.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what an earlier run left in the folder.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe in YAML.")]
OneTask = Annotated[str, typer.Option("--task", help="Which task, where the run is of several.")]
RunDir = Annotated[Path, typer.Argument(help="A run's folder.")]


_Usage: Any = typer.BadParameter.__mro__[1]
"""What typer raises for a wrong option; it has the class from click or brings its own, by version."""


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


@app.command()
def init(
    source: Annotated[str, typer.Argument(help="A data file or folder; `demo` for the bundled messages.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where the recipe goes.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The base model; by default one that goes with the task.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="The column with the texts, where the guess is wrong.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="The column with the labels, or several: a,b.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="What to learn, where the guess is wrong.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Look at a file and write a commented recipe for it."""
    from tunewright.starting import start

    path, guess = start(source, out, model=model, text=text, label=label, task=task, force=force)
    if as_json:
        _say({"recipe": str(path), **guess})
        return
    from tunewright import screen

    screen.started(path, guess)


@app.command()
def check(
    recipe: RecipeFile,
    change: Changes = [],  # noqa: B006
    folder: Folder = None,
    show: Annotated[
        int, typer.Option("--show", min=0, help="Print so many training rows, with what of them is learnt.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Find everything that can be wrong, before any training."""
    from tunewright.recipe import read

    parsed = read(recipe, change)
    from tunewright.checking import check as look

    found = look(parsed, recipe.parent, folder or Path(parsed.folder or f"runs/{recipe.stem}"), show)
    if as_json:
        _say(found.as_json())
    else:
        from tunewright import screen

        screen.checked(found, recipe)
    raise typer.Exit(found.exit_code if found.errors else 0)


@app.command()
def selftest(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe in YAML; without one, small models on rows of every task.")
    ] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """See that what training computes does not depend on how it is computed: on your model and rows, or on the toys."""
    from tunewright.recipe import read

    parsed = None if recipe is None else read(recipe, change)
    from tunewright.selftesting import as_plain, selftest_toys
    from tunewright.selftesting import selftest as look

    results = selftest_toys() if recipe is None or parsed is None else look(parsed, recipe.parent)
    if as_json:
        said = as_plain(list(results))
        _say(said)
        raise typer.Exit(0 if said["ok"] else 1)
    from tunewright import screen

    raise typer.Exit(0 if screen.selftested(results) else 1)


@app.command()
def run(
    recipe: RecipeFile,
    change: Changes = [],  # noqa: B006
    folder: Folder = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Clean, train, compare with the baselines, and write the report."""
    _work(recipe, change, folder, fresh, as_json, "report")


@app.command()
def train(
    recipe: RecipeFile,
    change: Changes = [],  # noqa: B006
    folder: Folder = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Clean and train only; `evaluate` does the rest."""
    _work(recipe, change, folder, fresh, as_json, "train")


def _work(recipe: Path, change: list[str], folder: Path | None, fresh: bool, as_json: bool, until: str) -> None:
    from tunewright.recipe import read

    parsed = read(recipe, change)
    place = folder or (Path(parsed.folder) if parsed.folder else Path("runs") / recipe.stem)
    _carry_out(parsed, place, recipe.parent, as_json, fresh=fresh, until=until)


def _carry_out(parsed: Any, place: Path, base: Path, as_json: bool, **options: Any) -> None:
    from tunewright import screen
    from tunewright.running import work

    with screen.stopping() as stop:
        events = work(parsed, place, base=base, command="tunewright " + " ".join(sys.argv[1:]), stop=stop, **options)
        evidence = screen.follow(events, quiet=as_json)
    if as_json:
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        _say({"folder": str(place), "status": facts["status"], "verdict": (evidence or {}).get("verdict"),
              "report": str(place / "report.html") if evidence else None})  # fmt: skip
    else:
        screen.finished(place, evidence)


@app.command()
def evaluate(
    run_folder: RunDir,
    data: Annotated[Path | None, typer.Option("--data", help="Other labelled rows to judge the model on.")] = None,
    task: OneTask = "",
    as_json: Json = False,
) -> None:
    """Compute a run's evidence again, or judge its model on other labelled rows."""
    from tunewright.reevaluating import judge_on, recipe_of

    if data is None:
        _carry_out(recipe_of(run_folder), run_folder, Path(), as_json, retrain=False)
        return
    if as_json:
        _say(judge_on(run_folder, data, task)[1])
        return
    from tunewright import screen

    screen.judging(run_folder, data)
    screen.judged_on(*judge_on(run_folder, data, task))


@app.command()
def predict(
    run_folder: RunDir,
    source: Annotated[str, typer.Argument(help="A file with texts, or one text; - reads lines from standard input.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where predictions go (.csv or .jsonl).")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The column with the texts.")] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="The second text, where the model reads two.")] = None,
    task: OneTask = "",
    labels: Annotated[
        str, typer.Option("--labels", help="Names of the scores, in their order, of an adapter that plain peft saved.")
    ] = "",
    adapter: Annotated[
        list[str], typer.Option("--adapter", help="NAME=FOLDER: one more run on the same base. May be repeated.")
    ] = [],  # noqa: B006
    adapter_column: Annotated[
        str | None,
        typer.Option("--adapter-column", help="The column that names each row's adapter; without it all answer."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict a file, or a line of text."""
    from tunewright.answering import Answerers, is_file, named, predict_file, predict_lines

    names = tuple(name.strip() for name in labels.split(",") if name.strip())
    who = Answerers(run_folder, named(adapter), task, adapter_column, names)
    if source != "-" and is_file(source):
        place, n = predict_file(who, Path(source), out, text)
        _say({"out": str(place), "rows": n}) if as_json else typer.echo(f"{counted(n, 'row')} predicted: {place}")
        return
    lines = [line.rstrip("\n") for line in sys.stdin] if source == "-" else [source]
    rows = predict_lines(who, [line for line in lines if line.strip()], pair)
    if as_json:
        _say(rows)
        return
    for row in rows:
        typer.echo("\t".join([*([row["adapter"]] if adapter else []), _answer(row), row["text"]]))


def _answer(row: dict[str, Any]) -> str:
    if "values" in row:
        return "\t".join(f"{x:.4g}" for x in row["values"].values())
    if "entities" in row:
        return "; ".join(f"{one['type']}: {one['text']}" for one in row["entities"]) or "-"
    if "labels" in row:
        return ", ".join(row["labels"]) or "-"
    if "reply" in row:
        return str(row["reply"])
    if "reward" in row:
        return f"{row['reward']:.4g}"
    if "bits_per_byte" in row:
        return f"{row['bits_per_byte']:.4g}"
    return f"{row['label']}\t{row['probability']:.3f}"


@app.command()
def compare(
    first: RunDir,
    second: RunDir,
    metric: Annotated[
        str | None, typer.Option("--metric", help="What is compared; the task's own if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Is the second run's model better than the first's? A paired test on the items that both predicted."""
    from tunewright.evaluation import compare_runs

    evidence = compare_runs(first, second, metric=metric)
    if as_json:
        _say(evidence)
        return
    from tunewright import screen

    screen.compared(evidence)


@app.command()
def report(run_folder: RunDir, as_json: Json = False) -> None:
    """Write a run's report.html again."""
    from tunewright.reporting import render

    path = render(run_folder)
    _say({"report": str(path)}) if as_json else typer.echo(f"report: {path}")


@runs_app.command("list")
def runs_list(
    root: Annotated[Path, typer.Argument(help="The folder that holds runs.")] = Path("runs"), as_json: Json = False
) -> None:
    """List the runs of a folder, newest first."""
    from tunewright.tracking.folder import inventory

    rows = inventory(root)
    if as_json:
        _say(rows)
        return
    from tunewright import screen

    screen.listed_runs(rows, root)


@runs_app.command("show")
def runs_show(run_folder: RunDir, as_json: Json = False) -> None:
    """Show what a run was made of and what it found."""
    from tunewright.reevaluating import facts_of

    facts = facts_of(run_folder)
    if as_json:
        _say(facts)
        return
    from tunewright import screen

    screen.shown_run(facts)


@runs_app.command("diff")
def runs_diff(first: RunDir, second: RunDir, as_json: Json = False) -> None:
    """Show in which options, inputs and results two runs differ."""
    from tunewright.reevaluating import difference

    rows = difference(first, second)
    if as_json:
        _say(rows)
        return
    from tunewright import screen

    screen.shown_difference(rows)


cli_models.enter(app)


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version."""
    from tunewright import __version__

    _say({"tunewright": __version__}) if as_json else typer.echo(__version__)


def _wait_briefly() -> None:
    """Lets waiting threads give their core up soon; GNU's OpenMP reads it when PyTorch is loaded. What is set stays.

    Beside another busy process training is then 1.5 times as fast as with OpenMP's own patience, on a quiet machine as
    fast as before.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "1000"


def main() -> None:
    """Runs the command line; errors end it with a message and a code of their own, never with a traceback."""
    _wait_briefly()
    try:
        code = app(standalone_mode=False) or 0
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
    except TunewrightError as error:
        code = error.exit_code
        if "--json" in sys.argv:
            _say(error.as_json())
        else:
            from tunewright import screen

            screen.failed(error)
    except _Usage as error:
        code = error.exit_code
        if "--json" in sys.argv:
            problem = {"where": "command line", "found": error.format_message(), "allowed": "", "to_do": "see --help"}
            _say({"error": "usage", "exit_code": code, "problems": [problem]})
        else:
            error.show()
    except (KeyboardInterrupt, typer.Abort):
        code = 130
        sys.stderr.write("interrupted; the same command goes on from the last checkpoint\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
