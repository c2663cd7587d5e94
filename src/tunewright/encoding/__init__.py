"""From records to examples to packed batches. Receives its tokenizer as an argument."""

from tunewright.encoding.examples import Example, Target, Tokenize, encode, token_counts
from tunewright.encoding.packing import collate, pack

__all__ = ["Example", "Target", "Tokenize", "collate", "encode", "pack", "token_counts"]
