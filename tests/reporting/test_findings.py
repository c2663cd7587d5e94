"""What steps of the data found out, as facts and tables of the report; hostile values break nothing."""

from tunewright.reporting.findings import findings

CARD = {
    "gates": [{"state": "red", "title": "Copies", "said": "40% of the rows", "allowed": "at most 0.2"}, {"state": 3}],
    "languages": [{"language": "zh", "script": "Han", "rows": 1200, "share": 0.6, "low": 0.5, "high": 0.7}],
    "found": {
        "trial": {"rows": 9, "yields": {"swap": {"kept": 2, "gates": {"near": 1}}, "typos": {"kept": 1}}},
        "near_duplicates": {"clusters": 12, "alarm": False, "largest": {"rows": 30, "texts": ["a", "b"]}},
        "augment": [{"operator": "swap", "gain": [-0.01, 0.02], "kept": True}, {"operator": "typos", "more": 1}],
        "odd": [1, 2.5],
        "plain": "said",
    },
}


def test_facts_tables_and_nested_parts_are_all_there():
    found = findings(CARD)
    assert found.gates[0] == ("✗", "bad", "Copies", "40% of the rows", "at most 0.2") and found.gates[1][0] == "?"
    assert found.languages == [("zh", "Han", "60.0%", "50.0% to 70.0%")]
    steps = {step.title: step for step in found.steps}
    assert steps["Near duplicates"].facts == [
        ("clusters", "12"), ("alarm", "no"), ("largest, rows", "30"), ("largest, texts", "a, b"),
    ]  # fmt: skip
    _, heads, lines = steps["Augment"].tables[0]
    assert heads == ["operator", "gain", "kept", "more"] and [cell for cell, _ in lines[0]] == [
        "swap",
        "−0.01 to 0.02",
        "yes",
        "",
    ]
    assert steps["Trial"].facts == [("rows", "9")]
    title, heads, lines = steps["Trial"].tables[0]
    assert (title, heads) == ("yields", ["", "kept", "gates, near"])
    assert [[cell for cell, _ in line] for line in lines] == [["swap", "2", "1"], ["typos", "1", ""]]
    assert steps["Odd"].facts == [("value", "1, 2.5")] and steps["Plain"].facts == [("value", "said")]


def test_values_of_a_wrong_shape_give_nothing_and_no_error():
    for card in (
        {},
        {"gates": 3, "languages": "x", "found": [1]},
        {"found": {"a": None, "b": {"c": {"d": {"e": {"f": {}}}}}}},
    ):
        findings(card)
    deep = {"x": {}}
    inner = deep["x"]
    for _ in range(200):
        inner["x"] = {}
        inner = inner["x"]
    findings({"found": deep})
