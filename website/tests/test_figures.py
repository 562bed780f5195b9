"""The interactive figures, moved in a browser and compared with what phase 0 computes.

The attention is compared with the weights that were recorded: planted ones, and the real ones.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from journal.site import staging
from phase00.information import cross_entropy, entropy, perplexity
from phase00.linear_algebra import cosine_similarity, dot, norm
from phase00.plot_dot_product import Config as Vectors
from phase00.plot_softmax import Config
from phase00.probability import cross_entropy_naive, softmax

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "website" / "figures"
NAMES = ("softmax", "dot-product", "cross-entropy", "attention")
GERMAN = ["Ein", "Donaudampfschiff", "schläft", "Donaudampfer", "."]
ENGLISH = ["<START>", "A", "Danube steamboats", "a", "a", "."]
STILL = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200">'
    '<rect width="400" height="200" fill="#ccc"/></svg>'
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Figures</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="figures/figure.css">
<script type="module" src="figures/load.js"></script>
<style>body {{ margin: 16px; font: 16px/1.5 sans-serif }} img {{ max-width: 100% }}</style></head>
<body {scheme}>{figures}<p id="below">Below</p><div style="height: 3000px"></div></body></html>"""
FIGURE = (
    '<figure class="interactive" data-figure="{name}"><img src="still.svg" alt="Still {name}">'
    "<figcaption>The caption of {name}</figcaption></figure>"
)


def write_page(folder: Path, name: str, figures: tuple[str, ...], scheme: str = "") -> None:
    parts = "".join(FIGURE.format(name=figure) for figure in figures)
    scheme = scheme and f'data-md-color-scheme="{scheme}"'
    (folder / name).write_text(PAGE.format(scheme=scheme, figures=parts), encoding="utf-8")


def planted_attention() -> dict[str, dict[str, Any]]:
    """Weights of three layers and two heads, in the form in which phase 5 records them."""
    rng = np.random.default_rng(0)

    def weights(rows: list[str], columns: list[str], causal: bool = False) -> list[Any]:
        made = np.zeros((3, 2, len(rows), len(columns)))
        for at in np.ndindex(made.shape[:3]):
            seen = at[2] + 1 if causal else len(columns)
            made[at][:seen] = np.round(rng.dirichlet([0.5] * seen), 3)
        return made.tolist()

    return {
        kind: {"rows": rows, "columns": columns, "weights": weights(rows, columns, *causal)}
        for kind, rows, columns, *causal in (
            ("encoder", GERMAN, GERMAN),
            ("decoder", ENGLISH, ENGLISH, True),
            ("cross", ENGLISH, GERMAN),
        )
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small site of its own: the figures' files, a still picture, a page of all of them."""
    journal = tmp_path / "journal"
    shutil.copytree(FIGURES, journal / "website" / "figures")
    result = journal / staging.recorded_parts(journal)["attention"]["result"]
    result.parent.mkdir(parents=True)
    recorded = {"metrics": {"attention": planted_attention()}}
    result.write_text(json.dumps(recorded), encoding="utf-8")
    staging.write_figures(journal, tmp_path / "figures")
    (tmp_path / "still.svg").write_text(STILL, encoding="utf-8")
    write_page(tmp_path, "index.html", NAMES)
    for name in NAMES:
        write_page(tmp_path, f"{name}.html", (name,))
    return tmp_path


@pytest.fixture
def origin(folder: Path, serve: Callable[..., Any]) -> Iterator[str]:
    with serve(folder) as address:
        yield address


@pytest.fixture
def show(origin: str, open_page: Callable[..., Any]) -> Callable[..., Any]:
    """`show(name, **context)`: the page with that one live figure ("" for all of them)."""

    def opened(name: str = "", **options: Any) -> Any:
        watched = open_page(origin, f"/{name and name + '.html'}", **options)
        watched.page.wait_for_function(
            "!document.querySelector(\"figure:not([data-state='live'])\")", timeout=10_000
        )
        return watched

    return opened


def digits(value: float, decimals: int = 3) -> str:
    """A number as the figures write it."""
    text = f"{value:.{decimals}f}".replace("-", "\u2212")
    return text.lstrip("\u2212") if float(f"{value:.{decimals}f}") == 0 else text


def fact(page: Page, name: str) -> str:
    return page.locator(f'[data-fact="{name}"]').inner_text()


def set_slider(page: Page, name: str, value: float) -> None:
    page.locator(f'[data-input="{name}"]').fill(f"{value:g}")


def press(target: Locator, *keys: str) -> None:
    target.focus()
    for key in keys:
        target.page.keyboard.press(key)


def seen(page: Page) -> dict[str, Any]:
    """All that a figure shows, in one look: texts, attributes of its lines, places in pixels."""
    return page.evaluate(
        """() => { const live = document.querySelector(".figure-live");
        const all = (selector) => [...live.querySelectorAll(selector)];
        const by = (key, value) => Object.fromEntries(
          all(`[data-${key}]`).map((node) => [node.dataset[key], value(node)]));
        const middle = (node) => { const box = node.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2]; };
        const ends = (node, names) => names.map((name) => Number(node.getAttribute(name)));
        return {
          facts: by("fact", (node) => node.innerText),
          words: all(".figure-words").map((node) => node.innerText).join(),
          strong: all("svg .strong").map((node) => node.textContent),
          label: all("svg")[0].getAttribute("aria-label"),
          bars: all("[data-bar]").map((node) => node.getBoundingClientRect().height),
          lines: by("line", (node) => ends(node, ["x1", "y1", "x2", "y2"])),
          point: by("point", (node) => ends(node, ["cx", "cy"])),
          tips: by("tip", (node) => middle(node.querySelector(".ring"))),
          centre: middle(all("svg")[0]),
          unit: all("svg")[0].getBoundingClientRect().width / 320 * 30,
        }; }"""
    )


def grab(page: Page, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a tip is in pixels, and how many of them lead one to the right and one up."""
    look = seen(page)
    return np.array(look["tips"][name]), np.array([look["unit"], -look["unit"]])


# All figures


@pytest.mark.parametrize("name", NAMES)
def test_figure_takes_the_pictures_place_and_keeps_the_caption(
    name: str, show: Callable[..., Any]
) -> None:
    watched = show(name)
    figure = watched.page.locator("figure")
    expect(figure.locator("img")).to_have_count(0)
    expect(figure.locator(".figure-live svg")).to_be_visible()
    expect(figure.locator("figcaption")).to_have_text(f"The caption of {name}")
    assert watched.problems == []


def test_a_picture_stays_where_scripts_are_off(origin: str, open_page: Callable[..., Any]) -> None:
    page = open_page(origin, java_script_enabled=False).page
    expect(page.locator("figure img")).to_have_count(len(NAMES))
    expect(page.locator(".figure-live")).to_have_count(0)
    for name in NAMES:
        picture = page.get_by_alt_text(f"Still {name}")
        assert picture.bounding_box()["height"] == 200
        # No room is kept for what does not come: the picture, the caption, their margins.
        assert picture.locator("xpath=..").bounding_box()["height"] < 280


@pytest.mark.parametrize(
    "broken", ["export function mount() { throw new Error('planted'); }", "this is no module", None]
)
def test_a_broken_module_leaves_the_picture_and_the_other_figures(
    broken: str | None, folder: Path, origin: str, open_page: Callable[..., Any]
) -> None:
    module = folder / "figures" / "softmax.js"
    if broken is None:
        module.unlink()
    else:
        module.write_text(broken, encoding="utf-8")
    watched = open_page(origin)
    expect(watched.page.locator('figure[data-state="live"]')).to_have_count(len(NAMES) - 1)
    figure = watched.page.locator('[data-figure="softmax"]')
    expect(figure).to_have_attribute("data-state", "still")
    expect(figure.get_by_alt_text("Still softmax")).to_be_visible()
    assert any('"softmax" stays a picture' in problem for problem in watched.problems)


def test_an_unknown_or_strange_name_leaves_the_picture(
    folder: Path, origin: str, open_page: Callable[..., Any]
) -> None:
    write_page(folder, "index.html", ("no-such-figure", "../figures/softmax", ""))
    page = open_page(origin).page
    expect(page.locator('figure[data-state="still"] img')).to_have_count(3)


def test_figures_of_a_page_that_comes_without_loading_are_mounted(
    folder: Path, origin: str, open_page: Callable[..., Any]
) -> None:
    write_page(folder, "index.html", ())
    page = open_page(origin).page
    page.evaluate("html => document.body.insertAdjacentHTML('afterbegin', html)", FIGURE)
    page.evaluate("document.querySelector('figure').dataset.figure = 'softmax'")
    # What the site's script offers: it calls each listener after every change of page.
    page.evaluate(
        "async () => { globalThis.document$ = {subscribe: (call) => globalThis.changed = call};"
        "await import('./figures/load.js?again'); }"
    )
    live = page.locator('figure[data-state="live"] .figure-live')
    expect(live).to_have_count(1)
    page.evaluate("html => document.body.insertAdjacentHTML('afterbegin', html)", FIGURE)
    page.evaluate("document.querySelector('figure').dataset.figure = 'cross-entropy'; changed()")
    expect(live).to_have_count(2)


@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_name_and_is_reached_by_tab_with_its_focus_seen(
    name: str, show: Callable[..., Any]
) -> None:
    page = show(name).page
    # Of radio buttons the chosen one alone is reached by tab; arrow keys lead to the others.
    stops = ":is([type=range], :checked, button, [tabindex='0'])"
    controls = page.locator(f".figure-live {stops}")
    reached = []
    for _ in range(controls.count()):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        reached.append(focused.evaluate("node => node.ariaLabel ?? node.labels?.[0]?.innerText"))
        ring = focused.evaluate(
            """node => { const ring = node.querySelector(".ring");
            return parseFloat(ring ? getComputedStyle(ring).strokeWidth
                                   : getComputedStyle(node).outlineWidth); }"""
        )
        assert ring >= 3
    expected = {
        "softmax": ["temperature T", *(f"score z{digit}" for digit in "₁₂₃₄₅")],
        "dot-product": ["tip of a", "tip of b"],
        "cross-entropy": ["probability p"],
        "attention": ["A, 2 of 6", "decoder to encoder", "3", "mean"],
    }
    role = "radio" if name == "attention" else "slider"
    assert reached[:-1] == expected[name]
    expect(page.get_by_role("button", name="Start again")).to_be_focused()
    for label in expected[name]:
        expect(page.get_by_role(role, name=label, exact=True)).to_have_count(1)


@pytest.mark.parametrize(
    ("name", "control", "said"),
    [
        ("softmax", '[data-input="temperature"]', "Temperature 1.230: probabilities "),
        ("dot-product", '[data-tip="a"]', "a (3.9, 1.0), b (2.0, 3.0): dot product 10.800, "),
        ("cross-entropy", '[data-input="probability"]', "Loss 0.675 nats, 0.974 bits; gradient "),
        (
            "attention",
            '[data-token="1"]',
            "decoder to encoder, layer 3, mean of all heads. Token 5, a: ",
        ),
    ],
)
def test_values_are_announced_politely_and_once_the_hand_rests(
    name: str, control: str, said: str, show: Callable[..., Any]
) -> None:
    page = show(name).page
    region = page.get_by_role("status")
    expect(region).to_have_attribute("aria-live", "polite")
    expect(region).to_have_text("")
    page.evaluate(
        """() => { window.said = [];
        new MutationObserver(() => said.push(document.querySelector("[role=status]").textContent))
          .observe(document.querySelector("[role=status]"), {childList: true}); }"""
    )
    press(page.locator(control), *["ArrowRight"] * 9)
    expect(region).not_to_have_text("")
    heard = page.evaluate("window.said")
    assert len(heard) == 1
    assert heard[0].startswith(said)
    spoken = page.locator(control).get_attribute("aria-valuetext")
    assert spoken == {
        "softmax": "1.230",
        "dot-product": "x 3.9, y 1.0",
        "cross-entropy": "probability 0.509",
    }.get(name)


@pytest.mark.parametrize("width", [320, 360])
def test_figures_fit_a_narrow_screen(width: int, show: Callable[..., Any]) -> None:
    watched = show(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    assert watched.sideways() == []
    assert watched.page.evaluate("innerWidth") == width
    sizes = watched.page.locator(".figure-live text").evaluate_all(
        "nodes => nodes.map((node) => parseFloat(getComputedStyle(node).fontSize) *"
        " node.ownerSVGElement.getScreenCTM().a)"
    )
    assert min(sizes) >= 9


@pytest.mark.parametrize(
    ("system", "scheme"),
    [("light", ""), ("dark", ""), ("dark", "default"), ("light", "slate")],
    ids=["light", "dark", "site light, system dark", "site dark, system light"],
)
def test_text_and_shapes_stand_out_in_light_and_dark(
    system: str, scheme: str, folder: Path, show: Callable[..., Any]
) -> None:
    write_page(folder, "index.html", NAMES, scheme)
    watched = show(color_scheme=system)
    assert watched.contrast(".figure-live")[0] == []
    card, shapes = watched.page.evaluate(
        """() => { const of = (node, what) => getComputedStyle(node)[what];
        const all = (selector, what) => [...document.querySelectorAll(selector)]
          .map((node) => of(node, what));
        return [of(document.querySelector(".figure-live"), "backgroundColor"),
          [...all("[class*=fill-]", "fill"),
           ...all("[class*=line-], .guide, .ring, .wire", "stroke")]]; }"""
    )
    assert (luminance(card) < 0.05) == ("slate" in scheme or (system == "dark" and not scheme))
    assert shapes
    assert min(contrast(card, color) for color in shapes) >= 3


def luminance(color: str) -> float:
    """WCAG 2's relative luminance of "rgb(r, g, b)"."""
    parts = np.array([float(part) for part in color[4:-1].split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_check_finds_faint_text(show: Callable[..., Any]) -> None:
    watched = show("softmax")
    watched.page.add_style_tag(content=".figure-live .figure-note { color: #999 }")
    assert len(watched.contrast(".figure-live")[0]) == 1


def test_width_check_finds_a_page_that_scrolls_sideways(show: Callable[..., Any]) -> None:
    watched = show("softmax", viewport={"width": 360, "height": 640})
    watched.page.add_style_tag(content=".figure-live { width: 500px }")
    by, first, *_ = watched.sideways()
    assert by.startswith("by 1")
    assert "figure-live" in first


@pytest.mark.parametrize("width", [320, 800])
def test_no_value_moves_what_stands_below_and_nothing_is_animated(
    width: int, show: Callable[..., Any]
) -> None:
    page = show(viewport={"width": width, "height": 640}, reduced_motion="reduce").page
    tops = {page.locator("#below").bounding_box()["y"]}
    for control in page.locator('[data-input="temperature"], [data-input="probability"]').all():
        for key in ("Home", "End"):
            press(control, key)
            tops.add(page.locator("#below").bounding_box()["y"] + page.evaluate("scrollY"))
    for tip in page.locator("[data-tip]").all():
        for key in ("ArrowLeft", "ArrowDown"):
            press(tip, *[f"Shift+{key}"] * 10)
            tops.add(page.locator("#below").bounding_box()["y"] + page.evaluate("scrollY"))
    for choice in page.locator(".figure-choices input").all():
        choice.check()
        for token in page.locator(".token").all():
            token.click()
            tops.add(page.locator("#below").bounding_box()["y"] + page.evaluate("scrollY"))
    assert len({round(top) for top in tops}) == 1
    assert page.evaluate("document.getAnimations().length") == 0


# Softmax


def assert_softmax_shown(page: Page, scores: list[float], temperature: float) -> None:
    truth = softmax(np.array(scores), temperature)
    look = seen(page)
    heights = np.array(look["bars"])
    np.testing.assert_allclose(heights / heights.sum(), truth, atol=2e-4)
    assert look["strong"] == [digits(p) for p in truth]
    assert look["facts"]["entropy"] == f"{digits(entropy(truth))} nats"
    assert all(digits(p) in look["label"] for p in truth)


def test_softmax_starts_as_the_picture_of_phase_0(show: Callable[..., Any]) -> None:
    page = show("softmax").page
    assert_softmax_shown(page, list(Config().scores), 1.0)
    assert 1.0 in Config().temperatures
    assert fact(page, "order") == "z₁ > z₂ > z₃ > z₄ > z₅"


def test_temperature_changes_bars_to_what_phase_0_computes(show: Callable[..., Any]) -> None:
    page = show("softmax").page
    row = page.locator(".figure-slider:has([data-input=temperature])")
    for place in (-1, -0.6, -0.3, 0.48, 1):
        set_slider(page, "temperature", place)
        temperature = float(f"{10**place:.3g}")
        assert row.locator(".figure-value").inner_text() == digits(temperature)
        assert_softmax_shown(page, list(Config().scores), temperature)
        assert fact(page, "order") == "z₁ > z₂ > z₃ > z₄ > z₅"


def test_keys_move_the_temperature_and_a_score(show: Callable[..., Any]) -> None:
    page = show("softmax").page
    temperature, last = (page.locator(f'[data-input="{n}"]') for n in ("temperature", "score-5"))
    press(temperature, *["ArrowRight"] * 30)
    assert_softmax_shown(page, list(Config().scores), 2.0)  # 10^0.3 in three digits
    press(last, "End", "ArrowLeft")
    assert_softmax_shown(page, [4, 3, 2, 1, 4.9], 2.0)
    assert fact(page, "order") == "z₅ > z₁ > z₂ > z₃ > z₄"
    press(temperature, "Home")
    assert_softmax_shown(page, [4, 3, 2, 1, 4.9], 0.1)
    assert fact(page, "order") == "z₅ > z₁ > z₂ > z₃ > z₄"


def test_softmax_slider_follows_the_mouse(show: Callable[..., Any]) -> None:
    page = show("softmax").page
    box = page.locator('[data-input="temperature"]').bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] + 50, box["y"] + 5, steps=4)
    page.mouse.up()
    assert_softmax_shown(page, list(Config().scores), 10.0)


def test_equal_scores_share_and_are_said_to_be_equal(show: Callable[..., Any]) -> None:
    page = show("softmax").page
    for i, score in enumerate((-5, 3.3, 3.3, 5, -5), start=1):
        set_slider(page, f"score-{i}", score)
    assert_softmax_shown(page, [-5, 3.3, 3.3, 5, -5], 1.0)
    assert fact(page, "order") == "z₄ > z₂ = z₃ > z₁ = z₅"
    page.get_by_role("button", name="Start again").click()
    assert_softmax_shown(page, list(Config().scores), 1.0)


def test_softmax_function_is_stable_and_refuses_a_temperature_of_0(
    show: Callable[..., Any],
) -> None:
    page = show("softmax").page
    huge = page.evaluate(
        "async () => (await import('./figures/softmax.js')).softmax([1000, 999, 998])"
    )
    np.testing.assert_allclose(huge, softmax(np.array([1000.0, 999.0, 998.0])), rtol=1e-14)
    refused = """async ([scores, temperature]) => {
      const {softmax} = await import("./figures/softmax.js");
      try { softmax(scores, temperature); } catch (error) { return error.name; } }"""
    for scores, temperature in (([1, 2], 0), ([1, 2], -1), ([1, 2], math.nan), ([], 1)):
        assert page.evaluate(refused, [scores, temperature]) == "RangeError"


# The dot product


def assert_vectors_shown(page: Page, a: list[float], b: list[float]) -> None:
    look, product, cosine = seen(page), dot(a, b), cosine_similarity(a, b)
    for name, vector in (("a", a), ("b", b)):
        tip = (np.array(look["tips"][name]) - look["centre"]) / look["unit"]
        np.testing.assert_allclose(tip * [1, -1], vector, atol=0.02)
        assert look["facts"][name] == f"({digits(vector[0], 1)}, {digits(vector[1], 1)})"
        assert look["facts"][f"length-{name}"] == digits(norm(vector))
    assert look["facts"]["first"].endswith(f"= {digits(a[0] * b[0])}")
    assert look["facts"]["second"].endswith(f"= {digits(a[1] * b[1])}")
    assert look["facts"]["dot"] == digits(product)
    assert look["facts"]["cosine"] == digits(cosine)
    angle = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    assert look["facts"]["angle"] == f"{digits(angle)}°"
    assert look["facts"]["lengths"] == digits(norm(a) * norm(b) * cosine)
    assert look["facts"]["shadow"] == digits(product / norm(a))
    sign = "Zero" if abs(product) < 1e-9 else "Positive" if product > 0 else "Negative"
    assert look["words"].startswith(f"{sign}: ")
    # The shadow ends where a's multiple does; from b's tip there, the way is at right angles to a.
    foot = np.array([160, 160]) + 30 * product / dot(a, a) * np.array([a[0], -a[1]])
    np.testing.assert_allclose(look["lines"]["shadow"], [160, 160, *foot], atol=1e-6)
    x1, y1, x2, y2 = look["lines"]["drop"]
    np.testing.assert_allclose([x1, y1], [160 + 30 * b[0], 160 - 30 * b[1]], atol=1e-6)
    assert abs((x2 - x1) * a[0] - (y2 - y1) * a[1]) < 1e-6


def test_dot_product_starts_with_what_phase_0_computes(show: Callable[..., Any]) -> None:
    assert_vectors_shown(show("dot-product").page, list(Vectors().a), list(Vectors().b))


def test_arrow_keys_move_a_tip_by_a_tenth_and_with_shift_by_one(show: Callable[..., Any]) -> None:
    page = show("dot-product").page
    press(page.locator('[data-tip="a"]'), "ArrowRight", "ArrowUp", "ArrowUp")
    assert_vectors_shown(page, [3.1, 1.2], [2, 3])
    press(page.locator('[data-tip="b"]'), *["Shift+ArrowLeft"] * 3, "Shift+ArrowUp", "ArrowDown")
    assert_vectors_shown(page, [3.1, 1.2], [-1, 3.9])
    assert page.evaluate("scrollY") == 0


def test_mouse_drags_a_tip_even_when_it_grabs_it_off_its_middle(show: Callable[..., Any]) -> None:
    watched = show("dot-product")
    page = watched.page
    start, unit = grab(page, "a")
    start += 5  # pixels off its middle
    page.mouse.move(*start)
    page.mouse.down()
    assert_vectors_shown(page, [3, 1], [2, 3])
    page.mouse.move(*(start + np.array([-4, -5]) * unit), steps=5)
    assert_vectors_shown(page, [-1, -4], [2, 3])
    page.mouse.up()
    page.mouse.move(*start)
    assert_vectors_shown(page, [-1, -4], [2, 3])
    assert watched.problems == []


def touch(page: Page, start: np.ndarray, end: np.ndarray) -> None:
    """A finger from one place to the other, as the browser's input sees it."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, at: np.ndarray | None) -> None:
        points = [] if at is None else [{"x": float(at[0]), "y": float(at[1])}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", start)
    for share in np.linspace(0.1, 1, 10):
        send("touchMove", start + share * (end - start))
    send("touchEnd", None)


def test_finger_drags_a_tip_without_scrolling_the_page(show: Callable[..., Any]) -> None:
    options = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}
    page = show("dot-product", **options).page
    start, unit = grab(page, "b")
    touch(page, start, start + np.array([-1.5, -4]) * unit)
    assert_vectors_shown(page, [3, 1], [0.5, -1])
    assert page.evaluate("scrollY") == 0
    # The same finger elsewhere in the drawing does scroll: the figure is no trap on a phone.
    beside = start + np.array([-5, -5]) * unit
    touch(page, beside, beside - np.array([0, 200]))
    page.wait_for_function("scrollY > 100")
    assert_vectors_shown(page, [3, 1], [0.5, -1])


def test_a_tip_stays_in_the_picture_and_on_the_grid(show: Callable[..., Any]) -> None:
    page = show("dot-product").page
    start, unit = grab(page, "a")
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*(start + np.array([9, 9]) * unit))
    assert_vectors_shown(page, [5, 5], [2, 3])
    page.mouse.move(*(start + np.array([0.13, 0.08]) * unit))
    page.mouse.up()
    assert_vectors_shown(page, [3.1, 1.1], [2, 3])


@pytest.mark.parametrize(
    ("moves", "b", "words"),
    [
        ("3 Shift+ArrowLeft", [-1, 3], "Zero: a and b are at right angles"),
        # Here the sum is not 0 in floats: 3 × −1.3 + 1 × 3.9 = −4.4e−16.
        (
            "3 Shift+ArrowLeft, 3 ArrowLeft, 1 Shift+ArrowUp, 1 ArrowDown",
            [-1.3, 3.9],
            "Zero: a and b are at right angles",
        ),
        ("6 Shift+ArrowLeft", [-4, 3], "Negative: θ is more than 90°"),
        ("1 ArrowUp", [2, 3.1], "Positive: θ is less than 90°"),
    ],
)
def test_sign_is_said_in_words(
    moves: str, b: list[float], words: str, show: Callable[..., Any]
) -> None:
    page = show("dot-product").page
    for move in moves.split(", "):
        times, key = move.split()
        press(page.locator('[data-tip="b"]'), *[key] * int(times))
    assert_vectors_shown(page, [3, 1], b)
    assert seen(page)["words"].startswith(words)


def test_a_zero_vector_has_no_angle_and_no_shadow_falls_on_it(show: Callable[..., Any]) -> None:
    watched = show("dot-product")
    page, tip = watched.page, watched.page.locator('[data-tip="a"]')
    press(tip, *["Shift+ArrowLeft"] * 3, "Shift+ArrowDown")
    assert fact(page, "a") == "(0.0, 0.0)"
    for name in ("cosine", "angle", "lengths", "shadow"):
        assert fact(page, name) == "undefined"
    assert fact(page, "dot") == "0.000"
    assert seen(page)["words"] == "Zero: a zero vector has no direction."
    expect(page.locator('[data-line="shadow"]')).to_be_hidden()
    press(tip, "ArrowLeft")
    assert_vectors_shown(page, [-0.1, 0], [2, 3])
    page.get_by_role("button", name="Start again").click()
    assert_vectors_shown(page, [3, 1], [2, 3])
    assert watched.problems == []


# Cross-entropy


def assert_loss_shown(page: Page, p: float) -> None:
    look = seen(page)
    nats = cross_entropy_naive(np.array([p, 1 - p]), 0)
    bits = cross_entropy(np.array([1.0, 0.0]), np.array([p, 1 - p]), "bits")
    values = {"nats": nats, "bits": bits, "gradient": p - 1, "choices": perplexity(nats)}
    assert look["facts"] == {name: digits(value) for name, value in values.items()}
    unsure = f"As unsure as among {digits(perplexity(nats))} equally likely answers."
    assert look["words"] == unsure
    assert look["strong"] == [digits(nats)]
    place = [26 + 282 * p, 218 - 194 * nats / 7]
    np.testing.assert_allclose(look["point"]["loss"], place, atol=1e-6)


def test_probability_moves_the_point_to_the_loss_that_phase_0_computes(
    show: Callable[..., Any],
) -> None:
    page = show("cross-entropy").page
    assert_loss_shown(page, 0.5)
    for p in (0.001, 0.01, 0.1, 0.368, 0.75, 0.999):
        set_slider(page, "probability", p)
        assert_loss_shown(page, p)
        # The point lies on the curve that is drawn.
        away = page.evaluate(
            """() => { const curve = document.querySelector("svg .line-a");
            const point = document.querySelector("[data-point]");
            const [x, y] = ["cx", "cy"].map((name) => Number(point.getAttribute(name)));
            const steps = Array.from({length: 2001}, (_, i) => (curve.getTotalLength() * i) / 2000);
            return Math.min(...steps.map((step) => curve.getPointAtLength(step))
              .map((at) => Math.hypot(at.x - x, at.y - y))); }"""
        )
        assert away < 0.5


def test_keys_move_the_probability(show: Callable[..., Any]) -> None:
    page = show("cross-entropy").page
    slider = page.locator('[data-input="probability"]')
    press(slider, "ArrowLeft", "ArrowLeft")
    assert_loss_shown(page, 0.498)
    press(slider, "Home")
    assert_loss_shown(page, 0.001)
    press(slider, "End")
    assert_loss_shown(page, 0.999)
    page.get_by_role("button", name="Start again").click()
    assert_loss_shown(page, 0.5)


def test_gradient_shown_is_the_slope_of_phase_0s_loss(show: Callable[..., Any]) -> None:
    page = show("cross-entropy").page
    set_slider(page, "probability", 0.2)
    step = 1e-5

    def loss(logit: float) -> float:
        return cross_entropy_naive(softmax(np.array([logit, 0.0])), 0)

    logit = math.log(0.2 / 0.8)
    slope = (loss(logit + step) - loss(logit - step)) / (2 * step)
    assert fact(page, "gradient") == digits(slope)


# Attention


def assert_attention_shown(
    page: Page,
    recorded: dict[str, Any],
    kind: str,
    layer: int,
    head: int | None,
    token: int,
) -> None:
    """The numbers, bars and lines are the recorded row of weights; `head` None is the mean."""
    one = recorded[kind]
    heads = np.array(one["weights"][layer])
    row = (heads.mean(0) if head is None else heads[head])[token]
    seen_at = token + 1 if kind == "decoder" else len(row)
    look = page.evaluate(
        """() => { const all = (selector, value) =>
          [...document.querySelectorAll(`.figure-live ${selector}`)].map(value);
        return {
          weights: all("[data-weight]", (node) => node.textContent),
          bars: all("[data-bar]", (node) => Number(node.getAttribute("width"))),
          wires: all("[data-wire]", (node) => node.checkVisibility({visibilityProperty: true})
            ? ["stroke-width", "stroke-opacity"].map((name) => Number(node.getAttribute(name)))
            : null),
          asks: all("[data-shown]", (node) => node.ariaLabel),
          label: all("[role=img]", (node) => node.ariaLabel),
          words: all(".figure-words", (node) => node.innerText).join(),
        }; }"""
    )
    # Half a thousandth and not its text: a mean can lie in the middle between two of those.
    told = np.array([float(text) for text in look["weights"][:seen_at]])
    np.testing.assert_allclose(told, row[:seen_at], atol=0.000501)
    assert look["weights"][seen_at:] == ["masked"] * (len(row) - seen_at)
    np.testing.assert_allclose(look["bars"], 144 * row, atol=1e-9)
    drawn = [weight for weight in row if weight >= 0.0005]
    assert [wire is not None for wire in look["wires"]] == [weight >= 0.0005 for weight in row]
    widths, opacities = zip(*filter(None, look["wires"]), strict=True)
    for growing in (widths, opacities):
        assert np.diff(np.array(growing)[np.argsort(drawn)]).min(initial=0) > -1e-9
        assert np.ptp(growing) > 0.3 * np.ptp(drawn)
    assert look["asks"] == [f"{one['rows'][token]}, {token + 1} of {len(one['rows'])}"]
    pairs = zip(one["columns"], look["weights"], strict=True)
    listed = ", ".join(f"{name} {weight}" for name, weight in pairs)
    assert look["label"] == [f"Weights of {one['rows'][token]}: {listed}"]
    assert look["words"].endswith(f": {told.max():.3f}.")
    assert abs(float(fact(page, "sum")) - row.sum()) < 0.000501
    assert fact(page, "even") == digits(1 / seen_at)


def choose(page: Page, group: str, text: str) -> None:
    page.get_by_role("group", name=group, exact=True).get_by_label(text, exact=True).check()


def test_attention_shows_the_recorded_weights_of_every_kind_layer_and_head(
    show: Callable[..., Any],
) -> None:
    watched, recorded = show("attention"), planted_attention()
    page = watched.page
    assert_attention_shown(page, recorded, "cross", 2, None, 1)
    kinds = {"encoder self": "encoder", "decoder self": "decoder", "decoder to encoder": "cross"}
    for text, kind in kinds.items():
        choose(page, "attention", text)
        for layer in range(3):
            choose(page, "layer", str(layer + 1))
            for head in (None, 0, 1):
                choose(page, "head", "mean" if head is None else str(head + 1))
                assert_attention_shown(page, recorded, kind, layer, head, 1)
    page.get_by_role("button", name="Start again").click()
    assert_attention_shown(page, recorded, "cross", 2, None, 1)
    assert watched.problems == []


def test_mouse_shows_a_tokens_weights_and_a_click_keeps_them(show: Callable[..., Any]) -> None:
    page, recorded = show("attention").page, planted_attention()
    tokens = page.locator(".token")
    for token in (3, 0, 5):
        tokens.nth(token).hover()
        assert_attention_shown(page, recorded, "cross", 2, None, token)
        expect(tokens.nth(1)).to_have_attribute("aria-checked", "true")
    page.locator("#below").hover()
    assert_attention_shown(page, recorded, "cross", 2, None, 1)
    tokens.nth(4).click()
    page.locator("#below").hover()
    assert_attention_shown(page, recorded, "cross", 2, None, 4)
    # The sentence read is shorter than the one written: a token that it has is chosen.
    tokens.nth(5).click()
    choose(page, "attention", "encoder self")
    assert_attention_shown(page, recorded, "encoder", 2, None, 4)


def test_finger_chooses_a_token_on_a_narrow_screen(show: Callable[..., Any]) -> None:
    options = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
    page = show("attention", **options).page
    tokens = page.locator(".token")
    assert min(token.bounding_box()["height"] for token in tokens.all()) >= 23
    tokens.nth(4).tap()
    assert_attention_shown(page, planted_attention(), "cross", 2, None, 4)


def test_keys_choose_a_token_as_they_choose_a_radio_button(show: Callable[..., Any]) -> None:
    page, recorded = show("attention").page, planted_attention()
    tokens = page.locator(".token")
    tokens.nth(1).focus()
    for key, token in {
        **{"ArrowDown": 2, "ArrowRight": 3, "ArrowUp": 2, "ArrowLeft": 1},
        **{"End": 5, "Home": 0},
    }.items():
        page.keyboard.press(key)
        assert_attention_shown(page, recorded, "cross", 2, None, token)
        expect(tokens.nth(token)).to_be_focused()
        expect(page.locator(".token[aria-checked=true], .token[tabindex='0']")).to_have_count(1)
    page.keyboard.press("ArrowUp")
    assert_attention_shown(page, recorded, "cross", 2, None, 5)
    page.keyboard.press("ArrowDown")
    assert_attention_shown(page, recorded, "cross", 2, None, 0)
    assert page.evaluate("scrollY") == 0


def test_names_and_numbers_of_tokens_do_not_meet(show: Callable[..., Any]) -> None:
    page = show("attention").page
    gaps = page.evaluate(
        """() => [...document.querySelectorAll("[data-weight]")].map((number) =>
          number.getBoundingClientRect().left -
          number.previousElementSibling.getBoundingClientRect().right)"""
    )
    assert len(gaps) == len(GERMAN)
    assert min(gaps) > 2
    expect(page.locator(".token").nth(2)).to_have_text("Danube stea…")


def test_attention_without_its_numbers_stays_a_picture(
    folder: Path, origin: str, open_page: Callable[..., Any]
) -> None:
    (folder / "figures" / "attention.json").unlink()
    watched = open_page(origin, "/attention.html")
    expect(watched.page.locator("figure")).to_have_attribute("data-state", "still")
    expect(watched.page.get_by_alt_text("Still attention")).to_be_visible()
    assert any('"attention" stays a picture' in problem for problem in watched.problems)


def test_attention_shows_what_phase_5_recorded(
    folder: Path, origin: str, open_page: Callable[..., Any]
) -> None:
    staging.write_figures(ROOT, folder / "figures")
    recorded = json.loads((folder / "figures" / "attention.json").read_text(encoding="utf-8"))
    page = open_page(origin, "/attention.html").page
    expect(page.locator("figure")).to_have_attribute("data-state", "live")
    for text, kind in (("decoder self", "decoder"), ("encoder self", "encoder")):
        choose(page, "attention", text)
        choose(page, "layer", "1")
        choose(page, "head", "2")
        assert_attention_shown(page, recorded, kind, 0, 1, 1)
