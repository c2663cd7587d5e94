"""A language model of an OpenAI-compatible server on this machine, for tests: it answers by rule, or as a script says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Answers each prompt by its last line in capitals; `script` holds statuses and bodies that come first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.running = self.most = 0
        self.slow = 0.0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self.lock:
            self.asked.append(body)
            self.heads.append(dict(handler.headers))
            self.running += 1
            self.most = max(self.most, self.running)
            status, told, heads = self.script.pop(0) if self.script else (200, None, {})
        if self.slow:
            threading.Event().wait(self.slow)
        if told is None:
            said = body["messages"][0]["content"].splitlines()[-1].upper()
            told = {"choices": [{"message": {"role": "assistant", "content": said}}]}
        raw = told if isinstance(told, bytes) else json.dumps(told).encode()
        with self.lock:
            self.running -= 1
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **heads}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(raw)
