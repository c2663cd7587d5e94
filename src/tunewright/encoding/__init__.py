"""From records to examples to packed batches. Receives its tokenizer as an argument."""

from tunewright.encoding.examples import Example, Tokenize, encode
from tunewright.encoding.packing import collate, pack

__all__ = ["Example", "Tokenize", "collate", "encode", "pack"]
