"""Every set of real rows goes through the data side: the ledger balances to the row, and known defects are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunewright.curating import open_source
from tunewright.data import card

SETS = {
    "tweets/tweets.csv": (
        "classification",
        8000,
        7996,
        {"outer_space": 3237, "replacement_character": 46, "duplicate": 4},
    ),
    "sst2/dev.tsv": ("classification", 6735, 6732, {"outer_space": 6735, "duplicate": 3}),
    "goemotions/train8k.tsv": ("multilabel", 8000, 7978, {"outer_space": 523, "conflict": 15, "duplicate": 7}),
    "waimai/waimai_10k.csv": ("classification", 11987, 11973, {"conflict": 14}),
    "eprstmt/train_few_all.json": ("classification", 160, 131, {"duplicate": 29}),
    "eprstmt/test_public.json": ("classification", 610, 610, {}),
    "sms_spam/SMSSpamCollection": (
        "classification",
        5574,
        5158,
        {"mojibake": 35, "outer_space": 188, "duplicate": 416},
    ),
    "stsb/stsb-en-train.csv": ("regression", 5749, 5701, {"mojibake": 12, "number_conflict": 8, "duplicate": 40}),
    "rte/train.tsv": ("classification", 1244, 1243, {"mojibake": 1, "duplicate": 1}),
    "resume_ner/dev.char.bmes": ("token_classification", 463, 463, {}),
    "instructions/alpaca_zh_demo.json": ("chat", 1000, 992, {"duplicate": 8}),
    "instructions/dpo_en_demo.json": ("preference", 300, 295, {"mojibake": 1, "duplicate": 5}),
    "instructions/c4_demo.jsonl": ("language_modeling", 300, 300, {"mojibake": 1, "replacement_character": 4}),
    "instructions/wiki_demo.txt": ("language_modeling", 30, 30, {}),
    "gsm8k/train.jsonl": ("chat", 7473, 7473, {}),
    "dialogsum/dialogsum.dev.jsonl": ("seq2seq", 500, 500, {"outer_space": 72}),
    "multi30k/train5k": ("seq2seq", 5000, 5000, {}),
    "tinyshakespeare/input.txt": ("language_modeling", 484, 484, {}),
}


@pytest.mark.parametrize("name", SETS)
def test_the_ledger_balances_on_real_rows(name: str, shared: Path) -> None:
    task, entered, left, counts = SETS[name]
    opened = open_source(shared / "data" / name)
    assert opened.options.task == task
    found = card(opened.prepared())
    assert all(stage["balances"] for stage in found["stages"])
    assert (found["entered"], found["rows"]) == (entered, left)
    assert {defect["code"]: defect["count"] for defect in found["defects"]} == counts
    gone = sum(stage["dropped"] + stage["quarantined"] - stage["added"] for stage in found["stages"])
    assert entered == left + gone, "whatever entered is accounted for, end to end"
