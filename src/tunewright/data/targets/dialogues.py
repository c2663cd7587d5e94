"""Conversations whose last reply is the answer: `chat`.

A record's text is what comes before the last reply, its label that reply. Several replies to one prompt are references,
not conflicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.core.errors import Problem
from tunewright.core.records import Record
from tunewright.data.conversations import chats, form_of
from tunewright.data.conversations.turns import Conversation, Message, canonical, checked
from tunewright.data.journal import Draft
from tunewright.data.rows import Reader, Taken, UnfitError
from tunewright.data.targets.prompts import Prompts, described, text_of
from tunewright.data.targets.protocol import most_frequent, too_few


@dataclass(frozen=True)
class Dialogues(Prompts):
    """A record's label is the last reply that is learnt; what follows it is left out and said."""

    task: str = "chat"
    conflict: str = "conflict"

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader:
        found = form_of(sample, chats(self.columns), self.conversation, self.columns, file)

        def take(row: Mapping[str, Any]) -> Taken:
            conversation = found.read(row)
            assert isinstance(conversation, Conversation)
            return self.taken(conversation)

        return Reader(take, found.form, f"read as {found.form} ({found.why})")

    def taken(self, conversation: Conversation) -> Taken:
        """A conversation as text and label.

        Raises:
            UnfitError: it has no reply that can be learnt, or is not one.
        """
        whole = self.prompted(conversation)
        messages = checked(whole.messages)
        if not any(message["role"] == "user" for message in messages):
            raise UnfitError("empty_message", "there is no message to reply to")
        replies = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
        learnt = [n for n in replies if "weight" not in messages[n]]
        if conversation.unanswered:
            return Taken(text_of(Conversation(messages, whole.tools)), None)
        if not replies:
            raise UnfitError("no_reply", "the assistant says nothing")
        if not learnt:
            raise UnfitError("nothing_learnt", "every reply weighs 0")
        last = learnt[-1]
        left = len(messages) - last - 1
        change = ("after_last_reply", f"the last {left} of {len(messages)} messages") if left else None
        return Taken(text_of(Conversation(messages[:last], whole.tools)), canonical(messages[last]), change=change)

    def replies(self, label: Any) -> list[list[Message]]:
        return [[label]]

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        return []

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        return too_few(drafts)

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """Form, turns, system prompts, tools, and the lengths of prompts and replies."""
        records = [record for part in splits.values() for record in part]
        return {"task": self.task, "classes": [], **described(self.forms, records, self.replies)}
