"""The report in a real browser: accessibility, width, what paper shows. Needs Chromium; skipped where it is absent."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

from entity_runs import write_entities  # noqa: E402
from other_tasks import multilabel, regression, write_other  # noqa: E402
from text_tasks import MAKE, write_texts  # noqa: E402

from tunewright.reporting import render  # noqa: E402

pytestmark = pytest.mark.browser

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (360, "dark")], ids=str)
def test_axe_finds_nothing_and_nothing_sticks_out(
    chromium: Any, fake_run: Callable[..., Path], width: int, scheme: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text))
    path = render(fake_run())
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert not faults
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")], ids=str)
@pytest.mark.parametrize("task", ["multilabel", "regression", "several"])
def test_other_tasks_are_accessible_and_nothing_sticks_out(
    chromium: Any, tmp_path: Path, task: str, width: int, scheme: str
) -> None:
    several = ("quality", "price", "days until the delivery arrives at last")
    scale = 12_000.0 if task == "several" else 1.0
    found = {"multilabel": multilabel, "regression": regression}.get(task, lambda: regression(several, scale))()
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    path = render(write_other(tmp_path / task, found, scale))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    result = axe.Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
@pytest.mark.parametrize("task", [name for name in MAKE if name != "reward"])
def test_tasks_of_texts_are_accessible_and_nothing_sticks_out(
    chromium: Any, tmp_path: Path, task: str, width: int, scheme: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    path = render(write_texts(tmp_path / task, MAKE[task]()))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    for unfold in (False, True):
        if unfold:
            page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = axe.Axe().run(page)
    assert result.violations_count == 0, result.generate_report()
    page.close()


@pytest.mark.parametrize("task", ["chat", "multitask"])
def test_tasks_of_texts_fit_on_paper(chromium: Any, tmp_path: Path, task: str) -> None:
    page = chromium.new_page(viewport={"width": 680, "height": 960})
    page.goto(render(write_texts(tmp_path / task, MAKE[task]())).as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator("details .answers").first.bounding_box()["height"] > 20
    page.close()


@pytest.mark.parametrize("task", ["multilabel", "several"])
def test_other_tasks_fit_on_paper(chromium: Any, tmp_path: Path, task: str) -> None:
    found = multilabel() if task == "multilabel" else regression(("quality", "price", "days"), 12_000.0)
    page = chromium.new_page(viewport={"width": 680, "height": 960})
    page.goto(render(write_other(tmp_path / task, found, 12_000.0)).as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    page.close()


@pytest.mark.parametrize("name", ["run.json", "data/test.jsonl"])
def test_a_report_with_gaps_is_accessible_too(chromium: Any, fake_run: Callable[..., Path], name: str) -> None:
    folder = fake_run()
    (folder / name).unlink()
    page = chromium.new_page(viewport={"width": 800, "height": 800})
    page.goto(render(folder).as_uri())
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_hostile_texts_run_nothing(chromium: Any, fake_run: Callable[..., Path]) -> None:
    page = chromium.new_page()
    opened: list[str] = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    page.goto(render(fake_run(texts=["<script>alert(1)</script><img src=x onerror=alert(2)>"])).as_uri())
    assert "<script>alert(1)</script>" in page.inner_text("#mistakes")
    assert not opened
    page.close()


def test_paper_shows_what_the_screen_folds(chromium: Any, fake_run: Callable[..., Path]) -> None:
    page = chromium.new_page(viewport={"width": 680, "height": 960})
    page.goto(render(fake_run()).as_uri())
    page.emulate_media(media="print")
    folded = page.locator("#mistakes details.text p").first
    assert folded.bounding_box()["height"] > 50
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator("nav.contents").is_hidden()
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=str)
def test_marked_spans_are_accessible_and_nothing_sticks_out(
    chromium: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(render(write_entities(tmp_path / "run")).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()


def test_marked_spans_fit_on_paper(chromium: Any, tmp_path: Path) -> None:
    page = chromium.new_page(viewport={"width": 680, "height": 960})
    page.goto(render(write_entities(tmp_path / "run")).as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    page.close()
