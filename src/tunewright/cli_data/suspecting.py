"""`tunewright data suspects | score | balance`: labels that may be wrong, how hard rows are, how evenly they are spread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Task, Text, say

List = Annotated[Path, typer.Argument(metavar="FILE", help="What `tunewright data suspects` has written.")]


class _Or(TyperGroup):
    """`suspects SOURCE` is `suspects find SOURCE`, since a source is what is asked for nearly always."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["find", *args]
        return super().parse_args(ctx, args)


suspects = typer.Typer(cls=_Or, no_args_is_help=True, rich_markup_mode=None,
                       help="Labels that may be wrong: list those of SOURCE; `review` and `apply` go on from there.")  # fmt: skip


def find(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    probe: Annotated[str, typer.Option("--probe", help="tfidf, or an encoder that is asked beside it.")] = "tfidf",
    probabilities: Annotated[
        list[Path],
        typer.Option("--probabilities", help="In place of a probe: JSON lines, or the runs of all folds. May be repeated."),
    ] = [],  # noqa: B006
    method: Annotated[str, typer.Option("--method", help="stacked, loss, margin, ratio or confident.")] = "stacked",
    rounds: Annotated[int, typer.Option("--rounds", help="2 learns again without the most suspect.", min=1, max=2)] = 2,
    top: Annotated[int, typer.Option("--top", help="How many are listed.", min=1)] = 200,
    out: Annotated[Path | None, typer.Option("--out", help="Write the list here, for a review.")] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """List the rows whose labels may be wrong, the most suspect first."""
    from tunewright import suspecting
    from tunewright.core.errors import Problem, RecipeError, listed
    from tunewright.curating import open_source
    from tunewright.data.suspects import review
    from tunewright.data.suspects.ranking import METHODS

    if method not in METHODS:
        raise RecipeError(Problem(where="--method", found=repr(method), allowed=listed(METHODS)))
    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    found = suspecting.suspects(opened, probe=probe, probabilities=probabilities, method=method, rounds=rounds)
    if out is not None:
        review.write(found, out, top=top, seed=opened.seed)
    if as_json:
        say({"rows": len(found.drafts), "expected_errors": round(found.errors, 1), "out": None if out is None else str(out),
             "suspects": [one.as_json() for one in found.first(top)]})  # fmt: skip
        return
    from tunewright import screen_suspects

    screen_suspects.suspects(found, out)


def review(
    file: List,
    by: Annotated[str, typer.Option("--by", help="Your name, kept with the answers.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="What the answers say so far, as JSON; asks nothing.")
    ] = False,
) -> None:
    """Ask about each row of a list; goes on where it was left. Says how precise the list is and how many errors there are."""
    from tunewright.data.suspects import review as reviews

    listing = reviews.read(file)
    place = reviews.answers_beside(file)
    given = reviews.answers(place, listing)
    if as_json:
        say(reviews.estimate(listing, given).as_json())
        return
    from tunewright import screen_suspects

    rows = listing.asked()
    for i, row in enumerate(rows, 1):
        if row["id"] in given:
            continue
        screen_suspects.question(row, i, len(rows))
        answer = _asked(row, listing.labels, by)
        if answer is None:
            break
        reviews.append(place, answer)
        given[answer.id] = answer
    screen_suspects.estimate(reviews.estimate(listing, given))


def _asked(row: Mapping[str, Any], labels: tuple[str, ...], by: str) -> Any:
    """What is said of a row; None to stop, which the end of the input is too."""
    from tunewright import screen_suspects
    from tunewright.data.suspects.review import ACTIONS, Answer

    keys = {action[0]: action for action in ACTIONS}
    while True:
        key = _line()
        if key is None or key.startswith("q"):
            return None
        action = keys.get(key[:1])
        if action == "relabel":
            screen_suspects.choices(labels, str(row["suggested"]))
            label = _chosen(labels, str(row["suggested"]))
            return None if label is None else Answer(str(row["id"]), action, label, by)
        if action is not None:
            return Answer(str(row["id"]), action, None, by)
        screen_suspects.keys()


def _chosen(labels: tuple[str, ...], suggested: str) -> str | None:
    from tunewright import screen_suspects

    while True:
        said = _line()
        if said is None or said in labels:
            return said
        if not said:
            return suggested
        if said.isdecimal() and 1 <= int(said) <= len(labels):
            return labels[int(said) - 1]
        screen_suspects.choices(labels, suggested)


def _line() -> str | None:
    try:
        return input().strip()
    except EOFError:
        return None


def apply(
    source: Source, file: List,
    out: Annotated[Path, typer.Option("--out", help="Write the rows here as JSON lines, the ledger beside.")],
    text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write a source's rows with the answers of a review: corrected labels, dropped rows, each in the ledger."""
    from tunewright import suspecting
    from tunewright.curating import open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    made = suspecting.apply(opened, file, out)
    if as_json:
        say(made.as_json())
    else:
        typer.echo(f"rows: {made.rows:,}, relabelled {made.relabelled:,}, dropped {made.dropped:,}\nout:  {made.out}")


def score(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    by: Annotated[
        str, typer.Option("--by", help="Measures: length, rarity, readability, probe, disagreement, instruction.")
    ] = "length,rarity",
    language: Annotated[
        str | None, typer.Option("--language", help="Of instruction: the causal language model, a folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the rows with their scores here.")] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say how hard each row is, for curricula."""
    from tunewright import suspecting
    from tunewright.curating import open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    drafts = suspecting.scored(opened, _names(by), language)
    if out is not None:
        suspecting.written(drafts, out)
    if as_json:
        say(
            {
                "rows": [{"id": draft.id, **dict(draft.difficulty)} for draft in drafts],
                "out": None if out is None else str(out),
            }
        )
        return
    from tunewright import screen_suspects

    screen_suspects.difficulty(drafts, out)


def balance(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    by: Annotated[str, typer.Option("--by", help="Slices: label, language, length, group.")] = "label",
    plan: Annotated[str | None, typer.Option("--plan", help="sampler, loss or quotas: what would even it out.")] = None,
    effective: Annotated[bool, typer.Option("--effective", help="Weigh by effective numbers rather than counts.")] = False,
    power: Annotated[float, typer.Option("--power", help="0 makes cells alike, 1 leaves them.", min=0, max=1)] = 0.0,
    out: Annotated[Path | None, typer.Option("--out", help="Write the plan here as JSON.")] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say how evenly rows are spread, and plan weights or quotas against it; no row is touched."""
    from tunewright.core.errors import Problem, RecipeError, listed
    from tunewright.core.files import write_json
    from tunewright.curating import open_source
    from tunewright.data import balance as side

    if plan is not None and plan not in side.PLANS:
        raise RecipeError(Problem(where="--plan", found=repr(plan), allowed=listed(side.PLANS)))
    if out is not None and plan is None:
        raise RecipeError(Problem(where="--out", found="no plan to write", to_do="say which: --plan loss"))
    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    drafts = [draft for draft in opened.settled().drafts if draft.label is not None]
    found = side.balances(drafts, _names(by))
    made = None if plan is None else side.plan(drafts, plan, _names(by), effective=effective, power=power)
    if out is not None:
        write_json(out, made)
    if as_json:
        say({"slices": [one.as_json() for one in found], "plan": made})
        return
    from tunewright import screen_suspects

    screen_suspects.balance(found, made, out)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def enter(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (find, review, apply):
        suspects.command()(command)
    app.add_typer(suspects, name="suspects")
    app.command()(score)
    app.command()(balance)
