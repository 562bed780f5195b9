// The attention of a trained transformer on one sentence: who looks at whom, head by head.
//
// Nothing is calculated here but the mean of the heads. The weights are those that
// phase05.train_translation recorded, whose picture stands here where scripts are off; the site
// puts them beside this module as attention.json (./recorded.toml).

import {
  announcer,
  change,
  choices,
  element,
  facts,
  label,
  reset,
  shape,
  shown,
  takePlace,
} from "./drawing.js";

const KINDS = [
  ["encoder", "encoder self"],
  ["decoder", "decoder self"],
  ["cross", "decoder to encoder"],
];
const NAMES = new Map(KINDS);
const MEAN = "mean"; // of all heads
const LONGEST = 12; // characters of a token that fit
const LEAST = 0.0005; // a smaller weight is shown as 0.000 and has no line
// In the drawing's own units: the boxes on the left, the lines between, the bars on the right.
const PLOT = { width: 320, top: 24, row: 30, box: 100, from: 101, to: 168, bars: 174, right: 318 };
const KEYS = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 };

/** The weights of a layer: one head's rows, or with head "mean" the mean of all heads. */
export function weightsOf(layer, head) {
  if (head !== MEAN) return layer[head];
  const mean = (i, j) => layer.reduce((sum, one) => sum + one[i][j], 0) / layer.length;
  return layer[0].map((row, i) => row.map((_, j) => mean(i, j)));
}

/** Whether a mask keeps row i from column j: in the decoder, from every later token. */
export function masked(kind, i, j) {
  return kind === "decoder" && j > i;
}

/** Waits for the recorded weights; rejects where they are not there. */
export async function mount(figure) {
  const answer = await fetch(new URL("./attention.json", import.meta.url));
  if (!answer.ok) throw new Error(`attention.json is not there: ${answer.status}`);
  show(figure, await answer.json());
}

function show(figure, recorded) {
  const layers = recorded.cross.weights;
  const start = { kind: "cross", layer: layers.length - 1, head: MEAN, token: 1, pointed: null };
  const chosen = { ...start };
  const boards = drawBoards(recorded, point, pick);
  const controls = {
    kind: choices("attention", KINDS, (kind) => choose({ kind, pointed: null })),
    layer: choices("layer", numbered(layers), (layer) => choose({ layer })),
    head: choices("head", [[MEAN, MEAN], ...numbered(layers[0])], (head) => choose({ head })),
  };
  const words = element("p", { class: "figure-words" });
  const values = facts([
    ["sum", "sum of its weights"],
    ["even", "each weight, were all equal"],
  ]);
  const spoken = announcer();

  /** The token under the mouse; null when it has left, and the chosen one is shown again. */
  function point(pointed) {
    choose({ pointed });
  }

  function pick(token) {
    choose({ token, pointed: null });
  }

  function choose(changes, { announce = true } = {}) {
    Object.assign(chosen, changes);
    const { kind, layer, head } = chosen;
    const { rows, columns, weights } = recorded[kind];
    chosen.token = Math.min(chosen.token, rows.length - 1);
    const at = chosen.pointed ?? chosen.token;
    const row = weightsOf(weights[layer], head)[at];
    for (const [name, control] of Object.entries(controls)) control.choose(chosen[name]);
    boards.show(kind, chosen.token, at, row);
    const told = tell(kind, at, rows, columns, row);
    words.textContent = told.words;
    values.show("sum", told.sum);
    values.show("even", told.even);
    const which = head === MEAN ? "mean of all heads" : `head ${head + 1}`;
    const where = `${NAMES.get(kind)}, layer ${layer + 1}, ${which}`;
    if (announce) spoken.say(`${where}. ${told.largest}; sum ${told.sum}.`);
  }

  const again = reset(() => choose(start));
  choose({}, { announce: false });
  const groups = Object.values(controls).map((control) => control.group);
  const side = element("div", { class: "figure-side" }, ...groups, words, values.list, again);
  takePlace(figure, boards.drawing, side, note(), spoken.node);
}

function numbered(list) {
  return list.map((_, i) => [i, String(i + 1)]);
}

function note() {
  const text = [
    "Point at a token on the left or tap it; with keys, the tab key leads there and the arrow keys",
    "choose. The larger a weight, the wider and stronger its line and the longer its bar. Weights",
    "are recorded to three decimals, so their sum can miss 1 by a little. What a decoder token",
    "gathers is used to choose the token after it.",
  ];
  return element("p", { class: "figure-note" }, text.join(" "));
}

/** A row of weights in words: {words, largest, sum, even}. */
function tell(kind, at, rows, columns, row) {
  const open = row.map((_, j) => j).filter((j) => !masked(kind, at, j));
  const ranked = [...open].sort((a, b) => row[b] - row[a]);
  const parts = ranked.slice(0, 3).map((j) => `${shown(row[j])} on ${columns[j]}`);
  const [first] = ranked;
  const most = `“${short(columns[first])}”: ${shown(row[first])}`;
  return {
    words: `“${short(rows[at])}” gives the most weight to ${most}.`,
    largest: `Token ${at + 1}, ${rows[at]}: ${parts.join(", ")}`,
    sum: shown(row.reduce((sum, weight) => sum + weight, 0)),
    even: shown(1 / open.length),
  };
}

function short(token) {
  const letters = [...token];
  return letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : token;
}

/** One board for each kind, of which one is seen: {drawing, show(kind, chosen, at, row)}. */
function drawBoards(recorded, point, pick) {
  const lengths = Object.values(recorded).flatMap((one) => [one.rows.length, one.columns.length]);
  const height = PLOT.top + PLOT.row * Math.max(...lengths); // one for all: nothing moves below
  const what = { role: "group", "aria-label": "Tokens and their attention" };
  const drawing = shape("svg", { viewBox: `0 0 ${PLOT.width} ${height}`, ...what });
  const boards = new Map();
  for (const [kind] of KINDS) boards.set(kind, drawBoard(kind, recorded[kind], point, pick));
  let seen = null;
  return {
    drawing,
    show(kind, chosen, at, row) {
      const board = boards.get(kind);
      if (seen !== kind) drawing.replaceChildren(...board.parts);
      seen = kind;
      board.show(chosen, at, row);
    },
  };
}

function drawBoard(kind, { rows, columns }, point, pick) {
  const asking = rows.map((token, i) => drawToken(token, i, rows.length));
  const asked = columns.map(drawAsked);
  const group = { role: "radiogroup", "aria-label": "token that asks" };
  const tokens = shape("g", group, ...asking.map((one) => one.node));
  choosable(asking.map((one) => one.node), point, pick);
  const heads = shape("g", { "aria-hidden": "true" });
  heads.append(label(2, 13, "token that asks", { class: "small" }));
  heads.append(label(PLOT.bars, 13, "its weight on", { class: "small" }));
  const wires = shape("g", { "aria-hidden": "true" }, ...asked.map((one) => one.wire));
  const bars = shape("g", { role: "img" }, ...asked.flatMap((one) => one.parts));
  return {
    parts: [heads, wires, bars, tokens],
    show(chosen, at, row) {
      asking.forEach((one, i) => one.show(i === chosen, i === at));
      asked.forEach((one, j) => one.show(at, masked(kind, at, j) ? null : row[j]));
      const given = (j) => (masked(kind, at, j) ? "masked" : shown(row[j]));
      const list = columns.map((token, j) => `${token} ${given(j)}`);
      change(bars, { "aria-label": `Weights of ${rows[at]}: ${list.join(", ")}` });
    },
  };
}

function middleOf(i) {
  return PLOT.top + (i + 0.5) * PLOT.row;
}

/** A token that asks: a box that can be chosen. */
function drawToken(token, i, count) {
  const { row, box } = PLOT;
  const y = middleOf(i);
  const role = { role: "radio", "aria-label": `${token}, ${i + 1} of ${count}`, "data-token": i };
  const node = shape("g", { ...role, class: "token" });
  // Boxes have a gap between them, what can be hit has none: the mouse is always on one token.
  node.append(shape("rect", { class: "reach", y: y - row / 2, width: box, height: row }));
  node.append(shape("rect", { class: "ring", x: 2, y: y - 13, width: box - 2, height: 26, rx: 4 }));
  node.append(label(9, y + 4.5, short(token)));
  return {
    node,
    show(chosen, asks) {
      change(node, { "aria-checked": String(chosen), tabindex: chosen ? 0 : -1 });
      change(node, { "data-shown": asks && "" });
    },
  };
}

/** A token that is asked: its name, its weight as number, bar and line (null: it is masked). */
function drawAsked(token, j) {
  const { from, to, bars, right } = PLOT;
  const y = middleOf(j);
  const under = y + 11;
  const scale = shape("line", { class: "grid", x1: bars, x2: right, y1: under, y2: under });
  const bar = shape("rect", { class: "fill-a", x: bars, y: under - 4, height: 4, "data-bar": j });
  const number = label(right, y + 1, "", { class: "end", "data-weight": j });
  const wire = shape("path", { class: "wire", "data-wire": j });
  return {
    wire,
    parts: [scale, bar, label(bars, y + 1, short(token)), number],
    show(at, weight) {
      const [start, bend] = [middleOf(at), (from + to) / 2];
      change(bar, { width: (weight ?? 0) * (right - bars) });
      change(wire, {
        d: `M${from},${start}C${bend},${start} ${bend},${y} ${to},${y}`,
        "stroke-width": 0.8 + 11 * weight,
        "stroke-opacity": 0.25 + 0.75 * weight,
        visibility: weight < LEAST ? "hidden" : null,
      });
      change(number, { class: weight === null ? "end small" : "end" });
      number.textContent = weight === null ? "masked" : shown(weight);
    },
  };
}

/** Let tokens be pointed at by the mouse, and chosen by click, tap and keys like radio buttons. */
function choosable(nodes, point, pick) {
  nodes.forEach((node, i) => {
    node.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") point(i);
    });
    node.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") point(null);
    });
    node.addEventListener("click", () => pick(i));
    node.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const ends = { Home: 0, End: nodes.length - 1 };
      const to = ends[event.key] ?? (i + KEYS[event.key] + nodes.length) % nodes.length;
      if (!(to >= 0)) return;
      event.preventDefault();
      pick(to);
      nodes[to].focus();
    });
  });
}
