"""From records to examples to packed batches. Receives its tokenizer as an argument."""

from tunewright.encoding.examples import Example, Target, Tokenize, encode
from tunewright.encoding.packing import collate, pack
from tunewright.encoding.spans import Aligned, Encoded, decode_spans, encode_spans

__all__ = [
    "Aligned",
    "Encoded",
    "Example",
    "Target",
    "Tokenize",
    "collate",
    "decode_spans",
    "encode",
    "encode_spans",
    "pack",
]
