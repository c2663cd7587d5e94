"""Replies that people compared: `preference` and `reward`.

A record's text is the prompt, its label `{"chosen": [...], "rejected": [...]}`, or, with a thumb up or down for one reply,
`{"reply": [...], "good": true}`. Many comparisons of one prompt are no conflict; the same two replies preferred both ways
are one, and so is one reply that is good and bad.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.core.errors import Problem, counted
from tunewright.core.records import Record
from tunewright.data.conversations import form_of, preferences
from tunewright.data.conversations.turns import Comparison, Conversation, Message, Thumb, canonical
from tunewright.data.journal import Draft
from tunewright.data.rows import Reader, Taken, UnfitError
from tunewright.data.targets.prompts import Prompts, answerable, described, text_of
from tunewright.data.targets.protocol import most_frequent, too_few


@dataclass(frozen=True)
class Preferences(Prompts):
    """A record's label is two replies, or one with a thumb; a reward is learnt from two."""

    task: str = "preference"
    conflict: str = "contrary_preference"

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader:
        found = form_of(sample, preferences(self.columns), self.conversation, self.columns, file)

        def take(row: Mapping[str, Any]) -> Taken:
            reply = found.read(row)
            return self.compared(reply) if isinstance(reply, Comparison) else self.judged(reply)  # type: ignore[arg-type]

        return Reader(take, found.form, f"read as {found.form} ({found.why})")

    def compared(self, two: Comparison) -> Taken:
        """Two replies as text and label.

        Raises:
            UnfitError: there are no two replies to one prompt, or they are equal.
        """
        given = self.prompted(two.prompt)
        prompt, chosen = answerable(given, two.chosen)
        _, rejected = answerable(given, two.rejected)
        if [_bare(m) for m in chosen] == [_bare(m) for m in rejected]:
            raise UnfitError("equal_replies", "chosen and rejected are the same")
        return Taken(_text(prompt, given), canonical({"chosen": chosen, "rejected": rejected}))

    def judged(self, one: Thumb) -> Taken:
        """One reply with its thumb as text and label.

        Raises:
            UnfitError: there is no reply.
        """
        given = self.prompted(one.prompt)
        prompt, reply = answerable(given, one.reply)
        label = None if one.good is None else canonical({"reply": reply, "good": one.good})
        return Taken(_text(prompt, given), label)

    def replies(self, label: Any) -> list[list[Message]]:
        return [label[name] for name in ("chosen", "rejected", "reply") if name in label]

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        """Of each cluster, the rows about the same replies that do not agree."""
        found = []
        for cluster in clusters:
            about: dict[str, list[Draft]] = defaultdict(list)
            for draft in cluster:
                if draft.label is not None:
                    label = json.loads(draft.label)
                    about[canonical(sorted(map(canonical, self.replies(label))))].append(draft)
            found += [rows for rows in about.values() if len({draft.label for draft in rows}) > 1]
        return found

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        """Too few rows, pairs beside thumbs, thumbs for a reward, thumbs of one kind alone."""
        errors = too_few(drafts)
        thumbs = [json.loads(d.label)["good"] for d in drafts if d.label is not None and '"good":' in d.label[-13:]]
        if thumbs and len(thumbs) < len(drafts):
            found = f"{counted(len(thumbs), 'thumb')} and {counted(len(drafts) - len(thumbs), 'pair')}"
            errors.append(
                Problem(where="data", found=found, allowed="either pairs or thumbs", to_do="make two runs of them")
            )
        elif thumbs and self.task == "reward":
            errors.append(
                Problem(where="data", found="thumbs", allowed="pairs of a chosen and a rejected reply",
                        to_do="bring pairs, or set task: preference with a method that learns from thumbs, such as kto")
            )  # fmt: skip
        elif thumbs and len(set(thumbs)) == 1:
            errors.append(
                Problem(where="data", found=f"every reply is {'good' if thumbs[0] else 'bad'}",
                        allowed="both good and bad ones", to_do="check that this is the column with the thumbs")
            )  # fmt: skip
        return errors

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """Form, turns, system prompts, tools, and the lengths of prompts and replies; of thumbs how many are up."""
        records = [record for part in splits.values() for record in part]
        good = [json.loads(record.label or "{}").get("good") for record in records]
        thumbs = {"up": good.count(True), "down": good.count(False)}
        more = {"thumbs": thumbs} if any(thumbs.values()) else {}
        return {"task": self.task, "classes": [], **described(self.forms, records, self.replies), **more}


def _text(prompt: list[Message], given: Conversation) -> str:
    return text_of(Conversation(prompt, given.tools))


def _bare(message: Message) -> Message:
    content = message["content"]
    return {**message, "content": content.strip()} if content else message
