"""Source and target to Examples: one text for a decoder-only model, two sides for an encoder-decoder.

Only the target is learnt, with the end token; it is never cut. A source may be cut at a number of tokens of its own,
which does not depend on the target, so that serving cuts it at the same place.

Refused with the reasons "too_long", "prefix", "round_trip", "control_text", "no_reply" as `chat` names them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED
from tunewright.encoding.chat import Unfit
from tunewright.encoding.codec import Codec, Refused, continued, same
from tunewright.encoding.examples import Example, Tokenize

LongSource = Literal["drop", "cut_source"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How source and target are one text: before + source + between + target, then the `end` token.

    start: the token that the model expects before every text; None where it expects none. controls: texts that become
    special tokens wherever they stand. source_limit: tokens of a source, at most; None is no limit.
    """

    end: int
    start: int | None = None
    before: str = ""
    between: str = "\n\n"
    controls: frozenset[str] = frozenset()
    source_limit: int | None = None


def causal_sequences(
    records: Sequence[Record], codec: Codec, layout: Layout, *, limit: int, too_long: LongSource = "drop"
) -> tuple[list[Example], list[Refused]]:
    """Examples for a decoder-only model: tokens of source and target, targets shifted; unlabelled: the prompt.

    Args:
        records: text is the source, label the target.
        codec: the tokenizer.
        layout: what stands around source and target.
        limit: tokens in all, at most; more is refused.
        too_long: whether a source above `layout.source_limit` tokens refuses the record, or is cut there.
    """
    prompts, refused = _prompts(records, codec, layout, too_long)
    kept = [r for r in records if r.id in prompts]
    texts = [text for r in kept for text in (prompts[r.id].text, prompts[r.id].text + (r.label or ""))]
    tokens = iter(codec.tokenize(texts) if texts else [])
    examples = []
    for record in kept:
        prompt, whole = next(tokens), next(tokens)
        try:
            examples.append(_causal(record, prompts[record.id], prompt, whole, codec, layout, limit))
        except Unfit as unfit:
            refused[record.id] = Refused(record.id, unfit.reason, unfit.detail)
    return examples, [refused[r.id] for r in records if r.id in refused]


@dataclass(frozen=True, slots=True)
class _Prompt:
    text: str
    lost: int


def _prompts(
    records: Sequence[Record], codec: Codec, layout: Layout, too_long: LongSource
) -> tuple[dict[str, _Prompt], dict[str, Refused]]:
    """What stands before each target, and how many tokens of the source were cut off."""
    prompts: dict[str, _Prompt] = {}
    refused: dict[str, Refused] = {}
    known = layout.source_limit is not None
    sources = codec.tokenize([r.text for r in records]) if known and records else [[] for _ in records]
    for record, tokens in zip(records, sources, strict=True):
        text, lost = record.text, 0
        if layout.source_limit is not None and len(tokens) > layout.source_limit:
            if too_long == "drop":
                refused[record.id] = _longer(record.id, len(tokens), layout.source_limit)
                continue
            lost = len(tokens) - layout.source_limit
            text = codec.decode(tokens[: layout.source_limit]).rstrip("\ufffd")
        prompts[record.id] = _Prompt(layout.before + text + layout.between, lost)
    return prompts, refused


def _longer(record: str, tokens: int, limit: int) -> Refused:
    return Refused(record, "too_long", f"the source has {tokens:,} tokens; the limit is {limit:,}")


def _causal(
    record: Record, made: _Prompt, prompt: list[int], whole: list[int], codec: Codec, layout: Layout, limit: int
) -> Example:
    head = [] if layout.start is None else [layout.start]
    if record.label is None:
        tokens = np.asarray([*head, *prompt], dtype=np.int64)
        if len(tokens) > limit:
            raise Unfit("too_long", f"the prompt has {len(tokens):,} tokens; the limit is {limit:,}")
        return Example(record.id, tokens, None, len(tokens) + made.lost, unit="token")
    _check_target(record.label, layout.controls)
    joined = continued(codec, prompt, whole, record.label)
    if joined is None:
        raise Unfit("prefix", "the tokens of the source are not those that source and target begin with")
    _check_text(codec.decode(joined[len(prompt) :]), record.label)
    tokens = np.asarray([*head, *joined, layout.end], dtype=np.int64)
    if len(tokens) > limit:
        raise Unfit("too_long", f"{len(tokens):,} tokens; the limit is {limit:,}")
    target = np.full(len(tokens), IGNORED, dtype=np.int64)
    start = len(head) + len(prompt)
    target[start - 1 : -1] = tokens[start:]
    return Example(record.id, tokens, target, len(tokens) + made.lost, unit="token")


def _check_target(label: str, controls: frozenset[str]) -> None:
    held = sorted(text for text in controls if text in label)
    if held:
        raise Unfit("control_text", f"the target holds {', '.join(map(repr, held))}")
    if not label.strip():
        raise Unfit("no_reply", "the target is empty")


def _check_text(read: str, label: str) -> None:
    if not same(read, label):
        raise Unfit("round_trip", f"the tokens read {read[:80]!r}, the target {label[:80]!r}")


def aligned_sequences(
    records: Sequence[Record],
    sources: Tokenize,
    targets: Callable[[Sequence[str]], list[list[int]]],
    *,
    start: int,
    end: int,
    source_limit: int,
    target_limit: int,
    before: str = "",
    too_long: LongSource = "drop",
    controls: frozenset[str] = frozenset(),
    unknown: int | None = None,
) -> tuple[list[Example], list[Refused]]:
    """Examples for an encoder-decoder: the encoder reads the source, the decoder the target one place later.

    Args:
        records: text is the source, label the target; without a label there is no decoder's side.
        sources: tokens of sources with the model's special tokens, cut at a limit.
        targets: tokens of targets with the model's special tokens.
        start: what the decoder reads first.
        end: what ends a target; put there where `targets` does not.
        source_limit: tokens of a source, at most; `too_long` says whether a longer one is refused or cut.
        target_limit: tokens of a target, at most; a longer one is refused.
        before: put before every source ("translate English to German: ").
        too_long: "drop" or "cut_source".
        controls: texts that become special tokens wherever they stand; a target that has one is refused.
        unknown: the token for what the vocabulary has not; a target that has it is refused.
    """
    if not records:
        return [], []
    ids, types, full = sources([before + r.text for r in records], None, source_limit)
    said = iter(targets([r.label for r in records if r.label is not None]))
    examples, refused = [], []
    for i, record in enumerate(records):
        labels = None if record.label is None else next(said)
        tokens = np.asarray(ids[i], dtype=np.int64)
        kinds = None if types is None else np.asarray(types[i], dtype=np.int64)
        if full[i] > source_limit and too_long == "drop":
            refused.append(_longer(record.id, full[i], source_limit))
        elif labels is None:
            examples.append(Example(record.id, tokens, None, full[i], kinds, unit="token"))
        else:
            try:
                labels = _ended(record.label or "", labels, end, target_limit, controls, unknown)
            except Unfit as unfit:
                refused.append(Refused(record.id, unfit.reason, unfit.detail))
                continue
            read = np.asarray([start, *labels[:-1]], dtype=np.int64)
            target = np.asarray(labels, dtype=np.int64)
            examples.append(Example(record.id, tokens, target, full[i], kinds, unit="token", decoder=read))
    return examples, refused


def _ended(
    label: str, tokens: list[int], end: int, limit: int, controls: frozenset[str], unknown: int | None
) -> list[int]:
    """A target's tokens with its end token.

    Raises:
        Unfit: it cannot be learnt.
    """
    _check_target(label, controls)
    tokens = tokens if tokens[-1:] == [end] else [*tokens, end]
    if unknown is not None and unknown in tokens[:-1]:
        raise Unfit("round_trip", f"the vocabulary has not all characters of the target {label[:80]!r}")
    if len(tokens) > limit:
        raise Unfit("too_long", f"the target has {len(tokens):,} tokens; the limit is {limit:,}")
    return tokens
