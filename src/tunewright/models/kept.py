"""Rows of numbers kept by key: in memory, or in files that are mapped into it.

A file is whole or absent, and says whose rows it holds. Every entry has a SHA-256 of its rows, which is looked at when the
entry is first asked for: a file that was damaged is removed and its rows are made again, one of another owner is left
alone. Several processes may read and write one folder. Files of owners that were not used for longest go first when the
folder is full.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tunewright.core.files import available, beside

SHARD = 256 << 20
"""Bytes of rows that are written as one file, at least, while there is more to come."""
_ENTRY, _HEADER = 56, 1024  # bytes that an entry and a file take beside their rows


@dataclass(frozen=True)
class Keeping:
    """How much may be kept, in bytes; and the folder, for keeping on disk."""

    limit: int
    folder: Path | None = None

    def opened(self, owner: str) -> Kept:
        """What is kept for `owner`, who is known by everything that the rows depend on beside their keys."""
        if self.folder is None:
            return Kept(min(self.limit, available() // 2))
        return KeptOnDisk(self.limit, self.folder, owner)


def default_folder() -> Path:
    """Where what is kept on disk goes by itself: the user's own cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunewright" / "trunks"


class Kept:
    """Rows (n, D) by key, in memory: at most `limit` bytes; what comes later is not kept."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.full = limit, 0, False
        self.damaged = 0
        """How many files were found damaged and removed."""
        self._rows: dict[bytes, Tensor] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> Tensor | None:
        """(n, D), or None where nothing is kept under this key."""
        return self._rows.get(key)

    def put(self, keys: Sequence[bytes], rows: Tensor, counts: Sequence[int]) -> None:
        """Keeps `rows` (sum of counts, D), the first counts[0] of which belong to keys[0], and so on."""
        rows = rows.to("cpu")
        size = rows.nbytes
        parts = torch.split(rows, list(counts))
        if self.used + size > self.limit:
            self.full = True
            room = list(itertools.takewhile(lambda end: end <= self.limit - self.used, itertools.accumulate(
                part.nbytes for part in parts)))  # fmt: skip
            parts = tuple(part.clone() for part in parts[: len(room)])  # not views, which would hold the rest
            size = room[-1] if room else 0
        self.used += size
        self._rows.update(zip(keys, parts, strict=False))

    def flush(self) -> None:
        """Sees that what was put is where others find it."""


class KeptOnDisk(Kept):
    """As Kept, in files of `folder`/`owner`: `limit` bounds all files of the folder, of all owners.

    What was put waits in memory until it fills a file, or until it is flushed.
    """

    def __init__(self, limit: int, folder: Path, owner: str) -> None:
        super().__init__(limit)
        self.folder, self.owner, self.place = folder, owner, folder / owner
        self._files: dict[bytes, tuple[Path, Tensor, bytes]] = {}
        self._homes: dict[bytes, Path] = {}
        self._waiting: dict[bytes, Tensor] = {}
        for path in sorted(self.place.glob("rows-*.safetensors")):
            self._open(path)

    def __len__(self) -> int:
        return len(self._rows) + len(self._files) + len(self._waiting)

    def get(self, key: bytes) -> Tensor | None:
        found = self._rows.get(key)
        if found is None:
            found = self._waiting.get(key)
        if found is None and key in self._files:
            path, rows, wanted = self._files.pop(key)
            if _sum(rows) != wanted:
                self._forget(path)
                return None
            found = self._rows[key] = rows
            self._homes[key] = path
        return found

    def put(self, keys: Sequence[bytes], rows: Tensor, counts: Sequence[int]) -> None:
        if self.full:
            return
        self._waiting.update(zip(keys, torch.split(rows.to("cpu"), list(counts)), strict=True))
        self.used += rows.nbytes
        if self.used >= SHARD:
            self.flush()

    def flush(self) -> None:
        waiting, self._waiting, self.used = self._waiting, {}, 0
        if not waiting:
            return
        if not self._room(sum(part.nbytes + _ENTRY for part in waiting.values()) + _HEADER):
            self.full = True
            return
        path = self.place / f"rows-{secrets.token_hex(8)}.safetensors"
        _write(path, self.owner, waiting)
        self._open(path)

    def _open(self, path: Path) -> None:
        """Takes a file's entries up, mapped into memory; none of one that is not whole or not the owner's."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("owner") != self.owner:
                    return
                keys, sums, counts = (file.get_tensor(name) for name in ("keys", "sums", "counts"))
                rows = file.get_tensor("rows")
            os.utime(path)
        except (SafetensorError, OSError, ValueError, RuntimeError):
            self.damaged += 1
            path.unlink(missing_ok=True)
            return
        parts = torch.split(rows, counts.tolist())
        for key, wanted, part in zip(keys.numpy(), sums.numpy(), parts, strict=True):
            self._files[key.tobytes()] = (path, part, wanted.tobytes())

    def _forget(self, path: Path) -> None:
        """Removes a damaged file with every entry that it holds, so that all of them are written anew."""
        self._files = {key: entry for key, entry in self._files.items() if entry[0] != path}
        for key in [key for key, home in self._homes.items() if home == path]:
            del self._rows[key], self._homes[key]
        self.damaged += 1
        path.unlink(missing_ok=True)

    def _room(self, size: int) -> bool:
        """Whether so many bytes may be written: files of other owners give way, the longest unused first."""
        files = []
        for path in self.folder.glob("*/rows-*.safetensors"):
            try:
                stat = path.stat()
            except OSError:  # another process has removed it
                continue
            files.append((stat.st_mtime, stat.st_size, path))
        held = sum(n for _, n, _ in files)
        others = sorted(file for file in files if file[2].parent != self.place)
        own = held - sum(n for _, n, _ in others)
        if own + size > self.limit:
            return False
        for _, n, path in others:
            if held + size <= self.limit:
                break
            path.unlink(missing_ok=True)
            held -= n
        return True


def _sum(rows: Tensor) -> bytes:
    return hashlib.sha256(rows.contiguous().view(torch.uint8).numpy().data).digest()


def _write(path: Path, owner: str, parts: dict[bytes, Tensor]) -> None:
    """A file of rows, whole or not at all."""
    from safetensors.torch import save_file

    def bytes_of(values: Sequence[bytes]) -> Tensor:
        return torch.frombuffer(bytearray(b"".join(values)), dtype=torch.uint8).view(len(values), -1)

    tensors = {
        "rows": torch.cat(list(parts.values())),
        "keys": bytes_of(list(parts)),
        "sums": bytes_of([_sum(part) for part in parts.values()]),
        "counts": torch.tensor([len(part) for part in parts.values()]),
    }
    with beside(path) as temporary:
        save_file(tensors, temporary, metadata={"owner": owner})
