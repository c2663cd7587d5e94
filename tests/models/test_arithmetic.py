"""Sums of what was learnt, against whole matrices by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tunewright.models.arithmetic import METHODS, Product, Rule, averaged, joined, loras, plain, scaling

O, I = 12, 9  # noqa: E741


def product(seed: int, rank: int = 2, scaling: float = 1.5) -> Product:
    g = torch.Generator().manual_seed(seed)
    return Product(torch.randn(O, rank, generator=g), torch.randn(rank, I, generator=g), scaling)


def delta(p: Product) -> Tensor:
    return p.scaling * p.b.double() @ p.a.double()


def test_the_sum_of_products_is_exact_by_concatenation() -> None:
    parts, weights = [product(1), product(2, 3, 0.5), None], [0.7, -0.4, 2.0]
    found, kept = joined(parts, weights, Rule(), "m")
    assert found.a.shape == (5, I) and kept == 1.0 and found.scaling == 1.0
    wanted = 0.7 * delta(product(1)) - 0.4 * delta(product(2, 3, 0.5))
    assert torch.allclose(delta(found), wanted, atol=1e-6)


def test_a_rank_is_the_best_of_that_rank() -> None:
    parts, weights = [product(1), product(2)], [1.0, 1.0]
    whole = delta(parts[0]) + delta(parts[1])
    u, s, v = torch.linalg.svd(whole)
    found, kept = joined(parts, weights, Rule(rank=3), "m")
    assert found.a.shape == (3, I)
    assert torch.allclose(delta(found), u[:, :3] @ torch.diag(s[:3]) @ v[:3], atol=1e-5)
    assert kept == pytest.approx(float(s[:3].square().sum() / s.square().sum()), rel=1e-6)
    assert joined(parts, weights, Rule(rank=99), "m")[1] == 1.0


def test_more_ranks_than_the_matrix_has() -> None:
    parts = [product(i, 8) for i in range(3)]
    found, kept = joined(parts, [1.0] * 3, Rule(), "m")
    assert found.a.shape == (9, I) and kept == pytest.approx(1.0)
    assert torch.allclose(delta(found), sum(delta(p) for p in parts), atol=1e-5)


def test_ties_by_hand() -> None:
    """Three entries a model: the smallest of each is dropped; where signs disagree the smaller side is left out."""
    deltas = [torch.tensor([3.0, -1.0, 0.1]), torch.tensor([2.0, 4.0, 0.2]), torch.tensor([-1.0, 0.3, 0.5])]
    found = Rule("ties", 2 / 3).combine(deltas, [1.0, 1.0, 1.0], "m")
    assert torch.allclose(found, torch.tensor([2.5, 4.0, 0.5], dtype=torch.float64))
    half = Rule("ties", 2 / 3).combine(deltas, [0.5, 0.5, 0.5], "m")
    assert torch.allclose(half, found / 2)


def test_dare_keeps_the_mean_and_is_keyed() -> None:
    ones = [torch.ones(200, 200), torch.ones(200, 200)]
    rule = Rule("dare_linear", 0.25, seed=4)
    found = rule.combine(ones, [0.5, 0.5], "m")
    assert set(found.unique().tolist()) == {0.0, 2.0, 4.0} and float(found.mean()) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(found, rule.combine(ones, [0.5, 0.5], "m"))
    assert not torch.equal(found, rule.combine(ones, [0.5, 0.5], "n"))
    agreed = Rule("dare_ties", 0.25).combine(ones, [1.0, 1.0], "m")
    assert set(agreed.unique().tolist()) == {0.0, 4.0}


@pytest.mark.parametrize("method", METHODS)
def test_whole_density_and_one_model_change_nothing(method: Any) -> None:
    d = torch.randn(5, 7)
    assert torch.allclose(Rule(method, 1.0).combine([d], [1.0], "m"), d.double())


def test_whole_weights() -> None:
    g = torch.Generator().manual_seed(0)
    base = {"w": torch.randn(4, 4, generator=g), "n": torch.tensor([3])}
    models = [
        {"w": torch.randn(4, 4, generator=g), "head": torch.randn(2, 4, generator=g), "n": torch.tensor([3])}
        for _ in range(2)
    ]
    found = plain(models, [0.25, 0.5], Rule(), base)
    wanted = base["w"] + 0.25 * (models[0]["w"] - base["w"]) + 0.5 * (models[1]["w"] - base["w"])
    assert torch.allclose(found["w"], wanted, atol=1e-6) and found["w"].dtype == torch.float32
    assert torch.allclose(found["head"], (models[0]["head"] + 2 * models[1]["head"]) / 3, atol=1e-6)
    assert torch.equal(found["n"], base["n"])
    soup = plain(models, [0.5, 0.5], Rule(), None)
    assert torch.allclose(soup["w"], (models[0]["w"] + models[1]["w"]) / 2, atol=1e-6)
    assert torch.allclose(soup["head"], averaged([m["head"] for m in models], [1.0, 1.0]), atol=1e-6)


def test_scaling_is_pefts() -> None:
    config = {"r": 4, "lora_alpha": 8, "rank_pattern": {"query": 2}, "alpha_pattern": {r"layer\.1\.value": 3}}
    assert scaling(config, "layer.0.key") == 2.0 and scaling(config, "layer.0.query") == 4.0
    assert scaling(config, "layer.1.value") == 0.75 and scaling({**config, "use_rslora": True}, "key") == 4.0


def test_the_configuration_fits_the_tensors() -> None:
    def adapter(rank: int, *modules: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {}
        for module in modules:
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.ones(rank, I)
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.ones(O, rank)
        return tensors, {"r": rank, "lora_alpha": rank, "target_modules": sorted({m.rsplit(".")[-1] for m in modules})}

    both = [adapter(2, "a.q", "a.v"), adapter(3, "a.q", "a.k")]
    tensors, config, _ = loras(both, [1.0, 1.0], Rule())
    assert config["target_modules"] == ["a.k", "a.q", "a.v"]
    ranks = {m: tensors[f"base_model.model.{m}.lora_A.weight"].shape[0] for m in config["target_modules"]}
    assert ranks == {"a.k": 3, "a.q": 5, "a.v": 2}
    for module, rank in ranks.items():
        assert scaling(config, module) == 1.0
        pattern = {k.replace("\\", ""): v for k, v in config["rank_pattern"].items()}
        assert pattern.get(module, config["r"]) == rank
    same = loras([adapter(2, "a.q"), adapter(2, "a.q")], [1.0, 1.0], Rule())[1]
    assert same["target_modules"] == ["q"] and same["rank_pattern"] == {} and same["r"] == 4
