"""Preferences to Examples: a chosen and a rejected reply behind one prompt, or one reply with a thumb up or down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunewright.core.conversations import choice
from tunewright.core.records import Record
from tunewright.encoding.chat import (
    ChatTemplate,
    Run,
    TooLong,
    Unfit,
    earliest,
    encoded,
    example,
    exchanges,
    part,
    unlabelled,
)
from tunewright.encoding.codec import Refused
from tunewright.encoding.examples import Example
from tunewright.encoding.messages import Conversation, asked, followed


def preferences(
    records: Sequence[Record], template: ChatTemplate, *, limit: int, too_long: TooLong = "drop", written: bool = True
) -> tuple[list[Example], list[Refused]]:
    """Examples of preference records, in their order, each checked as conversations are; and what was refused.

    Of a pair the chosen reply is the Example and the rejected one its `other`; the prompt's tokens are the same in
    both. A thumb is an Example with given["good"] 1.0 or 0.0. Learnt are the tokens of the assistant in the reply and
    nothing of the prompt. A reply must be one sequence: the template may not render its past otherwise.

    Args:
        records: in the canonical form of preferences. One without a label gives its prompt; or, where the assistant
            has the last word in it, the whole conversation to its end token: what a reward model is asked about.
        template: renders and tokenizes.
        limit: tokens of each of the two sequences, at most.
        too_long: "drop" refuses longer ones; "split_turns" drops leading exchanges of the prompt, the same for both
            replies, until both fit. A reply is never cut.
        written: whether the model shall write such replies, or only read them (a reward model), whose tokens then need
            not give the text back.

    Reasons beside those of `chat`: "same_reply", where there is nothing to prefer.
    """
    sides: dict[str, tuple[Conversation, ...]] = {}
    refused: dict[str, Refused] = {}
    for record in records:
        try:
            sides[record.id] = _sides(record)
        except (ValueError, TypeError) as error:
            refused[record.id] = Refused(record.id, "form", str(error))
    runs = iter(
        encoded([side for r in records for side in sides.get(r.id, ()) if side.learnt], template, written=written)
    )
    examples = []
    for record in records:
        if record.id not in sides:
            continue
        made = [next(runs) if side.learnt else None for side in sides[record.id]]
        try:
            if record.label is None and made[0] is None:
                examples += unlabelled(sides[record.id][0], template, limit, too_long)
            else:
                examples.append(_example(record, sides[record.id], made, template, limit, too_long, written))
        except Unfit as unfit:
            refused[record.id] = Refused(record.id, unfit.reason, unfit.detail)
    return examples, [refused[r.id] for r in records if r.id in refused]


def _sides(record: Record) -> tuple[Conversation, ...]:
    """The prompt with each of its replies; what there is where there is no label."""
    before = asked(record)
    if record.label is None:
        last = len(before.messages) - 1
        return (
            replace(before, learnt=(last,)) if last > 0 and before.messages[last]["role"] == "assistant" else before,
        )
    said = choice(record.label)
    return tuple(followed(before, reply) for reply in (said.chosen, said.rejected) if reply is not None)


def _example(
    record: Record,
    sides: Sequence[Conversation],
    made: Sequence[list[Run] | Unfit | None],
    template: ChatTemplate,
    limit: int,
    too_long: TooLong,
    written: bool,
) -> Example:
    runs = [_single(one) for one in made]
    if max(len(run.tokens) for run in runs) > limit:
        runs = _shortened(sides, runs, template, limit, too_long, written)
    chosen = example(record.id, runs[0])
    if record.label is None:
        return replace(chosen, target=None)
    if len(runs) == 1:
        good = choice(record.label or "").chosen is not None
        return replace(chosen, given={"good": 1.0 if good else 0.0})
    one, two = (run.tokens[: run.replies[0].start] for run in runs)
    if one != two:
        raise Unfit("prefix", "the prompt has other tokens before the chosen reply than before the rejected one")
    if runs[0].tokens == runs[1].tokens:
        raise Unfit("same_reply", "the chosen and the rejected reply are the same")
    return replace(chosen, other=example(record.id, runs[1]))


def _single(made: list[Run] | Unfit | None) -> Run:
    if isinstance(made, Unfit):
        raise made
    if not made:
        raise Unfit("no_reply", "no message of the assistant is to be learnt")
    if len(made) > 1:
        raise Unfit("prefix", "the template renders the messages of the reply otherwise once others follow")
    return made[0]


def _shortened(
    sides: Sequence[Conversation],
    runs: Sequence[Run],
    template: ChatTemplate,
    limit: int,
    too_long: TooLong,
    written: bool,
) -> list[Run]:
    """The same replies behind the longest end of the prompt with which all fit."""
    if too_long == "drop":
        longest = max(len(run.tokens) for run in runs)
        raise Unfit("too_long", f"{longest:,} tokens; the limit is {limit:,}")

    def fitting(start: int) -> list[Run] | None:
        cut = [part(side, start, len(side.messages)) for side in sides]
        made = [_single(one) for one in encoded(cut, template, written=written)]
        return made if max(len(run.tokens) for run in made) <= limit else None

    best = earliest(exchanges(sides[0].messages, sides[0].learnt[0]), fitting)
    if best is None:
        raise Unfit("too_long", f"the last exchange alone has more than {limit:,} tokens")
    return best
