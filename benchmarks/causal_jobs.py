"""What a fresh process does for the benchmark of causal language models: the models, the reference, one contender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causal_rows import SPECIAL, TEMPLATE, Chat, draw, from_json, in_order, joined, masked, sources, to_json
from contract import CausalSettings, Outcome, tokens_digest

PROBE_ROWS = 8
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
             "vocab_size": 2000},
    "25m": {"hidden_size": 384, "num_hidden_layers": 8, "num_attention_heads": 6, "intermediate_size": 1024,
            "vocab_size": 32000},
    "0.5b": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4864,
             "vocab_size": 32000},
    "1b": {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
           "intermediate_size": 8192, "vocab_size": 32000},
}  # fmt: skip


def device(request: dict[str, Any]) -> dict[str, Any]:
    """Whether PyTorch has the device, and its name."""
    import torch

    if request["device"] == "cpu":
        return {"there": True, "name": "cpu"}
    there = torch.cuda.is_available()
    return {"there": there, "name": torch.cuda.get_device_name() if there else ""}


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Write tokenizer and rows once, and for each seed the initial model, the initial adapter and its reference.

    The tokenizer is learnt from the texts; what it lacks of the vocabulary are rows that no text uses. The reference
    is the loss and the gradient of plain transformers code in float32 on the first rows.
    """
    import torch

    folder, shape = Path(request["folder"]), SHAPES[request["shape"]]
    named = sources(*(Path(p) if p else None for p in (request["alpaca"], request["gsm8k"])), request["pretend"])
    tokenizer = make_tokenizer([row.text() for _, rows in named for row in rows], shape["vocab_size"])
    limit, counts = request["max_length"], (request["train_rows"], request["valid_rows"])
    train, valid = _rows(named, counts, request["data_seed"], limit, request["joined"], tokenizer)
    (folder / "rows.json").write_text(to_json(train, valid), encoding="utf-8")
    few = in_order(train, request["data_seed"])[: request["screen_rows"]]
    (folder / "screen.json").write_text(to_json(few, valid[:4]), encoding="utf-8")
    ids = [encoded(tokenizer, row) for row in train]
    found: dict[str, Any] = {
        "digest": digest(ids),
        "screen_digest": digest([encoded(tokenizer, row) for row in few]),
        "pieces": len(tokenizer),
        "rows": {name: len(rows) for name, rows in named},
        "tokens": sum(len(row) for row, _ in ids),
        "supervised": sum(sum(y != -100 for y in labels) for _, labels in ids),
        "longest": max(len(row) for row, _ in ids),
        "threads": torch.get_num_threads(),
        "references": {},
    }
    for seed in request["seeds"]:
        path = folder / f"model-{seed}"
        model = make_model(shape, tokenizer, limit, seed)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        first = [encoded(tokenizer, row) for row in in_order(train, seed)[:PROBE_ROWS]]
        found |= _sizes(model)
        found["references"][seed] = references(model, path, first, seed, request)
    return found


def _rows(
    named: Sequence[tuple[str, list[Chat]]],
    counts: tuple[int, int],
    seed: int,
    limit: int,
    join: bool,
    tokenizer: Any,
) -> tuple[list[Chat], list[Chat]]:
    """As many rows of each set, all within the limit."""

    def length(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    sets = [rows for _, rows in named]
    if join:
        short = [row for rows in sets for row in rows if length(row.text()) < limit // 2]
        sets = [joined(in_order(short, seed), limit, length)]
    train, valid = list[Chat](), list[Chat]()
    for i, rows in enumerate(sets):
        part = [count * (i + 1) // len(sets) - count * i // len(sets) for count in counts]
        try:
            some, others = draw(rows, part[0], part[1], seed, lambda row: length(row.text()) <= limit)
        except ValueError as error:
            raise SystemExit(str(error)) from error
        train, valid = train + some, valid + others
    return train, valid


def make_tokenizer(texts: Sequence[str], pieces: int) -> Any:
    """A byte-level BPE of at most `pieces` pieces, with the template; the same texts make the same tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, min_frequency=1, show_progress=False, special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=SPECIAL[0], eos_token=SPECIAL[1], chat_template=TEMPLATE,
        additional_special_tokens=list(SPECIAL[2:]), clean_up_tokenization_spaces=False,
    )  # fmt: skip


def make_model(shape: dict[str, int], tokenizer: Any, limit: int, seed: int) -> Any:
    """A Llama with random weights, embeddings and head tied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        **shape, max_position_embeddings=max(limit, 2048), tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config).float()


def encoded(tokenizer: Any, row: Chat) -> tuple[list[int], list[int]]:
    """Token ids and labels, from the text that the template must give."""
    ids = tokenizer(row.text())["input_ids"]
    return ids, masked(ids, tokenizer.convert_tokens_to_ids("<|assistant|>"))


def digest(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> str:
    """A hash of ids and labels, whatever the order of the rows."""
    return tokens_digest(sorted([*ids, *labels] for ids, labels in rows))


def _sizes(model: Any) -> dict[str, int]:
    import torch

    inner = model.model
    body = sum(m.weight.numel() for m in inner.modules() if isinstance(m, torch.nn.Linear))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "body": body,
        "head": model.lm_head.weight.numel(),
        "layers": model.config.num_hidden_layers,
        "width": model.config.hidden_size,
    }


def references(
    model: Any, path: Path, rows: Sequence[tuple[list[int], list[int]]], seed: int, request: dict[str, Any]
) -> dict[str, Any]:
    """Loss and gradient norm of both ways to adapt, from plain code; writes the adapter that all begin with.

    The adapter is the one that Tunewright draws for this seed, so that ours needs no seam for it.
    """
    import torch

    from tunewright.core import registry
    from tunewright.core.seeds import key
    from tunewright.recipe import families

    families()
    found = {}
    for adaptation in request["adaptations"]:
        learns = model
        if adaptation == "lora":
            spec = {"lora": {"rank": request["rank"], "alpha": request["alpha"]}}
            learns = registry.build("adaptation", spec).attach(model, key(seed, "adaptation"))
            learns.save_pretrained(path / "adapter")
        learns.to(request["device"]).train()
        learns.zero_grad()
        count, nats = sum(y != -100 for _, labels in rows for y in labels), 0.0
        for row in rows:
            cost = costs_of(learns, [row])[0]
            (cost / count).backward()
            nats += cost.item()
        gradients = [p.grad for p in learns.parameters() if p.requires_grad and p.grad is not None]
        found[adaptation] = {"loss": nats / count,
                             "gradient_norm": float(torch.nn.utils.get_total_norm(gradients)),
                             "learns": sum(p.numel() for p in learns.parameters() if p.requires_grad)}  # fmt: skip
    return found


def costs_of(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[Any]:
    """Each row's nats in float32, one row at a time, nothing clever."""
    import torch
    from torch.nn.functional import cross_entropy

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    place, costs = next(inner.parameters()).device, []
    for ids, labels in rows:
        hidden = inner.model(input_ids=torch.tensor([ids], device=place), use_cache=False).last_hidden_state[0]
        wanted = torch.tensor(labels[1:], device=place)
        chosen = wanted != -100
        scores = inner.lm_head(hidden[:-1][chosen]).float()
        costs.append(cross_entropy(scores, wanted[chosen], reduction="sum"))
    return costs


def held_out(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, int]]:
    """Nats and supervised tokens of every row, by the same plain float32 code for every contender's model."""
    import torch

    model = model.float().eval()
    with torch.no_grad():
        costs = costs_of(model, rows)
    return [(c.item(), sum(y != -100 for y in labels)) for c, (_, labels) in zip(costs, rows, strict=True)]


def contend(request: dict[str, Any]) -> dict[str, Any]:
    """Run the contender `ADAPTATION/NAME`; time to result counts from the parent's `started`."""
    adaptation, name = request["contender"].split("/", 1)
    values = request["settings"]
    settings = CausalSettings.from_json(
        {
            **values,
            "adaptation": adaptation,
            "adapter": str(Path(values["model"]) / "adapter"),
            "rate": values["lora_rate"] if adaptation == "lora" else values["rate"],
        }
    )
    train, valid = from_json(Path(request["rows"]))
    outcome: Outcome
    if name.startswith("ours"):
        from causal_ours import ours

        outcome = ours(in_order(train, settings.seed), valid, settings, name[5:])
    else:
        from causal_peers import PEERS, peer

        outcome = peer(PEERS[name], in_order(train, settings.seed), valid, settings)
    return {**outcome.as_json(), "time_to_result": outcome.finish.at - request["started"]}
