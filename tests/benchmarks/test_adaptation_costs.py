"""The table of costs: every shipped adaptation is in it, a stopped run goes on, and the pages keep what stands around it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import adaptation_costs
from adaptation_cost_jobs import recipe_of
from adaptation_costs import BEGINS, ENDS, main, put, recipes, section
from encoder_figures import wilson
from tunewright.recipe import families, parse

PAGES = {language: adaptation_costs.ROOT / "docs" / name
         for language, name in (("en", "adaptations.md"), ("zh", "adaptations.zh-CN.md"))}  # fmt: skip
ANSWER: dict[str, Any] = {
    "adaptation": "lora", "rate": 5e-4, "precision": "bfloat16", "learns": 250, "parameters": 10_000, "steps": 126,
    "step_seconds": 0.0815, "train_seconds": 10.5, "before_mib": 500.0, "peak_mib": 812.4, "stored": 2_720_000, "right": 75,
    "items": 100, "threads": 2,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recipes that were measured: by a worker that answers at once."""
    names: list[str] = []

    def answer(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
        names.append(Path(request["recipe"]).stem)
        return {**ANSWER, "seed": request["seed"]}

    monkeypatch.setattr(adaptation_costs, "ask", answer)
    return names


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_one_with_other_rows(name: str) -> None:
    families()
    own = recipe_of(str(recipes()[name]), 2, 1)
    recipe = parse(own)
    assert recipe.training.epochs == 2 and recipe.seed == 1 and recipe.model.name == "minilm"
    plain = parse({**own, "training": {}})
    assert (recipe.training.update, recipe.training.rate) != (plain.training.update, plain.training.rate) or (
        recipe.training.rate == "auto"
    )


def test_a_run_that_was_stopped_goes_on(asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "costs.json"
    words = ["--quick", "--out", str(out), "--recipes"]
    assert main([*words, "full", "lora"]) == 0 and asked == ["full", "lora"]
    assert main([*words, "full", "lora", "ia3"]) == 0 and asked[2:] == ["ia3"]
    assert main([*words, "full", "--seed", "3"]) == 0 and asked[3:] == ["full"], "another seed's rows are others"
    assert list(json.loads(out.read_text(encoding="utf-8"))["rows"]) == ["full"]


def test_a_recipe_that_was_changed_is_measured_again(asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "costs.json"
    words = ["--quick", "--out", str(out), "--recipes", "full", "lora"]
    main(words)
    document = json.loads(out.read_text(encoding="utf-8"))
    document["rows"]["lora"]["recipe"] = "of yesterday"
    out.write_text(json.dumps(document), encoding="utf-8")
    main(words)
    assert asked == ["full", "lora", "lora"]


def test_the_figures_of_a_row() -> None:
    lines = adaptation_costs.table({"rows": {"lora": ANSWER}}, "en")
    low, high = wilson(75, 100)
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[2:] == [
        "250",
        "2.50%",
        "82",
        "10.5",
        "812",
        "312",
        "2.72",
        f"75.0% ({100 * low:.1f} - {100 * high:.1f})",
    ]
    assert [len(line.split("|")) for line in lines] == [12, 12, 12]


@pytest.mark.parametrize("language", PAGES)
def test_a_page_keeps_what_stands_around_the_table(language: str) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    document = {"date": "2026-01-01", "machine": {"cpu": "x", "cores": 2, "platform": "y"}, "versions": {"python": "3"},
                "settings": {"train_rows": 2000, "valid_rows": 2000, "epochs": 2, "seed": 0}, "rows": {"lora": ANSWER}}  # fmt: skip
    once = put(page, section(document, language))
    assert once == put(once, section(document, language)) and once.count(BEGINS) == once.count(ENDS) == 1
    outside = page.partition(BEGINS)[0], page.partition(ENDS if ENDS in page else BEGINS)[2]
    assert once.startswith(outside[0]) and once.endswith(outside[1]) and "2,000" in once


@pytest.mark.parametrize("language", PAGES)
def test_a_table_that_is_there_has_every_shipped_adaptation(language: str) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    if ENDS not in page:
        pytest.skip("not measured yet")
    found = page.partition(BEGINS)[2].partition(ENDS)[0]
    assert {name for name in recipes() if f"| `{name}.yaml` |" in found} == set(recipes())


def test_figures_without_meaning_stay_out_of_the_pages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--quick", "--docs"])
    assert "without meaning" in capsys.readouterr().err
