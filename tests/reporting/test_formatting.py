import math

import pytest

from tunewright.reporting import formatting
from tunewright.reporting.quotes import quote
from tunewright.reporting.svg import Scale, element, smoothed, thinned, ticks


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formatting.percent(0.7644), "76.4%"),
        (formatting.percent(None), "–"),
        (formatting.percent(math.nan), "–"),
        (formatting.percent(True), "–"),
        (formatting.points(0.0641), "+6.4"),
        (formatting.points(-0.031), "−3.1"),
        (formatting.points(-0.0001), "0.0"),
        (formatting.difference(-0.0641), "−0.064"),
        (formatting.difference(0.5), "+0.500"),
        (formatting.difference(-0.0001), "0.000"),
        (formatting.difference(None), "–"),
        (formatting.level(0.95), "95%"),
        (formatting.level(1 - 0.05 / 3), "98.3%"),
        (formatting.level("x"), "–"),
        (formatting.p_value(0.00039), "< 0.001"),
        (formatting.p_value(0.0214), "0.021"),
        (formatting.count(12345), "12,345"),
        (formatting.compact(0.00002), "2e-5"),
        (formatting.duration(0.0021), "2.1 ms"),
        (formatting.duration(95), "1 min 35 s"),
        (formatting.duration(7325), "2 h 2 min"),
        (formatting.memory(1312), "1.3 GiB"),
        (formatting.size(912345), "912 kB"),
        (formatting.day("2026-11-21T11:50:07+00:00"), "21 November 2026, 11:50"),
        (formatting.day("soon"), "soon"),
        (formatting.number(10**400), None),
    ],
)
def test_values_are_written_as_a_reader_expects(written: object, expected: object) -> None:
    assert written == expected


def test_control_characters_and_lone_surrogates_become_visible() -> None:
    assert formatting.clean("a\x00b\x1b[0m\ud800\tc\n") == "a␀b␛[0m�\tc\n"


@pytest.mark.parametrize("sign", ["👩‍👩‍👧‍👦", "🤷🏽‍♀️", "🇨🇭", "e\u0301"])
def test_a_text_is_never_cut_inside_one_visible_sign(sign: str) -> None:
    text = sign * 60
    for limit in range(40, 70):
        cut = formatting.boundary(text, limit)
        assert cut <= limit
        assert cut % len(sign) == 0


def test_a_quote_keeps_every_character_up_to_its_limit() -> None:
    text = "客服态度很好" * 100
    shown = quote(text)
    assert shown.head + shown.tail == text
    assert len(shown.head) <= 220
    assert not shown.cut
    assert shown.language == "zh"
    assert quote("x" * 5000).cut


@pytest.mark.parametrize(
    ("text", "language"), [("直してください", "ja"), ("정말", "ko"), ("面都坨了", "zh"), ("ok", None)]
)
def test_the_script_names_the_language_that_chooses_the_shapes(text: str, language: str | None) -> None:
    assert formatting.script_language(text) == language


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(0.63, 0.78) == [0.65, 0.7, 0.75]
    assert ticks(3, 3) == [3]


def test_a_scale_holds_outliers_at_its_edges() -> None:
    scale = Scale(0, 10, 100, 0)
    assert [scale(x) for x in (-5, 0, 5, 10, 99)] == [100, 100, 50, 0, 0]


def test_thinning_keeps_the_peaks() -> None:
    points = [(float(x), 1000.0 if x == 7777 else float(x % 3)) for x in range(20_000)]
    kept = thinned(points)
    assert len(kept) <= 500
    assert max(kept, key=lambda point: point[1]) == (7777.0, 1000.0)
    assert kept == sorted(kept)


def test_smoothing_leaves_a_constant_alone() -> None:
    assert smoothed([2.0] * 5, 20) == pytest.approx([2.0] * 5)


def test_svg_attributes_and_children_are_escaped() -> None:
    assert str(element("g", "<b>", class_='"><script>')) == '<g class="&#34;&gt;&lt;script&gt;">&lt;b&gt;</g>'
