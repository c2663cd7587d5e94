"""From records to examples to packed batches. Receives its tokenizer as an argument."""

from tunewright.encoding.chat import conversations, prompts
from tunewright.encoding.codec import Refused
from tunewright.encoding.documents import Masking, pieces, windows
from tunewright.encoding.examples import Example, Target, Tokenize, encode, record_of, token_counts, weighted
from tunewright.encoding.packing import collate, pack
from tunewright.encoding.preferences import preferences
from tunewright.encoding.sequences import Layout, aligned_sequences, causal_sequences
from tunewright.encoding.showing import injected, learnt_of, masked
from tunewright.encoding.spans import Aligned, decode_spans, encode_spans

__all__ = [
    "Aligned",
    "Example",
    "Layout",
    "Masking",
    "Refused",
    "Target",
    "Tokenize",
    "aligned_sequences",
    "causal_sequences",
    "collate",
    "conversations",
    "decode_spans",
    "encode",
    "encode_spans",
    "injected",
    "learnt_of",
    "masked",
    "pack",
    "pieces",
    "preferences",
    "prompts",
    "record_of",
    "token_counts",
    "weighted",
    "windows",
]
