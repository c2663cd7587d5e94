"""Physical lines of a stream of bytes: split at the newline byte alone, never at U+2028 and its like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Line = tuple[int, int, int, bytes | None]
"""Line number from 1, byte offset, byte length with its newline, and the bytes without it (None: over the cap)."""


def lines(chunks: Iterable[bytes], start: int, cap: int) -> Iterator[Line]:
    """Every line of the chunks.

    Args:
        chunks: consecutive pieces of the file.
        start: byte offset of the first piece.
        cap: a longer line (in bytes) is skipped and never held whole.
    """
    number, offset, carry, skipped = 1, start, b"", 0
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        last = pieces.pop()
        if not pieces:
            carry += last
        else:
            pieces[0] = carry + pieces[0]
            carry = last
            for piece in pieces:
                length = skipped + len(piece) + 1
                yield number, offset, length, None if skipped or len(piece) > cap else piece
                number, offset, skipped = number + 1, offset + length, 0
        if len(carry) > cap:
            skipped, carry = skipped + len(carry), b""
    if carry or skipped:
        yield number, offset, skipped + len(carry), None if skipped else carry
