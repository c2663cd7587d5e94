"""Trainer, and Trainer with peft, with frozen layers or a LoRA: as quick starts have them, and as an expert sets them."""

from __future__ import annotations

from dataclasses import replace

import encoder_peers
from encoder_peers import ONCE, Peer

AS_IT_COMES = "default"
STILL = "_still"

_TUNED = replace(encoder_peers.TUNED, title="float32, grouped by length", predictions=ONCE)
_TUNED_16 = replace(encoder_peers.TUNED_16, title="bfloat16, grouped by length", predictions=ONCE)
_CAST = replace(_TUNED_16, title=f"{_TUNED_16.title}, frozen weights in bfloat16", cast=True)

PEERS: dict[str, Peer] = {
    AS_IT_COMES: replace(encoder_peers.PEERS["default"], title="as it comes: float32, dynamic padding"),
    "tuned_float32": _TUNED,
    "tuned_bfloat16": _TUNED_16,
    "tuned_bfloat16_eager": replace(_TUNED_16, title=f"{_TUNED_16.title}, eager attention", attention="eager"),
    "cast_bfloat16": _CAST,
    "cast_bfloat16_eager": replace(_CAST, title=f"{_CAST.title}, eager attention", attention="eager"),
}
PEERS |= {
    f"{name}{STILL}": replace(peer, title=f"{peer.title}, frozen layers without dropout", still=True)
    for name, peer in PEERS.items()
}


def plays(name: str, way: str) -> bool:
    """Whether a peer makes sense for a way of adapting: nothing is cast or still where nothing of the model is frozen."""
    peer = PEERS[name]
    return not (peer.still and way in ("full", "lora")) and not (peer.cast and way == "full")
