"""Conversations to Examples: which tokens are learnt, and the checks that every one passes before training.

The rule that replaces all guessing: for each reply to be learnt, the template renders what serving would send (the
messages before it, with the generation prompt) and the same with the reply. The tokens of the first must begin those of
the second; what comes after them, up to and with the end-of-turn token, is learnt, and nothing else is. Replies whose
sequences continue one another share one Example. Where a template renders the past differently from the present (it
drops earlier reasoning, say), they do not, and each reply is an Example of its own, as serving would see it.

What does not hold is refused, with one of these reasons:

    form           the record is not in the form of a chat
    no_reply       no reply of it is to be learnt
    template       the template refuses these messages
    prompt         what serving sends is not how the rendered conversation begins
    prefix         it is, but not token for token
    no_end         no end-of-turn token follows the reply: the model would not learn to stop
    control_text   the reply has a special token in its text, which would be learnt as one
    round_trip     the learnt tokens do not read as the reply
    too_long       it is longer than the limit, and nothing of it is cut silently
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED
from tunewright.encoding.codec import Codec, Refused, continued, folded, same
from tunewright.encoding.examples import Example, numbered
from tunewright.encoding.messages import Conversation, Message, answered, asked, called

Supervise = Literal["all", "last"]
TooLong = Literal["drop", "split_turns"]
_CHUNK = 256
T = TypeVar("T")


class CannotRender(ValueError):
    """A template refuses the messages that it was given; its words say why."""


class ChatTemplate(Codec, Protocol):
    """A tokenizer with a chat template (`models.templates.Template`)."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a reply; that of an ordinary one first."""
        ...

    @property
    def appended(self) -> bool:
        """Whether the template writes no such token, so that it is put behind the reply."""
        ...

    @property
    def controls(self) -> frozenset[str]:
        """Texts that become special tokens wherever they stand."""
        ...

    @property
    def marks(self) -> frozenset[str]:
        """Plain texts by which the template marks a turn, where it does so without special tokens."""
        ...

    def render(self, messages: Sequence[Message], tools: Sequence[Any] = (), generation_prompt: bool = False) -> str:
        """The messages as one text.

        Raises:
            CannotRender: the template refuses them.
        """
        ...

    def mask(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> tuple[list[int], list[int]] | None:
        """Tokens, and 1 where the template's own generation tags say that one is the assistant's; None without tags."""
        ...


class Unfit(ValueError):
    """Why a conversation cannot be learnt; becomes a `Refused`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """Tokens [start, end) of a run are a reply with its end-of-turn token; `place` is its message's."""

    place: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Run:
    """One sequence to train on. learnt: whether each token is; replies: where they are, rising."""

    tokens: list[int]
    learnt: list[bool]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    place: int
    prompt: str
    whole: str


def conversations(
    records: Sequence[Record],
    template: ChatTemplate,
    *,
    supervise: Supervise = "all",
    limit: int,
    too_long: TooLong = "drop",
) -> tuple[list[Example], list[Refused]]:
    """Examples of chat records, in their order, each checked; and what was refused.

    A record gives one Example with its id, or several, "id#0", "id#1", ... (`record_of` gives the id back): where the
    template renders the past differently, or where it was split. One without a label gives its prompt, unsupervised.

    Args:
        records: in the canonical form of chats.
        template: renders and tokenizes.
        supervise: "all" replies of the assistant, or the "last" alone; those of weight 0 are never learnt.
        limit: tokens of an Example, at most.
        too_long: "drop" refuses longer ones. "split_turns" starts anew at a user's message, with the system prompt,
            as late as needed: every reply that is to be learnt is in exactly one part, whole. Where an exchange does
            not fit by itself, the record is refused.

    Cost: two renderings and tokenizations a reply.
    """
    read: dict[str, Conversation] = {}
    refused: dict[str, Refused] = {}
    for record in records:
        try:
            read[record.id] = asked(record) if record.label is None else answered(record, supervise)
        except ValueError as error:
            refused[record.id] = Refused(record.id, "form", str(error))
    examples: list[Example] = []
    for record, runs in zip(records, encoded([read.get(r.id) for r in records], template), strict=True):
        if runs is None:
            continue
        try:
            if record.label is None:
                examples += unlabelled(read[record.id], template, limit, too_long)
                continue
            if isinstance(runs, Unfit):
                raise runs
            if max(len(run.tokens) for run in runs) > limit:
                runs = _split(read[record.id], runs, template, limit, too_long)
            examples += numbered([example(record.id, run) for run in runs])
        except Unfit as unfit:
            refused[record.id] = Refused(record.id, unfit.reason, unfit.detail)
    return examples, [refused[r.id] for r in records if r.id in refused]


def prompts(
    records: Sequence[Record], template: ChatTemplate, limit: int, *, too_long: TooLong = "drop"
) -> tuple[list[Example], list[Refused]]:
    """What serving sends for each record: its messages before the last reply, with the generation prompt.

    Args:
        records: in the canonical form of chats, labelled or not.
        template: renders and tokenizes.
        limit: tokens of a prompt, at most.
        too_long: "drop" refuses longer ones; "split_turns" drops leading exchanges until it fits.
    """
    examples, refused = [], []
    for record in records:
        try:
            examples += unlabelled(asked(record), template, limit, too_long)
        except Unfit as unfit:
            refused.append(Refused(record.id, unfit.reason, unfit.detail))
        except ValueError as error:
            refused.append(Refused(record.id, "form", str(error)))
    return examples, refused


def encoded(
    talks: Sequence[Conversation | None], template: ChatTemplate, *, written: bool = True
) -> list[list[Run] | Unfit | None]:
    """The runs of each conversation, or why there are none; None stays None. Tokenizes many at once.

    written: the model shall write such replies, so that their tokens must read as they do. One that only reads may have
    a tokenizer without capitals.
    """
    made: list[list[Run] | Unfit | None] = []
    for start in range(0, len(talks), _CHUNK):
        chunk = talks[start : start + _CHUNK]
        turns = [None if talk is None else _attempt(_turns, talk, template) for talk in chunk]
        texts = [text for one in turns if isinstance(one, list) for turn in one for text in (turn.prompt, turn.whole)]
        tokens = iter(template.tokenize(texts) if texts else [])
        for talk, one in zip(chunk, turns, strict=True):
            if talk is None or not isinstance(one, list):
                made.append(one if isinstance(one, Unfit) else None)
                continue
            pairs = [(turn, next(tokens), next(tokens)) for turn in one]
            made.append(_attempt(_runs, talk, pairs, template, written))
    return made


def _attempt(do: Callable[..., T], *args: object) -> T | Unfit:
    try:
        return do(*args)
    except Unfit as unfit:
        return unfit


def _turns(talk: Conversation, template: ChatTemplate) -> list[_Turn]:
    """Prompt and whole text of every reply to be learnt."""
    if not talk.learnt:
        raise Unfit("no_reply", "no message of the assistant is to be learnt")
    turns = []
    for place in talk.learnt:
        content = str(talk.messages[place].get("content") or "")
        held = sorted(text for text in template.controls if text in content)
        if held:
            raise Unfit("control_text", f"the reply holds {', '.join(map(repr, held))}")
        try:
            prompt = template.render(talk.messages[:place], talk.tools, generation_prompt=True)
            whole = template.render(talk.messages[: place + 1], talk.tools)
        except CannotRender as error:
            raise Unfit("template", f"the template says: {error}") from error
        if not whole.startswith(prompt):
            raise Unfit("prompt", _difference(prompt, whole))
        turns.append(_Turn(place, prompt, whole))
    return turns


def _difference(prompt: str, whole: str) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole))
    )
    return f"serving sends {prompt[place : place + 40]!r} where the conversation goes on with {whole[place : place + 40]!r}"


def _runs(
    talk: Conversation, turns: Sequence[tuple[_Turn, list[int], list[int]]], template: ChatTemplate, written: bool
) -> list[Run]:
    """Sequences of all replies; one that goes on where another ends takes it in."""
    runs: list[Run] = []
    for turn, prompt, whole in turns:
        run = _run(talk, turn, prompt, whole, template, written)
        before = runs[-1] if runs else None
        if before is not None and run.tokens[: len(before.tokens)] == before.tokens:
            learnt = before.learnt + run.learnt[len(before.learnt) :]
            runs[-1] = Run(run.tokens, learnt, (*before.replies, *run.replies))
        else:
            runs.append(run)
    return runs


def _run(
    talk: Conversation, turn: _Turn, prompt: list[int], whole: list[int], template: ChatTemplate, written: bool
) -> Run:
    """The sequence of one reply, to its end-of-turn token.

    Raises:
        Unfit: a check fails.
    """
    reply = turn.whole[len(turn.prompt) :]
    tokens = continued(template, prompt, whole, reply)
    if tokens is None:
        raise Unfit("prefix", "the tokens of the prompt are not those that the tokens of the conversation begin with")
    start = len(prompt)
    ends = [i for i in range(start, len(tokens)) if tokens[i] in template.ends]
    if ends:
        tokens = tokens[: ends[-1] + 1]
        reply = reply[: reply.rfind(template.decode(tokens[-1:]))]
    elif template.appended:
        tokens = [*tokens, template.ends[0]]
    else:
        raise Unfit("no_end", f"the template writes no end-of-turn token after {reply[-40:]!r}")
    if not written:
        return Run(tokens, [False] * start + [True] * (len(tokens) - start), (Reply(turn.place, start, len(tokens)),))
    if not same(template.decode(tokens[start:-1]), reply):
        raise Unfit(
            "round_trip", f"the tokens read {template.decode(tokens[start:-1])[:80]!r}, the text {reply[:80]!r}"
        )
    learnt = [False] * start + [True] * (len(tokens) - start)
    tagged = template.mask(talk.messages[: turn.place + 1], talk.tools)
    if tagged is not None and tagged[0][: len(tokens)] == tokens:
        learnt[start:-1] = [bool(x) for x in tagged[1][start : len(tokens) - 1]]
    text = template.decode([t for t, yes in zip(tokens, learnt, strict=True) if yes])
    _holds(text, talk.messages[turn.place])
    return Run(tokens, learnt, (Reply(turn.place, start, len(tokens)),))


def _holds(text: str, message: Message) -> None:
    """Sees that what is learnt has the whole message in it.

    Raises:
        Unfit: it has not.
    """
    content = folded(str(message.get("content") or ""))
    if content not in folded(text):
        raise Unfit("round_trip", f"what is learnt, {text[:80]!r}, has not all of the reply {content[:80]!r}")
    absent = [name for name in called(message) if name not in text]
    if absent:
        raise Unfit("round_trip", f"the template leaves out the call of {', '.join(absent)}")
    if not content and not called(message):
        raise Unfit("no_reply", "the reply is empty")


def example(record: str, run: Run) -> Example:
    """An Example whose target at each place is the next token, where that is learnt."""
    tokens = np.asarray(run.tokens, dtype=np.int64)
    target = np.full(len(tokens), IGNORED, dtype=np.int64)
    learnt = np.asarray(run.learnt[1:], dtype=bool)
    target[:-1][learnt] = tokens[1:][learnt]
    return Example(record, tokens, target, len(tokens), unit="token")


def unlabelled(talk: Conversation, template: ChatTemplate, limit: int, too_long: TooLong = "drop") -> list[Example]:
    """The prompt of a conversation, as serving sends it, unsupervised.

    Raises:
        Unfit: the template refuses it, or it is longer than `limit` and may not be shortened, or not enough.
    """
    tokens = _sent(talk, template)
    full = len(tokens)
    if full > limit and too_long == "split_turns":

        def fitting(start: int) -> list[int] | None:
            shorter = _sent(part(talk, start, len(talk.messages)), template)
            return shorter if len(shorter) <= limit else None

        tokens = earliest(exchanges(talk.messages, len(talk.messages)), fitting) or tokens
    if len(tokens) > limit:
        raise Unfit("too_long", f"the prompt has {full:,} tokens; the limit is {limit:,}")
    return [Example(talk.id, np.asarray(tokens, dtype=np.int64), None, full, unit="token")]


def _sent(talk: Conversation, template: ChatTemplate) -> list[int]:
    try:
        text = template.render(talk.messages, talk.tools, generation_prompt=True)
    except CannotRender as error:
        raise Unfit("template", f"the template says: {error}") from error
    return template.tokenize([text])[0]


def _split(talk: Conversation, runs: Sequence[Run], template: ChatTemplate, limit: int, too_long: TooLong) -> list[Run]:
    """The runs of a conversation cut before user messages, so that each fits.

    Raises:
        Unfit: it may not be cut, or an exchange does not fit by itself.
    """
    longest = max(len(run.tokens) for run in runs)
    if too_long == "drop":
        raise Unfit("too_long", f"{longest:,} tokens; the limit is {limit:,}")
    parts: list[list[Run]] = []
    stop = len(talk.messages)
    while any(place < stop for place in talk.learnt):
        cut, made = _longest_part(talk, stop, template, limit)
        parts.append(made)
        stop = cut
    return [run for part in reversed(parts) for run in part]


def _longest_part(talk: Conversation, stop: int, template: ChatTemplate, limit: int) -> tuple[int, list[Run]]:
    """The earliest start from which the messages before `stop` fit, by bisection, and their runs."""
    last = max(place for place in talk.learnt if place < stop)

    def fitting(start: int) -> tuple[int, list[Run]] | None:
        made = encoded([part(talk, start, last + 1)], template)[0]
        if isinstance(made, Unfit):
            raise made
        return (start, made) if made and max(len(run.tokens) for run in made) <= limit else None

    best = earliest(exchanges(talk.messages, last), fitting)
    if best is None:
        raise Unfit("too_long", f"one exchange alone, up to message {last + 1}, has more than {limit:,} tokens")
    return best


def earliest(starts: Sequence[int], fitting: Callable[[int], T | None]) -> T | None:
    """What `fitting` gives for the first start for which it gives something; later ones fit where earlier ones do."""
    low, high = 0, len(starts)
    best: T | None = None
    while low < high:
        middle = (low + high) // 2
        made = fitting(starts[middle])
        if made is None:
            low = middle + 1
        else:
            best, high = made, middle
    return best


def exchanges(messages: Sequence[Message], last: int) -> list[int]:
    """Places before `last` where an exchange begins: a user's message that follows none of the user's."""
    return [
        i
        for i in range(last)
        if messages[i]["role"] == "user" and (i == 0 or messages[i - 1]["role"] != "user")
    ]  # fmt: skip


def part(talk: Conversation, start: int, stop: int) -> Conversation:
    """Messages [start, stop) behind the system prompt."""
    head = opening(talk.messages)
    start = max(start, head)
    messages = (*talk.messages[:head], *talk.messages[start:stop])
    learnt = tuple(place - start + head for place in talk.learnt if start <= place < stop)
    return Conversation(talk.id, messages, talk.tools, learnt)


def opening(messages: Sequence[Message]) -> int:
    """How many system messages come before all others."""
    return next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
