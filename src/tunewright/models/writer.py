"""Who writes new texts: a language model in a folder, or behind an OpenAI-compatible address, as one plain callable.

    write = writer({"address": "http://localhost:8000/v1", "model": "qwen", "key_env": "MY_KEY"})
    write(["Say it in other words: ..."])           # one text a prompt

What was written is kept on disk by the hash of the prompt, one JSON line a text as it comes, so that a run that was killed goes
on where it was and a second run asks nothing twice. Nothing is ever asked of an address that was not named.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Gt, Le

from tunewright.core.errors import ModelError, Problem, RecipeError, closest, listed
from tunewright.core.files import storing
from tunewright.core.registry import checked
from tunewright.models.address import Address

Speak = Callable[[Sequence[str]], Iterator[tuple[int, str]]]
"""Prompts to (place, text), as they get finished."""
CACHE = ".tunewright/written"


@dataclass(frozen=True)
class Spec:
    """What a recipe says of its writer: `folder`, or `address` and `model`, and how it is asked.

    key_env: the environment variable with the key. concurrent, timeout, retries: of an address. cache: the folder in which
    what was written is kept, relative to the recipe; empty for none.
    """

    folder: str | None = None
    address: str | None = None
    model: str | None = None
    key_env: str | None = None
    temperature: Annotated[float, Ge(0)] = 0.7
    max_tokens: Annotated[int, Ge(1)] = 256
    timeout: Annotated[float, Gt(0)] = 60.0
    retries: Annotated[int, Ge(0), Le(20)] = 4
    concurrent: Annotated[int, Ge(1), Le(256)] = 4
    cache: str = CACHE


def spec_of(given: Any, where: str = "data.models.writer") -> Spec:
    """The writer that a recipe names: a folder's path, or a mapping of the options.

    Raises:
        RecipeError: all that is wrong with it, at once.
    """
    if isinstance(given, str):
        given = {"address" if re.match(r"https?://", given) else "folder": given}
    if not isinstance(given, Mapping):
        raise RecipeError(
            Problem(where=where, found=repr(given), allowed="a folder, or a mapping with an address and a model")
        )
    names, hints = [f.name for f in fields(Spec)], get_type_hints(Spec, include_extras=True)
    problems = [
        Problem(where=f"{where}.{name}", found="an unknown option", allowed=listed(names), to_do=closest(str(name), names))
        for name in given if name not in names
    ]  # fmt: skip
    values = {n: checked(hints[n], v, f"{where}.{n}", problems) for n, v in given.items() if n in names}
    if bool(values.get("folder")) == bool(values.get("address")) and not problems:
        found = "both" if values.get("folder") else "neither"
        problems.append(Problem(where=where, found=f"{found} a folder and an address", allowed="one of the two"))
    address = values.get("address")
    if address and not re.match(r"https?://[^/\s]", address):
        problems.append(
            Problem(where=f"{where}.address", found=repr(address), allowed="http:// or https:// and what follows")
        )
    if address and not values.get("model"):
        problems.append(Problem(where=f"{where}.model", found="nothing", allowed="the model's name at this address"))
    variable = values.get("key_env")
    if variable and not os.environ.get(variable):
        problems.append(
            Problem(
                where=f"{where}.key_env", found=f"the environment has no {variable}", to_do=f"export {variable}=..."
            )
        )
    if problems:
        raise RecipeError(*problems)
    return Spec(**values)


def writer(given: Any, base: Path = Path(), where: str = "data.models.writer") -> Callable[[Sequence[str]], list[str]]:
    """A function from prompts to texts.

    Args:
        given: what a recipe says, as `spec_of` reads it.
        base: what a folder's path and the cache's are relative to.

    Raises:
        RecipeError: it is wrong. ModelError: there is no such folder, or what is in it cannot write.
    """
    spec = spec_of(given, where)
    if spec.address is not None:
        speak: Speak = Address(
            spec.address, spec.model or "", os.environ.get(spec.key_env or "", ""), spec.temperature, spec.max_tokens,
            spec.timeout, spec.retries, spec.concurrent,
        )  # fmt: skip
        known = f"{spec.address} {spec.model}"
    else:
        folder = (base / Path(spec.folder or "").expanduser()).resolve()
        speak, known = _late(folder, spec), f"{folder} {_stamp(folder)}"
    if not spec.cache:
        return lambda prompts: [text for _, text in sorted(speak(prompts))]
    digest = hashlib.sha256(f"{known} {spec.temperature} {spec.max_tokens}".encode()).hexdigest()[:16]
    return Kept(speak, base / Path(spec.cache).expanduser() / f"{digest}.jsonl")


@dataclass(frozen=True)
class Kept:
    """A writer whose texts are kept in a file: a prompt is asked once, ever."""

    speak: Speak
    path: Path

    def __call__(self, prompts: Sequence[str]) -> list[str]:
        known = self._read()
        hashes = {prompt: hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest() for prompt in prompts}
        fresh = [prompt for prompt in hashes if hashes[prompt] not in known]
        if fresh:
            with storing(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8", newline="\n") as file:
                    for place, text in self.speak(fresh):
                        known[hashes[fresh[place]]] = text
                        file.write(
                            json.dumps({"prompt": hashes[fresh[place]], "text": text}, ensure_ascii=False) + "\n"
                        )
                        file.flush()
        return [known[hashes[prompt]] for prompt in prompts]

    def _read(self) -> dict[str, str]:
        """What was written before; a line that a killed run left half is cut off."""
        if not self.path.exists():
            return {}
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with storing(self.path), self.path.open("r+b") as file:
                file.truncate(len(whole))
        rows = [json.loads(line) for line in whole.split(b"\n") if line]
        return {row["prompt"]: row["text"] for row in rows}


def _stamp(folder: Path) -> str:
    """What changes where the model in a folder does: names, sizes and times of its files."""
    if not folder.is_dir():
        raise ModelError(
            Problem(where=str(folder), found="there is no such folder", allowed="a folder with a language model",
                    to_do="check the writer's path, or name an address: https://...")
        )  # fmt: skip
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return " ".join(f"{path.name}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in files)


def _late(folder: Path, spec: Spec) -> Speak:
    """The model in a folder, opened when first asked."""
    opened: list[Speak] = []

    def late(prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        if not opened:
            opened.append(_local(folder, spec))
        return opened[0](prompts)

    return late


def _local(folder: Path, spec: Spec) -> Speak:
    """A decoder reads the prompt as a user's turn of its chat template; an encoder-decoder reads it as its source."""
    from tunewright.models.codecs import tokens_of
    from tunewright.models.generation import Generation, Prompt, generating
    from tunewright.models.loading import find, language_problem, load
    from tunewright.models.templates import template_of

    found = find(str(folder))
    loaded = load(found, (), 0, language_problem(found, masked=False))
    model: Any = loaded.model
    tokenizer = loaded.tokenizer
    both = bool(model.config.is_encoder_decoder)
    template = None if both else template_of(tokenizer)
    ends = (tokenizer.eos_token_id,) if template is None else template.ends
    method: Any = "sampling" if spec.temperature > 0 else "greedy"
    options = Generation(max_new_tokens=spec.max_tokens, method=method, temperature=spec.temperature or 1.0)
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 2**30) - 1

    def tokens(prompt: str) -> Any:
        import numpy as np

        if template is None:
            ids = tokens_of(tokenizer, [prompt])[0] + [tokenizer.eos_token_id]
        else:
            ids = template.ids([{"role": "user", "content": prompt}], generation_prompt=True)
        return np.array(ids, np.int64)

    def speak(prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        made = [tokens(prompt) for prompt in prompts]
        fit = [i for i, ids in enumerate(made) if 0 < len(ids) < limit]
        yield from ((i, "") for i in range(len(prompts)) if i not in set(fit))  # no room for an answer
        asked = [Prompt(hashlib.sha256(prompts[i].encode("utf-8", "surrogatepass")).hexdigest(), made[i]) for i in fit]
        for place, text in generating(model, asked, options, seed=0, tokenizer=tokenizer, end=ends):
            yield fit[place], text.text

    return speak
