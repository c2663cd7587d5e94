"""The terminal on tasks of texts and on several tasks: ladders, a sample, verdicts, pace, masks."""

from collections.abc import Callable
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from text_tasks import MAKE, _card, chat, multitask, write_texts

from tunewright import screen
from tunewright.reporting import standings
from tunewright.reporting.masks import shown

TURNS: list[tuple[str, bool, str | None]] = [
    ("<|im_start|>", False, "user"),
    ("user", False, "user"),
    ("\n", False, "user"),
    ("Hi [bold]there[/]\u202e\x1b[31m", False, "user"),
    ("<|im_end|>", False, "user"),
    ("\n", False, "user"),
    ("<|im_start|>assistant", False, "assistant"),
    ("\n", False, "assistant"),
    ("Hello", True, "assistant"),
    (" you", True, "assistant"),
    ("<|im_end|>", True, "assistant"),
    ("\n", False, "assistant"),
]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    monkeypatch.setattr(screen.out, "width", 110)
    monkeypatch.setattr(screen.out, "_file", None)  # `file` would be put back as a stream that is closed by then
    return lambda: " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("task", "heads", "line"),
    [("chat", "loss a token 95% interval ROUGE-L BLEU chrF", "stories260K 1.570 1.530 to 1.610 46.0% 30.6 51.0"),
     ("seq2seq", "chrF 95% interval BLEU ROUGE-L loss a token", "stories260K 51.0 49.7 to 52.3 30.6 46.0% 1.570"),
     ("language_modeling", "bits a byte 95% interval perplexity", "stories260K 1.480 1.459 to 1.501 21.59"),
     ("preference", "accuracy 95% interval margin", "stories260K 72.0% 69.0 to 75.0 0.270"),
     ("reward", "accuracy 95% interval margin", "stories260K 72.0% 69.0 to 75.0 0.270")],
)  # fmt: skip
def test_each_task_has_its_ladder_and_its_verdict(told: Callable[[], str], task: str, heads: str, line: str) -> None:
    found = MAKE[task]()
    screen.judged(found)
    words = told()
    assert heads in words and f"Fine-tuned {line}" in words
    assert "─ better ─" in words and found["verdict"]["sentence"].partition(":")[0] in words


def test_the_better_contender_stands_first_where_less_is_better() -> None:
    names = [line[0] for line in standings.ladder(chat()).lines]
    assert names[:2] == ["Fine-tuned stories260K", "Base model, untuned"]
    assert standings.ladder(chat()).bold == 0


def test_one_sample_stands_side_by_side_with_its_prompt(told: Callable[[], str], tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "run", chat())
    screen.judged(chat(), folder)
    words = told()
    assert "one of 12 samples When does the next train to Bern leave?" in words
    assert "gold Fine-tuned stories260K Base model, untuned The next train to Bern" in words
    screen.judged(chat())
    words = told()
    assert "one of 12 samples gold" in words


def test_a_narrow_terminal_has_one_reply_below_the_other(
    told: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen.out, "width", 70)
    screen.judged(chat())
    words = told()
    assert "gold: The next train to Bern leaves at 11:02 from platform 7. Fine-tuned stories260K: At 11:02" in words
    assert words.count("Trains are fun!") < 30 and "…" in words


def test_several_tasks_have_a_line_and_a_verdict_each(told: Callable[[], str]) -> None:
    screen.judged(multitask())
    words = told()
    assert "emotions better micro F1 56.2% 55.0 to 57.4 49.0%" in words
    assert "similarity Pearson 0.861 0.842 −0.019 (−0.029 to −0.010) worse" in words
    assert "emotions: better" in words and "similarity: worse" in words and "Worse than its baseline." in words
    assert standings.tasks(chat()) is None and standings.transfer(chat()) is None


def test_check_tells_what_texts_hold(told: Callable[[], str]) -> None:
    screen._gold({"classes": {}, **_card("chat")})
    words = told()
    assert words.startswith(
        "texts: forms found ShareGPT conversations, OpenAI messages; turns mean 2.4; turns most 31; with a system"
    )
    assert "prompt: mean 412.2, median 300, longest 9,120 characters" in words and "classes" not in words
    screen._gold(_card("language_modeling"))
    assert "validation: documents 700, characters 637,700, bytes 714,700" in told()


def test_the_pace_counts_from_where_the_process_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    pace = screen._Pace(before=50)
    now[0] = 102.0
    assert pace.after({"step": 52, "loss": 1.0, "totals": {"token": 3000}}) == (
        "loss 1.000  1.0 steps/s  1,500 learnt tokens/s"
    )
    now[0] = 104.0
    assert pace.after({"step": 58, "loss": 0.5, "totals": {"token": 5000}}).endswith("2,000 learnt tokens/s")
    assert screen._Pace().after({"step": 1, "loss": 0.5, "totals": {"example": 8}}).endswith("steps/s")


def printed(rows: list[tuple[str, list[tuple[str, bool, str | None]]]], colour: bool) -> Console:
    console = Console(width=100, record=True, force_terminal=colour, no_color=not colour, file=StringIO())
    for part in shown(rows):
        console.print(part)
    return console


def test_a_mask_can_be_read_without_colour() -> None:
    words = printed([("row 1, chat.jsonl", TURNS)], colour=False).export_text()
    lines = [line.rstrip() for line in words.splitlines()]
    assert "row 1, chat.jsonl  19 of 93 characters learnt" in lines
    assert "user       <|im_start|>user⏎" in lines
    assert "           Hi [bold]there[/]‹U+202E›␛[31m<|im_end|>⏎" in lines
    assert "assistant  <|im_start|>assistant⏎" in lines
    assert "           ⟦Hello you<|im_end|>⟧⏎" in lines
    assert "\x1b" not in words and "\u202e" not in words
    assert words.index("⟦learnt⟧ the loss is taken here") < words.index("row 1")


def test_a_mask_has_colour_and_a_line_under_what_is_learnt() -> None:
    page = printed([("row 1", TURNS)], colour=True).export_html(inline_styles=True)
    learnt = page[page.index("⟦Hello") - 200 : page.index("⟦Hello")]
    assert "text-decoration: underline" in learnt[learnt.rindex("<span") :]
    only_read = page[page.index("Hi [bold]") - 200 : page.index("Hi [bold]")]
    assert "underline" not in only_read[only_read.rindex("user") :]


def test_what_the_template_adds_is_told_from_what_was_said() -> None:
    row = [
        ("<|im_start|>user\n", False, "template"),
        ("Hi <|im_end|> <b>\u200b", False, "user"),
        ("<|im_end|>\n", False, "template"),
        ("Yes.\nNo.<|im_end|>\n", True, "assistant"),
    ]
    words = [line.rstrip() for line in printed([("row", row)], colour=False).export_text().splitlines()]
    assert words[3:] == [
        "template   <|im_start|>user⏎",
        "user       Hi <|im_end|> <b>‹U+200B›",
        "template   <|im_end|>⏎",
        "assistant  ⟦Yes.⏎",
        "           No.<|im_end|>⏎⟧",
    ]
    page = printed([("row", row)], colour=True).export_html(inline_styles=True)
    marked = page[page.index("characters learnt") :].split("color: #800080")[1:]
    coloured = "".join(part.partition("</span>")[0].partition(">")[2] for part in marked)
    assert unescape(coloured) == "<|im_start|>user⏎<|im_end|>‹U+200B›<|im_end|>⏎⏎<|im_end|>⏎"


def test_a_row_of_which_nothing_is_learnt_says_so() -> None:
    words = printed([("empty", [("a", False, None)]), ("none", [])], colour=False).export_text()
    assert words.count("nothing of this row is learnt") == 2 and "0 of 1 character learnt" in words


def test_the_screen_prints_masks(told: Callable[[], str]) -> None:
    rows: list[Any] = [("row 1", TURNS), ("row 2", TURNS)]
    screen.show_masked(rows)
    assert told().count("⟦Hello you<|im_end|>⟧") == 2
