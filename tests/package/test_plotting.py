"""Figures carry words, follow the theme, stay the same from run to run, and move when they should."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from kexue_lite import plotting
from kexue_lite.plotting import PALETTE, THEME, animate, figure, image_grid, seed_band, themed

WORDS = {"alt": 'A line of slope 1 & "more".', "caption": "**Figure 0.** It rises."}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    data: list[dict[str, str]] = []
    monkeypatch.setattr(plotting, "_show", lambda bundle, alt, caption: data.append(bundle))
    return data


def draw_line() -> None:
    with figure(**WORDS) as axes:
        axes.plot([0, 1], [0, 1])
        axes.set(xlabel="x", ylabel="y")


def test_a_figure_is_svg_with_its_alt_text_and_is_the_same_each_time(shown: list[dict[str, str]]) -> None:
    draw_line(), draw_line()
    first, second = (bundle["image/svg+xml"] for bundle in shown)
    root = ET.fromstring(first)
    assert root.get("role") == "img" and root.get("aria-label") == WORDS["alt"]
    assert first == second and "<metadata" not in first and "<dc:date" not in first


def test_the_callers_style_is_restored_even_after_an_error() -> None:
    before = dict(mpl.rcParams)
    with pytest.raises(ZeroDivisionError), figure(**WORDS):
        1 / 0  # noqa: B018
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("missing", ["x", "y"])
def test_an_axis_without_a_label_is_refused(missing: str) -> None:
    with pytest.raises(ValueError, match=f"the {missing} axis of panel 1"), figure(**WORDS) as axes:
        axes.set(**{f"{other}label": other for other in "xy" if other != missing})


def test_an_axis_that_is_not_drawn_needs_no_label(shown: list[dict[str, str]]) -> None:
    with figure(**WORDS, columns=2, sharey=True) as axes:
        axes[0].set(xlabel="x", ylabel="y")
        axes[1].set(xlabel="x")
    with figure(**WORDS) as axes:
        axes.set_axis_off()
    assert len(shown) == 2


@pytest.mark.parametrize("words", [{"alt": "", "caption": "c"}, {"alt": "a", "caption": " "}])
def test_a_figure_without_words_is_refused(words: dict[str, str]) -> None:
    empty = next(name for name, text in words.items() if not text.strip())
    with pytest.raises(ValueError, match=f"{empty} must say"), figure(**words):
        pass
    with pytest.raises(ValueError, match=f"{empty} must say"):
        animate(lambda axes: lambda i: [], 2, **words)


def test_a_themed_figure_draws_with_variables_alone_and_keeps_its_references(
    shown: list[dict[str, str]],
) -> None:
    with figure(**WORDS) as axes:
        for k in range(len(PALETTE)):
            axes.plot([0, 1], [k, 1], marker="o", label=str(k))
        axes.set(xlabel="x", ylabel="y")
        axes.legend()
    page = themed(shown[0]["image/svg+xml"], "f7")
    bare = re.sub(r"var\(--kexue-\w+, #\w{6}\)", "", page)
    assert not re.search(r"(fill|stroke): ?#(?!000000)", bare)
    for name in ("ink", "paper", "grid", "blue", "slate"):
        assert f"var(--kexue-{name}," in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert ids and all(i.startswith("f7-") for i in ids) and len(set(ids)) == len(ids)
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)) and {
        target for pair in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page) for target in pair if target
    } <= set(ids)


def play(page: str) -> tuple[str, list[list[str]], list[str]]:
    frames = re.search(r"frames = (\[\[.*?\]\]), labels = (\[.*?\]);", page, flags=re.DOTALL)
    assert frames
    return page, json.loads(frames[1].replace("<\\/", "</")), json.loads(frames[2])


def test_an_animation_moves_what_moves_and_defines_all_it_uses(shown: list[dict[str, str]]) -> None:
    def draw(axes):  # type: ignore[no-untyped-def]
        axes.set(xlim=(0, 4), ylim=(0, 4), xlabel="x", ylabel="y")
        (dot,) = axes.plot([], [], "o")
        text = axes.text(1, 1, "")

        def update(i: int) -> list[object]:
            dot.set_data([i], [i])
            text.set_text("abcd"[i])
            return [dot, text]

        return update

    animate(draw, 4, **WORDS, label="step {}".format)
    page, frames, labels = play(shown[0]["text/html"])
    assert len(frames) == 4 and labels == ["step 0", "step 1", "step 2", "step 3"]
    assert all(a != b for a, b in itertools.pairwise(frames))
    ids = set(re.findall(r'\bid="([^"]*)"', page))
    for inside in itertools.chain.from_iterable(frames):
        own = set(re.findall(r'\bid="([^"]*)"', inside))
        assert set(re.findall(r'href="#([^"]*)"', inside)) <= ids | own
        ET.fromstring(f'<svg xmlns:xlink="http://www.w3.org/1999/xlink">{inside}</svg>')
    with pytest.raises(ValueError, match="frames must be at least 2, got 1"):
        animate(draw, 1, **WORDS)


def test_an_image_grid_puts_each_image_in_its_place() -> None:
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    sheet = image_grid(Figure().subplots(), images, columns=2, gap=1).get_images()[0].get_array()
    assert sheet is not None and sheet.shape == (3 * 2 + 2, 2 * 3 + 1)
    for k in range(5):
        assert (sheet[(k // 2) * 3 : (k // 2) * 3 + 2, (k % 2) * 4 : (k % 2) * 4 + 3] == k).all()
    assert np.isnan(np.asarray(sheet.filled(np.nan))[2]).all()


@pytest.mark.parametrize("images", [np.zeros((4, 4)), np.zeros((0, 4, 4)), np.zeros((2, 4, 4, 2))])
def test_images_of_another_shape_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=re.escape(str(images.shape))):
        image_grid(Figure().subplots(), images)


def test_images_with_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        image_grid(Figure().subplots(), np.full((1, 2, 2), np.nan))


def test_a_seed_band_reaches_from_the_least_to_the_greatest() -> None:
    runs = np.array([[1.0, 5.0], [2.0, 3.0], [6.0, 4.0]])
    axes = seed_band(Figure().subplots(), [0, 1], runs, label="loss")
    assert axes.lines[0].get_ydata().tolist() == [3.0, 4.0]
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(0.0, 1.0), (0.0, 6.0), (1.0, 3.0), (1.0, 5.0)} <= {tuple(v) for v in corners.tolist()}
    with pytest.raises(ValueError, match="at least two seeds"):
        seed_band(Figure().subplots(), [0, 1], runs[:1], label="loss")


def luminance(colour: str) -> float:
    channels = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", ["ink", "blue", "vermilion", "green", "violet", "ochre", "slate"])
def test_every_colour_stands_out_from_paper(name: str) -> None:
    contrast = (luminance(THEME["paper"]) + 0.05) / (luminance(THEME[name]) + 0.05)
    assert contrast >= 3  # WCAG 2.1, 1.4.11: graphical objects


def test_the_first_colours_differ_for_the_colour_blind() -> None:
    # Deuteranopia and protanopia in linear RGB (Viénot, Brettel, Mollon 1999).
    lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    blind = {
        "deutan": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
        "protan": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    }
    for kind, project in blind.items():
        seen = [np.linalg.inv(lms) @ project @ lms @ np.array(mpl.colors.to_rgb(c)) for c in PALETTE[:3]]
        for a, b in itertools.combinations(seen, 2):
            assert np.linalg.norm(a - b) > 0.15, kind


def test_themed_picture_brings_no_rule_for_the_page(shown: list[dict[str, str]]) -> None:
    draw_line()
    svg = shown[0]["image/svg+xml"]
    assert "<style" in svg  # matplotlib's "*{...}", which in a page would style every element
    root = ET.fromstring(themed(svg, "f"))
    assert "<style" not in themed(svg, "f")
    assert (root.get("stroke-linejoin"), root.get("stroke-linecap")) == ("round", "butt")


@pytest.mark.parametrize("frames", [1, 2.5, "two", True])
def test_an_animation_needs_frames(frames):
    with pytest.raises(ValueError, match="frames must be"):
        plotting.animate(lambda axes: lambda i: [], frames, alt="a", caption="c")


def test_an_animation_in_which_nothing_moves():
    def draw(axes):
        axes.set(xlabel="x", ylabel="y")
        return lambda i: []

    with pytest.raises(ValueError, match="artists that move"):
        plotting.animate(draw, 3, alt="a", caption="c")


def test_a_grid_of_no_columns():
    with pytest.raises(ValueError, match="columns must be at least 1"):
        plotting.image_grid(Figure().subplots(), np.zeros((3, 4, 4)), columns=0)
