"""A language model behind an address that speaks OpenAI's protocol: `POST {address}/chat/completions`, one prompt a call.

By Python's own library. Nothing is sent but to the address that was named: redirects are refused, as they would carry the
key elsewhere. Calls run at most `concurrent` at a time; an answer of 408, 409, 429 or 5xx, and a connection that breaks or
takes longer than `timeout`, is tried again after 0.5, 1, 2, ... seconds, or after what `Retry-After` says (at most 60).
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from tunewright.core.errors import ModelError, Problem
from tunewright.core.seeds import key

AGAIN = frozenset({408, 409, 425, 429})
_LARGEST = 2**23
_LONGEST_WAIT = 60.0
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


@dataclass(frozen=True)
class Address:
    """Where the model is, and how it is asked. `key` is sent as a bearer token where there is one, and shown nowhere."""

    address: str
    model: str
    key: str = field(default="", repr=False)
    temperature: float = 0.7
    max_tokens: int = 256
    timeout: float = 60.0
    retries: int = 4
    concurrent: int = 4

    def __call__(self, prompts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """(place, what is written) of each prompt, as they come.

        Raises:
            ModelError: the address cannot be reached, refuses, or answers something else; what came before is not lost.
        """
        with ThreadPoolExecutor(self.concurrent) as pool:
            asked = {pool.submit(self._answered, prompt): place for place, prompt in enumerate(prompts)}
            try:
                for done in as_completed(asked):
                    yield asked[done], done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @property
    def url(self) -> str:
        """Where prompts go."""
        base = self.address.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def _answered(self, prompt: str) -> str:
        wait, why = 0.5, ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            try:
                return self._read(self._send(prompt))
            except urllib.error.HTTPError as error:
                why = f"status {error.code}: {_said(error)}"
                if error.code not in AGAIN and error.code < 500:
                    raise self._problem(why, _advice(error.code)) from None
                wait = _asked_to_wait(error, wait)
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                why = str(getattr(error, "reason", None) or error or type(error).__name__)
        raise self._problem(
            f"{why} ({self.retries + 1} attempts)", "run the same command again: what was written is kept"
        )

    def _send(self, prompt: str) -> bytes:
        body = {
            "model": self.model, "messages": [{"role": "user", "content": prompt}], "temperature": self.temperature,
            "max_tokens": self.max_tokens, "seed": key("writer", prompt) % 2**31, "stream": False,
        }  # fmt: skip
        head = {"Content-Type": "application/json", "User-Agent": "tunewright"}
        if self.key:
            head["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), head, method="POST")
        with self._opener().open(request, timeout=self.timeout) as response:
            found: bytes = response.read(_LARGEST)
        return found

    def _opener(self) -> urllib.request.OpenerDirector:
        """Without a proxy for this machine itself."""
        local = urllib.parse.urlsplit(self.address).hostname in _LOCAL
        return urllib.request.build_opener(_NoRedirect, *([urllib.request.ProxyHandler({})] if local else []))

    def _read(self, raw: bytes) -> str:
        try:
            said = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise self._problem(
                f"an answer that is no chat completion: {raw[:120]!r}", "is it the address up to /v1?"
            ) from None
        return said if isinstance(said, str) else ""

    def _problem(self, found: str, to_do: str) -> ModelError:
        return ModelError(Problem(where=f"writer {self.url}", found=found, to_do=to_do))


def _said(error: urllib.error.HTTPError) -> str:
    """What a refusal says, in short."""
    try:
        raw = error.read(4096)
        told = json.loads(raw)
        inner = told.get("error", told) if isinstance(told, dict) else told
        return str(inner.get("message", inner) if isinstance(inner, dict) else inner)[:200]
    except (ValueError, OSError, HTTPException):
        return error.reason


def _advice(code: int) -> str:
    if code in (401, 403):
        return "name the environment variable with the key: key_env"
    if code == 404:
        return "check the address (up to /v1) and the model's name"
    return "no redirect is followed: name the place itself" if 300 <= code < 400 else "check the writer's options"


def _asked_to_wait(error: urllib.error.HTTPError, wait: float) -> float:
    try:
        return min(max(float(error.headers.get("Retry-After", "")), 0.0), _LONGEST_WAIT)
    except ValueError:
        return wait
