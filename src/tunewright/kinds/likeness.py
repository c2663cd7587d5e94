"""Two models of one kind of task side by side: what each kind compares."""

from __future__ import annotations

from tunewright.core.seeds import key
from tunewright.kinds.choices import Choices, Rewards
from tunewright.kinds.documents import EVALUATED, Documents
from tunewright.kinds.entities import Entities, Placed
from tunewright.kinds.protocol import Encoded, Kind
from tunewright.kinds.replies import Replies
from tunewright.kinds.scores import Scores
from tunewright.models import likeness
from tunewright.models.likeness import Likeness, Side


def alike(kind: Kind, encoded: Encoded, first: Side, second: Side) -> Likeness:
    """What `second` says beside `first` of every encoded item.

    Classes: their probabilities and the likeliest. Label sets: each label's probability and the set. Numbers: the
    numbers. Entities: the tags of all tokens. Language models: the vocabulary at every token that is learnt in
    training: of a document, of a reply, of both replies of a preference; masked ones by the masks of evaluation.
    Reward models: the rewards and which reply is better.
    """
    examples = encoded.examples
    if isinstance(kind, Scores):
        if kind.task.fits == "numbers":
            return likeness.numbers(first, second, examples, kind.bound.spread)
        if kind.task.fits == "labels":
            return likeness.label_sets(first, second, examples, kind.bound.thresholds)
        return likeness.classes(first, second, examples)
    if isinstance(kind, Entities):
        assert isinstance(encoded, Placed)
        return likeness.tags(first, second, encoded.asked)
    if isinstance(kind, Rewards):
        return likeness.preferred(first, second, examples)
    if isinstance(kind, Documents) and kind.altered is not None:
        examples = [kind.altered(e, key(EVALUATED, e.id)) for e in examples]
    assert isinstance(kind, (Documents, Replies, Choices))
    return likeness.pieces(first, second, examples)
