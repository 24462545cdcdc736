"""One style for every figure: legible in light and dark, safe for colour-blind readers, with words.

A figure is a block, and its alt text and caption are its arguments::

    with figure(alt="A parabola opening upwards.", caption="**Figure 1.1.** The value grows ...") as axes:
        axes.plot(x, x**2)
        axes.set(xlabel="x", ylabel="x²")

It is stored as SVG drawn in the colours of `THEME`. The book replaces these colours by the style-sheet
variables of the same name (`themed`), so the same file serves both themes. An axis without a label is an
error.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK, PAPER, GRID = "#1f2328", "#fffffe", "#d8dee4"
BLUE, VERMILION, GREEN, VIOLET, OCHRE, SLATE = (
    "#0072b2",
    "#d55e00",
    "#00805c",
    "#8a4f9e",
    "#9a6b00",
    "#5a6570",
)
PALETTE = (BLUE, VERMILION, GREEN, VIOLET, OCHRE, SLATE)
THEME = {
    "ink": INK, "paper": PAPER, "grid": GRID, "blue": BLUE, "vermilion": VERMILION,
    "green": GREEN, "violet": VIOLET, "ochre": OCHRE, "slate": SLATE,
}  # fmt: skip

_STYLE: Any = {
    "figure.facecolor": PAPER, "axes.facecolor": "none", "savefig.facecolor": PAPER,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "grid.color": GRID, "patch.edgecolor": INK,
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE), "image.cmap": "viridis",
    "lines.linewidth": 2.0, "font.size": 11, "axes.titlesize": 11, "legend.frameon": False,
    "font.family": "DejaVu Sans", "mathtext.fontset": "cm",
    "svg.fonttype": "path", "figure.constrained_layout.use": True, "figure.dpi": 96,
}  # fmt: skip


@contextmanager
def figure(
    *,
    alt: str,
    caption: str,
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 3.6,
    **subplots: Any,
) -> Iterator[Any]:
    """A block that yields axes to draw on and shows the figure, with its words, at its end.

    Parameters
    ----------
    alt
        What a reader who cannot see the figure is told, in a sentence or two.
    caption
        Markdown under the figure: its number, and what to see in it.
    rows, columns
        Panels; with more than one, an array of axes of shape ``(rows, columns)`` squeezed is yielded.
    width, height
        Inches, of 96 pixels.
    subplots
        Handed to `matplotlib.figure.Figure.subplots` (``sharex=True``, ``subplot_kw={...}``, ...).

    Raises
    ------
    ValueError
        If `alt` or `caption` is empty, or an axis with visible ticks has no label.

    Examples
    --------
    >>> with figure(alt="A rising line.", caption="**Figure 0.** It rises.") as axes:
    ...     _ = axes.plot([0, 1], [0, 1])
    ...     _ = axes.set(xlabel="time t (s)", ylabel="height (m)")
    Figure: A rising line.
    """
    _need_words(alt, caption)
    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height))
        yield drawing.subplots(rows, columns, **subplots)
        _need_labels(drawing)
        svg = _svg(drawing, alt)
    _show({"image/svg+xml": svg, "text/plain": f"Figure: {alt}"}, alt, caption)


def animate(
    draw: Callable[[Any], Callable[[int], Sequence[Any]]],
    frames: int,
    *,
    alt: str,
    caption: str,
    label: Callable[[int], str] = str,
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 3.6,
    milliseconds: int = 120,
    **subplots: Any,
) -> None:
    """A moving figure with a slider and a play button: it works in the page, without kernel or network.

    Parameters
    ----------
    draw
        Takes the axes, draws what stands still, creates the artists that move, and returns a function of the
        frame number which updates them and returns all of them, in the same order each time. Axis limits
        must be fixed in `draw`.
    frames
        Number of frames, at least 2.
    label
        Text beside the slider, from the frame number.
    milliseconds
        Time per frame while playing. Nothing moves until the reader asks for it.
    alt, caption, rows, columns, width, height, subplots
        As for `figure`.

    Raises
    ------
    ValueError
        If `frames` is below 2, or as for `figure`.

    Examples
    --------
    >>> def draw(axes):
    ...     axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="x", ylabel="y")
    ...     (dot,) = axes.plot([], [], "o")
    ...     def update(i):
    ...         dot.set_data([i / 4], [i / 4])
    ...         return [dot]
    ...     return update
    >>> animate(draw, 5, alt="A dot walks up the diagonal.", caption="**Figure 0.** Press play.")
    Animation of 5 frames: A dot walks up the diagonal.
    """
    _need_words(alt, caption)
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 2:
        raise ValueError(f"frames must be at least 2, got {frames!r}")
    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height))
        update = draw(drawing.subplots(rows, columns, **subplots))
        _need_labels(drawing)
        if not update(0):
            raise ValueError("draw must return a function that returns the artists that move, got none")
        drawing.draw_without_rendering()
        drawing.set_layout_engine(
            "none"
        )  # frozen, so that nothing but the moving parts differs between frames
        pictures = []
        for frame in range(frames):
            for number, artist in enumerate(update(frame)):
                artist.set_gid(f"moving-{number}")
            pictures.append(_svg(drawing, alt))
        moving = range(number + 1)
    prefix = _short_hash(pictures[0] + caption)
    parts = [[_group(picture, f"moving-{k}") for k in moving] for picture in pictures]
    definitions = sorted({d for p in pictures[1:] for d in _definitions(p)} - set(_definitions(pictures[0])))
    base = pictures[0].replace("</svg>", f"<defs>{''.join(definitions)}</defs></svg>")
    data = json.dumps([[themed(part, prefix) for part in frame] for frame in parts]).replace("</", "<\\/")
    page = _PLAYER.format(
        id=prefix, svg=themed(base, prefix), last=frames - 1, label=html.escape(label(0)), data=data,
        labels=json.dumps([label(i) for i in range(frames)]), milliseconds=milliseconds, alt=html.escape(alt),
    )  # fmt: skip
    _show({"text/html": page, "text/plain": f"Animation of {frames} frames: {alt}"}, alt, caption)


def image_grid(
    axes: Axes,
    images: ArrayLike,
    *,
    columns: int | None = None,
    gap: int = 1,
    limits: tuple[float, float] | None = None,
    cmap: str = "gray_r",
) -> Axes:
    """Draw a batch of images as one grid, row by row.

    Parameters
    ----------
    images
        ``(N, H, W)``, or ``(N, H, W, 3)`` with colours in [0, 1].
    columns
        Images in a row; the square root of N, rounded up, if left out.
    gap
        Empty pixels between neighbours.
    limits
        Values shown as the ends of the colour map; those of the batch if left out.

    Raises
    ------
    ValueError
        If `images` has another shape, is empty, or has values that are not finite.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> grid = image_grid(Figure().subplots(), np.zeros((6, 8, 8)), columns=3)
    >>> grid.get_images()[0].get_array().shape
    (17, 26)
    """
    batch = np.asarray(images, dtype=float)
    if batch.ndim not in (3, 4) or batch.size == 0 or (batch.ndim == 4 and batch.shape[3] != 3):
        raise ValueError(
            f"images must have shape (N, H, W) or (N, H, W, 3) and not be empty, got {batch.shape}"
        )
    if not np.isfinite(batch).all():
        raise ValueError("images must be finite, got NaN or infinity")
    N, H, W = batch.shape[:3]
    across = int(np.ceil(np.sqrt(N))) if columns is None else columns
    if across < 1 or gap < 0:
        raise ValueError(f"columns must be at least 1 and gap at least 0, got {columns} and {gap}")
    down = -(-N // across)
    low, high = limits or (float(batch.min()), float(batch.max()))
    sheet = np.full((down * (H + gap) - gap, across * (W + gap) - gap, *batch.shape[3:]), np.nan)
    for i, image in enumerate(batch):
        top, left = (i // across) * (H + gap), (i % across) * (W + gap)
        sheet[top : top + H, left : left + W] = image
    axes.imshow(sheet, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    return axes


def seed_band(
    axes: Axes, x: ArrayLike, values: ArrayLike, *, label: str, color: str | None = None, **line: Any
) -> Axes:
    """Draw the mean over seeds as a line and the smallest and largest as a band.

    Parameters
    ----------
    x
        ``(T,)``.
    values
        ``(seeds, T)``, with at least two seeds: a lone number has no spread.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is one seed only.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = seed_band(Figure().subplots(), [0, 1], [[1.0, 2.0], [3.0, 4.0]], label="loss")
    >>> axes.lines[0].get_ydata()
    array([2., 3.])
    """
    place, runs = np.asarray(x, dtype=float), np.asarray(values, dtype=float)
    if runs.ndim != 2 or runs.shape[0] < 2 or place.shape != runs.shape[1:]:
        raise ValueError(
            f"values must have shape (seeds, T) with at least two seeds and x shape (T,), "
            f"got {runs.shape} and {place.shape}"
        )
    (mean,) = axes.plot(place, runs.mean(0), label=label, color=color, **line)
    axes.fill_between(place, runs.min(0), runs.max(0), color=mean.get_color(), alpha=0.2, linewidth=0)
    return axes


def themed(svg: str, prefix: str) -> str:
    """An SVG whose colours are style-sheet variables and whose ids begin with `prefix`, to stand in a page.

    Examples
    --------
    >>> themed('<g id="a" style="fill: #0072b2"/><use href="#a"/>', "f1")
    '<g id="f1-a" style="fill: var(--kexue-blue, #0072b2)"/><use href="#f1-a"/>'
    """
    # matplotlib's rule for every element of the drawing would hold for the whole page: the root says it.
    rule = re.compile(
        r"<defs>\s*<style[^>]*>\*\{stroke-linejoin: round; stroke-linecap: butt\}</style>\s*</defs>\s*"
    )
    if rule.search(svg):
        svg = rule.sub("", svg).replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for name, colour in THEME.items():
        svg = svg.replace(colour, f"var(--kexue-{name}, {colour})")
    return svg


def _svg(drawing: Figure, alt: str) -> str:
    buffer = io.StringIO()
    # One salt for all: an id is the hash of what it names, so the same drawing is the same file on every run.
    with mpl.rc_context({"svg.hashsalt": "kexue"}):
        drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)


def _group(svg: str, gid: str) -> str:
    """The inside of the group with this id: nested groups are counted to find its end."""
    start = svg.index(f'<g id="{gid}"')
    start = svg.index(">", start) + 1
    depth = 1
    for tag in re.finditer(r"<g\b[^>]*?(/?)>|</g>", svg[start:]):
        depth += -1 if tag.group() == "</g>" else 0 if tag.group(1) else 1
        if depth == 0:
            return svg[start : start + tag.start()].strip()
    raise ValueError(f"group {gid} is not closed")


def _definitions(svg: str) -> list[str]:
    return [
        match.group()
        for block in re.findall(r"<defs>(.*?)</defs>", svg, flags=re.DOTALL)
        for match in re.finditer(r"<(path|clipPath)\b[^>]*?(/>|>.*?</\1>)", block, flags=re.DOTALL)
        if 'id="' in match.group()
    ]


def _need_words(alt: str, caption: str) -> None:
    for name, words in (("alt", alt), ("caption", caption)):
        if not isinstance(words, str) or not words.strip():
            raise ValueError(f"{name} must say what the figure shows, got {words!r}")


def _need_labels(drawing: Figure) -> None:
    for axes in drawing.axes:
        if not axes.axison or getattr(axes, "_colorbar", None) is not None:
            continue
        for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            seen = axis.get_visible() and axis.get_tick_params().get(
                "labelbottom" if name == "x" else "labelleft", True
            )
            if seen and not axis.get_label_text().strip():
                raise ValueError(
                    f"every axis needs a label with its unit: the {name} axis of panel "
                    f"{drawing.axes.index(axes) + 1} has none"
                )


def _show(data: dict[str, str], alt: str, caption: str) -> None:
    from IPython.core.getipython import get_ipython

    if get_ipython() is None:
        print(data["text/plain"])
        return
    from IPython.display import Markdown, display

    display(data, raw=True, metadata={"alt": alt})
    display(Markdown(caption))


def _short_hash(text: str) -> str:
    return "a" + hashlib.sha256(text.encode()).hexdigest()[:8]


_PLAYER = """\
<div class="kexue-animation" id="{id}" role="group" aria-label="{alt}">
{svg}
<div class="kexue-controls" style="display: flex; gap: 0.6em; align-items: center">
<button type="button" aria-label="play or pause">▶</button>
<input type="range" min="0" max="{last}" value="0" style="flex: 1" aria-label="frame">
<output style="min-width: 7em">{label}</output></div>
<script>
(function () {{
  const box = document.getElementById("{id}"), slider = box.querySelector("input");
  const text = box.querySelector("output"), button = box.querySelector("button");
  const frames = {data}, labels = {labels};
  let timer = null;
  function show() {{
    frames[slider.value].forEach((inside, k) => {{
      box.querySelector('[id="{id}-moving-' + k + '"]').innerHTML = inside;
    }});
    text.textContent = labels[slider.value];
  }}
  function stop() {{ clearInterval(timer); timer = null; button.textContent = "▶"; }}
  slider.addEventListener("input", () => {{ stop(); show(); }});
  button.addEventListener("click", () => {{
    if (timer) return stop();
    if (+slider.value === +slider.max) slider.value = 0;
    button.textContent = "❚❚";
    timer = setInterval(() => {{
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === +slider.max) stop();
    }}, {milliseconds});
  }});
}})();
</script></div>
"""
