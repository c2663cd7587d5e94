"""The report on tasks of texts, conversations, pairs of replies and on several tasks at once."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outlines import Outline, outline
from text_tasks import (
    CHATS,
    IDS,
    MAKE,
    REPLIES,
    canonical,
    chat,
    data_rows,
    language_modeling,
    multitask,
    preference,
    seq2seq,
    write_texts,
)
from wrong_values import json_values, places

from tunewright.core.errors import RunDamaged
from tunewright.reporting import LIMIT, render
from tunewright.reporting.conversations import prompt, replies, summary

every = pytest.mark.parametrize("task", list(MAKE))
HEAD, FOOT = ["verdict", "ladder", "comparisons"], ["training", "data", "cost", "lineage", "again", "not-tested"]


def part(words: str, start: str, end: str) -> str:
    return words[words.index(start) : words.index(end)]


def anchors(page: Outline) -> list[str]:
    return [str(found["id"]) for tag, found in page.tags if tag == "section"]


def words_of(folder: Path, evidence: dict[str, Any]) -> str:
    return outline(write_texts(folder, evidence)).words()


@every
def test_the_page_is_whole_and_has_no_gap(tmp_path: Path, task: str) -> None:
    page = outline(write_texts(tmp_path / task, MAKE[task]()))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4", "h5"}]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    names = [found["id"] for _, found in page.tags if "id" in found]
    assert len(names) == len(set(names))
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in names}
    assert all(found.get("scope") in {"row", "col"} for found in page.all("th"))
    assert not {"gap", "notice", "text absent"} & {found.get("class") for found in page.all("p")}
    assert "Classes" not in page.words() and "Confusion matrix" not in page.words()


def test_each_task_has_its_own_sections(tmp_path: Path) -> None:
    own = {
        "chat": ["samples", "mistakes"],
        "seq2seq": ["samples", "mistakes"],
        "language_modeling": ["documents"],
        "preference": ["margins", "mistakes", "flips"],
        "reward": ["margins", "mistakes", "flips"],
    }
    for task, sections in own.items():
        page = outline(write_texts(tmp_path / task, MAKE[task]()))
        assert anchors(page) == HEAD + sections + FOOT
        links = [str(link["href"]) for link in page.all("a") if link.get("class") != "skip"]
        assert links[: len(anchors(page))] == [f"#{name}" for name in anchors(page)]


def test_a_conversation_reads_as_turns_with_its_tools_and_calls(tmp_path: Path) -> None:
    said = part(words_of(tmp_path / "run", chat()), "What it says, side by side", "Length of the replies")
    second = said[said.index("Sample 2") : said.index("Sample 3")]
    assert "Tools departures The next trains from a station. System Be brief. User When does the next train" in second
    assert 'Assistant calls → departures from: Zürich HB limit: 2 via: ["Olten", "Biel"] Tool departures' in second
    assert "Assistant not learnt from At 11:02, to Bern." in second
    assert '{"messages"' not in said and "tool_calls" not in said
    assert second.index("Gold Yes, in carriage 5.") < second.index("Fine-tuned stories260K Yes.")
    assert second.index("Fine-tuned stories260K Yes.") < second.index("Base model, untuned (empty reply)")
    assert "3 other contenders Most frequent reply Yes. The last question, repeated When?" in second


def test_a_long_system_prompt_and_early_turns_are_folded(tmp_path: Path) -> None:
    page = render(write_texts(tmp_path / "run", chat())).read_text(encoding="utf-8")
    first = page[page.index("Sample 1<") : page.index("Sample 2<")]
    assert "all 431 characters" in Outline(first[first.index("</h3>") + 5 : first.rindex("</li>")]).words()
    assert '<details class="text"' in first
    found = prompt(canonical(CHATS[4]), chat=True)
    assert len(found.turns) == 4 and len(found.earlier) == 12
    assert found.left_out == "9 turns before these stand in the run folder."


def test_texts_know_their_direction_and_language(tmp_path: Path) -> None:
    page = outline(write_texts(tmp_path / "run", chat()))
    assert sum(found.get("dir") == "auto" for found in page.all("p", "details", "pre")) > 60
    assert any(found.get("lang") == "zh" for found in page.all("p"))


def test_an_item_that_is_no_conversation_is_shown_as_it_is() -> None:
    for text in ("plain", '{"messages": 3}', '{"messages": []}', "{", "[1]", "null"):
        (turn,) = prompt(text, chat=True).turns
        assert turn.quote is not None and turn.quote.head == text
        assert summary(text) == text
    assert prompt(canonical(CHATS[0]), chat=False).turns[0].word == ""
    assert replies(canonical({"role": "assistant", "content": "x"}))[0].word == "Assistant"
    assert [one.quote and one.quote.head for one in replies("")] == ["(empty reply)"]


def test_losses_scores_lengths_and_signatures_are_written_in_their_units(tmp_path: Path) -> None:
    words = words_of(tmp_path / "run", chat())
    ladder = part(words, "The ladder of contenders", "Paired comparisons")
    assert "Loss, nats a token (lower is better)" in ladder and "1.570 [1.530, 1.610]" in ladder
    assert "30.6 [29.5, 31.7]" in ladder and "46.0% [44.6, 47.4]" in ladder and "30.6%" not in ladder
    assert "no likelihood is given" in ladder
    assert "BLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0" in ladder
    head = part(words, "Better", "The ladder of contenders")
    assert "−0.720" in head and "points" not in head
    assert head.index("Fine-tuned stories260K ahead") < head.index("Base model, untuned ahead")
    lengths = part(words, "Length of the replies", "The replies with the lowest scores")
    assert "Fine-tuned stories260K 34.5 31 4 19" in lengths


def test_the_lowest_replies_stand_beside_their_gold(tmp_path: Path) -> None:
    words = words_of(tmp_path / "run", chat())
    lowest = part(words, "The replies with the lowest scores", "How the training went")
    assert "ROUGE-L 0.0% rows.jsonl, line 22" in lowest and "24 more" in lowest
    words = words_of(tmp_path / "other", seq2seq())
    lowest = part(words, "The outputs with the lowest scores", "How the training went")
    assert "Two young, White males" in lowest and "chrF 29.0" in lowest and "User" not in lowest


def test_documents_have_bits_excerpts_and_counts(tmp_path: Path) -> None:
    words = words_of(tmp_path / "run", language_modeling())
    found = part(words, "The hardest documents", "How the training went")
    assert found.index("5.100 bits a byte") < found.index("5.000 bits a byte")
    assert "all 1,949 characters" in found and "22 more documents" in found
    assert "Token frequencies of train 1,204,331 1,204,331 1.00" in found
    ladder = part(words, "The ladder of contenders", "Every metric")
    places = [ladder.index(name) for name in ("Fine-tuned", "Base model", "Token frequencies")]
    assert places == sorted(places) and "Perplexity (lower is better)" in ladder
    data = part(words, "The data and what became of every row", "Speed and memory")
    assert "Train 6,400 5,830,400 6,534,400" in data


def test_margins_are_drawn_around_zero_for_both_contenders(tmp_path: Path) -> None:
    page = outline(write_texts(tmp_path / "run", preference()))
    found = part(page.words(), "By how much the chosen reply is preferred", "The pairs with the lowest margins")
    assert found.index("Margins of Fine-tuned stories260K") < found.index("Margins of Base model, untuned")
    drawn = preference()["contenders"][3]["histogram"]
    below = sum(n for n, right in zip(drawn["counts"], drawn["edges"][1:], strict=True) if right <= 0)
    assert f"{sum(drawn['counts']) - below} items lie in bars above zero, {below} in bars below." in found
    assert sum(one.get("class") == "pile wrong" for one in page.all("rect")) >= 10
    assert "0.400 ± 1.020 −0.200 ± 1.100 0.270 [0.210, 0.330]" in found


def test_the_lowest_pairs_show_both_replies_and_thumbs_show_one(tmp_path: Path) -> None:
    words = words_of(tmp_path / "run", preference())
    lowest = part(words, "The pairs with the lowest margins", "What flipped")
    first = lowest[lowest.index("Item 1 ") : lowest.index("Item 2 ")]
    assert "Chosen At 11:02, from platform 7. Rejected Trains are fun!" in first and "margin −2.100" in first
    seventh = lowest[lowest.index("Item 7 ") : lowest.index("Item 8 ")]
    assert "Thumb up" in seventh and "Chosen" not in seventh
    flips = part(words, "What flipped against", "How the training went")
    assert "210 items gained" in flips and '{"messages"' not in flips
    assert "The last question <b>of all</b> & more?" in flips


@pytest.mark.parametrize("broken", [None, {}, {"edges": [0, 1], "counts": [1, 2]}, {"edges": [1, 0], "counts": [3]}])
def test_broken_margins_are_a_gap(tmp_path: Path, broken: Any) -> None:
    found = preference()
    for one in found["contenders"]:
        one["histogram"], one["rewards"] = broken, broken
    words = words_of(tmp_path / "run", found)
    assert "holds no histogram of margins" in words
    assert ("holds no rewards" in words) == (not broken)


def test_what_is_watched_is_no_part_of_the_loss(tmp_path: Path) -> None:
    words = words_of(tmp_path / "run", preference())
    course = part(words, "How the training went", "The data and what became")
    loss = part(course, "Parts of the loss", "Reward accuracy")
    assert "dpo from" in loss and "chosen from" in loss and "kl" not in loss and "margin" not in loss
    assert "Reward accuracy from 5" in course and "Margin of the rewards from" in course
    assert "KL divergence from the reference from" in course and course.count("Watched, not minimised.") == 3 * 2
    assert "Tokens learnt from 614,400" in course


def test_watched_numbers_are_known_among_the_parts_too(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "run", preference())
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["parts"] |= {**row["watched"], "entropy": 2.0}
        row["watched"] = {"entropy": 2.0}
    (folder / "history.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    course = part(outline(folder).words(), "Parts of the loss", "Validation metrics")
    loss = part(course, "Parts of the loss", "Entropy")
    assert "kl" not in loss and "entropy" not in loss and "dpo" in loss and course.count("not minimised.") == 4 * 2


def test_several_tasks_have_a_verdict_each_transfer_and_chapters(tmp_path: Path) -> None:
    page = outline(write_texts(tmp_path / "run", multitask()))
    words = page.words()
    assert "Worse on a task Better on 3 of 4 tasks, worse on 1" in words
    assert anchors(page)[:4] == ["verdict", "overview", "transfer", "task-1"]
    assert {"task-1-labels", "task-2-targets", "task-3-samples", "task-4-types"} <= set(anchors(page))
    overview = part(words, "A verdict for each task", "Did the tasks help")
    assert "emotions multilabel ▲ Better F1, micro 56.2% [55.0, 57.4]" in overview
    assert "similarity regression ▼ Worse" in overview and "Weights in the loss emotions 1.21" in overview
    transfer = part(words, "Did the tasks help", "Ladder, comparisons and items of emotions")
    assert "emotions, F1, micro: +2.1 [+1.1, +3.2]; Better" in transfer
    losses = transfer[transfer.index("Difference in loss") :]
    assert losses.index("together is better") < losses.index("alone is better")
    shares = part(transfer, "Difference in percentage points", "Difference in correlation")
    assert shares.index("alone is better") < shares.index("together is better")
    assert "Weights of the tasks" in words and "similarity from 0.996 to 0.614" in words
    assert "Be brief. User When does" in words and "Fine-tuned minilm" in words
    data = part(words, "The data and what became of every row", "Speed and memory")
    assert "help desk" in data and "ShareGPT conversations, OpenAI messages" in data


def test_the_verdict_on_several_tasks_is_no_better_than_the_tasks() -> None:
    from tunewright.reporting.several import verdict

    found = multitask()
    for said, kind, headline in (
        ("better", "better", "Better on 4 of 4 tasks"),
        ("worse", "worse", "Worse on 4 of 4 tasks"),
        ("can't tell", "unsure", "These data can’t tell on any of 4 tasks"),
    ):
        for one in found["tasks"].values():
            one["verdict"]["outcome"] = said
        shown = verdict(found)
        assert (shown.kind, shown.headline) == (kind, headline)
    found["tasks"]["emotions"]["verdict"]["outcome"] = "better"
    assert verdict(found).kind == "unsure"


def test_several_tasks_without_a_usable_one_are_a_damaged_run(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "run", multitask())
    for tasks in ({}, None, {"a": {}}, {"a": multitask()}):
        (folder / "evidence.json").write_text(json.dumps({"version": 1, "task": "multitask", "tasks": tasks}))
        with pytest.raises(RunDamaged):
            render(folder)


def test_a_tasks_name_leads_nowhere_else(tmp_path: Path) -> None:
    found = multitask()
    found["tasks"] = {"../../etc": found["tasks"]["help desk"]}
    (tmp_path / "etc").mkdir()
    secret = [{"id": one, "text": "not of this run", "source": {}} for one in IDS]
    (tmp_path / "etc/test.jsonl").write_text("\n".join(map(json.dumps, secret)), encoding="utf-8")
    words = outline(write_texts(tmp_path / "run", found)).words()
    assert "../../etc" in words and "not of this run" not in words and "is not in the run folder" in words


@every
def test_hostile_and_huge_texts_stay_text_and_below_the_limit(tmp_path: Path, task: str) -> None:
    hostile = "</title><script>alert(1)</script>" + '"' * 6_000
    found = MAKE[task]()
    text = json.dumps(found)
    for word in ("Fine-tuned", "The next train to Bern leaves", "Trains are fun! "):
        text = text.replace(json.dumps(word)[1:-1], json.dumps(hostile if word != "Fine-tuned" else hostile[:33])[1:-1])
    folder = write_texts(tmp_path / task, json.loads(text))
    messages = [{"role": "user", "content": hostile}, {"role": "<script>", "content": hostile[:1500]}] * 8
    for place in folder.glob("data/**/test.jsonl"):
        rows = [{**json.loads(line)} for line in place.read_text(encoding="utf-8").splitlines()]
        for row in rows:
            row["text"] = canonical({"messages": messages}) if "messages" in row["text"] else hostile
            row["label"] = canonical({"chosen": messages[:3], "rejected": messages[:3]})
        place.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    path = render(folder)
    assert path.stat().st_size < LIMIT
    page = Outline(path.read_text(encoding="utf-8"))
    assert not page.all("script") and page.words().count("<script>alert(1)</script>") > 20


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_of_any_wrong_kind_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    task = data.draw(st.sampled_from(list(MAKE)))
    folder = write_texts(tmp_path / task, MAKE[task](), steps=20)
    names = ["evidence.json"] if task == "multitask" else ["evidence.json", "data/card.json"]
    name = data.draw(st.sampled_from(names))
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(content)[1:]))
        inside = content
        try:
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = data.draw(json_values)
        except (TypeError, KeyError, IndexError):
            continue
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    try:
        outline(folder)
    except RunDamaged as damaged:
        assert name == "evidence.json", damaged


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_conversations_of_any_wrong_shape_are_read(data: st.DataObject) -> None:
    content = json.loads(json.dumps({"prompt": CHATS[1], "reply": CHATS[1]["messages"]}))
    place = data.draw(st.sampled_from(places(content)[1:]))
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = data.draw(json_values)
    prompt(json.dumps(content.get("prompt")), chat=True)
    replies(content.get("reply"))
    replies(json.dumps(content.get("reply")))
    summary(json.dumps(content.get("prompt")))


def test_the_rows_of_the_hand_made_run_are_canonical() -> None:
    from tunewright.core import conversations

    for row in data_rows("preference"):
        assert conversations.choice(row["label"]) and conversations.messages(row["text"])
    assert {row["id"] for row in data_rows("chat")} == set(IDS) and len(REPLIES) == len(CHATS)
