"""The house style: readable on light and dark and by the colour-blind; the same bytes always."""

import itertools
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from journal import plotting

SVG = "{http://www.w3.org/2000/svg}"
PAGES = ("#ffffff", "#0d1117")  # GitHub's light and dark pages

DRAW = """
import sys
import numpy as np
from journal import plotting
figure, (left, right) = plotting.figure(8, 3, 1, 2)
x = np.arange(40)
for slope in range(7):
    left.plot(x, slope * x, label=f"slope {slope}")
left.legend()
left.set_title("Lines & <slopes>")
left.annotate("here", (10, 20), (20, 200), arrowprops={"arrowstyle": "->"})
right.imshow(np.arange(12).reshape(3, 4))
right.text(0, 0, "cell", color="white")
right.set_title("Heat")
plotting.save(figure, sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules, "only pyplot opens windows"
"""


def linear(colour: str) -> np.ndarray:
    """The linear light of an sRGB colour, by WCAG 2's definition of relative luminance."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of linear sRGB."""
    to_xyz = np.array(
        [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07217], [0.01933, 0.11919, 0.95030]]
    )
    x, y, z = np.cbrt(to_xyz @ np.clip(light, 0, 1) / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# What is left of linear sRGB without one kind of cone: Machado, Oliveira and Fernandes (2009).
EYES = {
    "all cones": np.eye(3),
    "no long-wave cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no middle-wave cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short-wave cones": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def draw(path: Path, hash_seed: str) -> bytes:
    """A picture as a process of its own draws it, where a window could not be opened."""
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    environment |= {"PYTHONHASHSEED": hash_seed, "MPLBACKEND": "TkAgg"}
    subprocess.run([sys.executable, "-c", DRAW, str(path)], check=True, env=environment)
    return path.read_bytes()


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "lines.svg"
    draw(path, "1")
    return path


def test_the_formula_of_contrast_gives_the_known_values() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("colour", plotting.PALETTE)
def test_every_line_colour_stands_out_from_light_and_dark(colour: str) -> None:
    cards = (plotting.CARD, plotting.DARK[plotting.CARD])
    for background in (*PAGES, *cards):
        assert contrast(colour, background) >= 3.0


def test_text_stands_out_from_the_card_it_is_on() -> None:
    assert contrast(plotting.INK, plotting.CARD) >= 4.5
    assert contrast(plotting.DARK[plotting.INK], plotting.DARK[plotting.CARD]) >= 4.5


@pytest.mark.parametrize("eyes", EYES)
def test_any_two_line_colours_differ_for_every_kind_of_eye(eyes: str) -> None:
    seen = [lab(EYES[eyes] @ linear(colour)) for colour in plotting.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20


def test_two_processes_draw_the_same_bytes_and_open_no_window(
    picture: Path, tmp_path: Path
) -> None:
    assert draw(tmp_path / "other.svg", "2") == picture.read_bytes()


def test_the_file_names_no_date_and_no_version(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert "dc:date" not in text
    assert "Matplotlib v" not in text


def test_a_screen_reader_finds_the_title(picture: Path) -> None:
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    assert root.get("role") == "img"
    assert root[0].tag == SVG + "title"
    assert root[0].get("id") == root.get("aria-labelledby")
    assert root[0].text == "Lines & <slopes>; Heat"


def colours_in_use(root: ET.Element) -> dict[str, set[str]]:
    """The colours that elements name, with the groups of matplotlib that they are in."""
    found: dict[str, set[str]] = {}

    def visit(element: ET.Element, group: str) -> None:
        group = element.get("id") or group
        for colour in re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", element.get("style", "")):
            found.setdefault(colour, set()).add(group)
        for child in element:
            visit(child, group)

    visit(root, "")
    return found


def test_card_ink_and_grid_change_where_the_system_prefers_dark(picture: Path) -> None:
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    rules = root[1].text or ""
    assert root[1].tag == SVG + "style"
    assert rules.startswith("@media (prefers-color-scheme: dark){")
    used = colours_in_use(root)
    for light, dark in plotting.DARK.items():
        assert light in used
        for kind in ("fill", "stroke"):
            assert f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}' in rules


def test_no_part_of_the_style_keeps_a_colour_that_only_suits_one_card(picture: Path) -> None:
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    house = set(plotting.DARK) | {colour.lower() for colour in plotting.PALETTE}
    # White is the script's own, on a cell of its heat map; it stays white on a dark card too.
    assert set(colours_in_use(root)) - house == {"#ffffff"}


def test_letters_are_outlines_so_that_no_font_is_needed(picture: Path) -> None:
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    assert not list(root.iter(SVG + "text"))
    assert "font-family" not in picture.read_text(encoding="utf-8")


def test_a_sixth_curve_is_told_from_the_first_by_dashes() -> None:
    _, axes = plotting.figure()
    lines = [axes.plot([0, 1], [0, index])[0] for index in range(3 * len(plotting.PALETTE))]
    looks = {(line.get_color(), str(line._dash_pattern)) for line in lines}
    assert len(looks) == len(lines)


def test_figure_gives_an_array_of_axes_for_rows_and_columns() -> None:
    figure, axes = plotting.figure(width=5, height=3, rows=2, columns=3)
    assert axes.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (5, 3)


def test_saving_refuses_what_is_no_svg_and_what_has_no_title(tmp_path: Path) -> None:
    figure, axes = plotting.figure()
    with pytest.raises(ValueError, match=r"no \.svg file"):
        plotting.save(figure, tmp_path / "loss.png")
    with pytest.raises(ValueError, match=r"loss\.svg has no title"):
        plotting.save(figure, tmp_path / "loss.svg")
    assert list(tmp_path.iterdir()) == []
    axes.set_title("Panel")
    figure.suptitle("Whole\nfigure")
    text = plotting.save(figure, tmp_path / "made" / "loss.svg").read_text(encoding="utf-8")
    assert '<title id="title">Whole figure</title>' in text


def test_line_goes_through_the_points_where_the_sum_is_zero() -> None:
    _, ax = plotting.figure()
    weight, bias = np.array([3.0, 4.0]), -10.0
    plotting.draw_line(ax, weight, bias)
    (line,) = ax.lines
    first, second = (np.array(point) for point in (line.get_xy1(), line.get_xy2()))
    assert not np.allclose(first, second)
    np.testing.assert_allclose([weight @ first + bias, weight @ second + bias], 0, atol=1e-12)
    plotting.draw_line(ax, np.zeros(2), 1.0)
    assert len(ax.lines) == 1


def test_heat_map_of_weights_goes_from_zero_to_one_with_a_label_for_each_row_and_column() -> None:
    _, ax = plotting.figure()
    image = plotting.draw_weights(ax, np.full((2, 3), 0.4), ["a", "b"], ["c", "d", "e"], size=6)
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["c", "d", "e"]
    assert ax.get_xticklabels()[0].get_fontsize() == 6


@pytest.mark.parametrize(("n_layer", "n_head"), [(2, 3), (1, 1), (2, 1), (1, 3)])
def test_every_layer_and_head_has_a_map_and_labels_stand_once(n_layer: int, n_head: int) -> None:
    own, across = np.zeros((n_head, 4, 4)), np.ones((n_head, 4, 2))
    read, given = ["1", "2"], ["<START>", "a", "b", "c"]
    kinds = {"own": ([own] * n_layer, given, given), "across": ([across] * n_layer, given, read)}
    figure = plotting.draw_heads(kinds, "a title")
    assert figure.get_suptitle() == "a title"
    maps = np.array(figure.axes).reshape(2, n_layer, n_head)
    assert [ax.images[0].get_size() for ax in maps[:, 0, 0]] == [(4, 4), (4, 2)]
    for kind, layer, head in np.ndindex(maps.shape):
        ax = maps[kind, layer, head]
        below = [label.get_text() for label in ax.get_xticklabels()]
        assert below == ((given, read)[kind] if layer == n_layer - 1 else [])
        beside = [label.get_text() for label in ax.get_yticklabels()]
        assert beside == ([] if head else given)
    assert maps[1, -1, 0].get_ylabel() == f"across\nlayer {n_layer}"
    assert maps[0, 0, -1].get_title(loc="left") == f"head {n_head}"
    assert {label.get_rotation() for label in maps[0, -1, 0].get_xticklabels()} == {90}
    assert {label.get_rotation() for label in maps[1, -1, 0].get_xticklabels()} == {0}


def test_points_of_each_class_are_a_group_with_its_name() -> None:
    _, ax = plotting.figure()
    x = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    plotting.draw_points(ax, x, np.array([1, 0, 1]), size=9)
    found = {
        group.get_label(): np.asarray(group.get_offsets()).tolist() for group in ax.collections
    }
    assert found == {"target 1": [[0, 1], [4, 5]], "target 0": [[2, 3]]}
