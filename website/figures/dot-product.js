// The dot product of two vectors that can be moved by their tips.
//
// The same as `dot`, `norm` and `cosine_similarity` of phase00.linear_algebra; it starts from the
// vectors of phase00.plot_dot_product, whose picture stands here where scripts are off, and shows
// the same shadow. The tips stand on a grid of tenths, so that the numbers beside the picture are
// the vectors and not roundings of them.

import { announcer, change, element, facts, label, reset, shape, shown, takePlace } from "./drawing.js";

const START = { a: [3, 1], b: [2, 3] };
const LIMIT = 5; // of a coordinate, either way
const UNIT = 30; // of the drawing, for a length of 1
const MIDDLE = 160;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

/** The sum of the products of the entries. */
export function dot(a, b) {
  if (a.length !== b.length) throw new RangeError(`lengths differ: ${a.length} and ${b.length}`);
  return a.reduce((total, value, i) => total + value * b[i], 0);
}

/** The length that a ruler measures. */
export function length(a) {
  return Math.hypot(...a);
}

/** dot(a, b) / (|a| |b|), or null where one of them is the zero vector, which points nowhere. */
export function cosine(a, b) {
  const lengths = length(a) * length(b);
  return lengths === 0 ? null : Math.min(1, Math.max(-1, dot(a, b) / lengths));
}

/** The shadow of b on the line along a: {signed, vector}, or null where a is the zero vector. */
export function shadow(a, b) {
  const square = dot(a, a);
  if (square === 0) return null;
  const share = dot(a, b) / square;
  return { signed: share * Math.sqrt(square), vector: a.map((value) => share * value) };
}

/** To the grid of tenths, and not beyond the picture. */
export function onGrid(value) {
  return Math.round(Math.min(LIMIT, Math.max(-LIMIT, value)) * 10) / 10;
}

export function mount(figure) {
  const vectors = { a: [...START.a], b: [...START.b] };
  const plane = drawPlane();
  const values = facts([
    ["a", "a"],
    ["b", "b"],
    ["first", "a₁ b₁"],
    ["second", "a₂ b₂"],
    ["dot", "a · b, their sum"],
    ["length-a", "length ‖a‖"],
    ["length-b", "length ‖b‖"],
    ["angle", "angle θ"],
    ["cosine", "cos θ"],
    ["lengths", "‖a‖ ‖b‖ cos θ"],
    ["shadow", "shadow of b on a"],
  ]);
  const words = element("p", { class: "figure-words" });
  const spoken = announcer();

  function update({ announce = true } = {}) {
    const { a, b } = vectors;
    plane.show(a, b);
    const told = tell(a, b);
    for (const [key, text] of Object.entries(told.values)) values.show(key, text);
    words.textContent = told.words;
    const sum = `a ${told.values.a}, b ${told.values.b}: dot product ${told.values.dot}`;
    if (announce) spoken.say(`${sum}, cosine ${told.values.cosine}. ${told.words}`);
  }

  const move = (name, [x, y]) => {
    vectors[name] = [onGrid(x), onGrid(y)];
    update();
  };
  for (const name of ["a", "b"]) {
    movable(plane.tips[name], plane.place, () => vectors[name], (to) => move(name, to));
  }
  const again = reset(() => {
    Object.assign(vectors, { a: [...START.a], b: [...START.b] });
    update();
  });
  update({ announce: false });
  const side = element("div", { class: "figure-side" }, values.list, words, again);
  takePlace(figure, plane.drawing, side, note(), spoken.node);
}

function note() {
  const text = "Drag a tip, or focus it with the tab key and press the arrow keys (0.1 a step; with ";
  return element("p", { class: "figure-note" }, `${text}Shift 1). The thick line is b’s shadow on a.`);
}

/** Every value as text, and the sign in words. */
function tell(a, b) {
  const product = dot(a, b);
  const [part, fallen] = [cosine(a, b), shadow(a, b)];
  const lengths = length(a) * length(b);
  const term = (i) => `${bracketed(a[i])} × ${bracketed(b[i])} = ${shown(a[i] * b[i])}`;
  const values = {
    a: `(${shown(a[0], 1)}, ${shown(a[1], 1)})`,
    b: `(${shown(b[0], 1)}, ${shown(b[1], 1)})`,
    first: term(0),
    second: term(1),
    dot: shown(product),
    "length-a": shown(length(a)),
    "length-b": shown(length(b)),
    angle: part === null ? "undefined" : `${shown((Math.acos(part) * 180) / Math.PI)}°`,
    cosine: part === null ? "undefined" : shown(part),
    lengths: part === null ? "undefined" : shown(lengths * part),
    shadow: fallen === null ? "undefined" : shown(fallen.signed),
  };
  return { values, words: inWords(a, b, Math.round(product * 100)) };
}

/** `sign` is the product in hundredths, a whole number on this grid, so that 0 is exactly 0. */
function inWords(a, b, sign) {
  if (length(a) === 0 || length(b) === 0) return "Zero: a zero vector has no direction.";
  if (sign === 0) return "Zero: a and b are at right angles.";
  return sign > 0 ? "Positive: θ is less than 90°." : "Negative: θ is more than 90°.";
}

function bracketed(value) {
  return value < 0 ? `(${shown(value, 1)})` : shown(value, 1);
}

/** The plane with both vectors: {drawing, tips, place(event), show(a, b)}. */
function drawPlane() {
  const size = 2 * MIDDLE;
  const what = { viewBox: `0 0 ${size} ${size}`, role: "group", "aria-label": "Plane with two vectors" };
  const drawing = shape("svg", { ...what, class: "plane" });
  drawing.append(shape("g", { "aria-hidden": "true" }, ...grid(size)));
  const line = shape("line", { class: "guide", "data-line": "along-a" });
  const drop = shape("line", { class: "guide", "data-line": "drop" });
  const thick = shape("line", { class: "line-c thick", "data-line": "shadow" });
  const arc = shape("path", { class: "arc" });
  drawing.append(line, drop, thick, arc);
  const arrows = { b: drawArrow("b"), a: drawArrow("a") };
  drawing.append(...arrows.a.parts, ...arrows.b.parts, arrows.a.tip, arrows.b.tip);
  return {
    drawing,
    tips: { a: arrows.a.tip, b: arrows.b.tip },
    /** Where a pointer is, in the vectors' own coordinates. */
    place(event) {
      const inverse = drawing.getScreenCTM().inverse();
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(inverse);
      return [(at.x - MIDDLE) / UNIT, (MIDDLE - at.y) / UNIT];
    },
    show(a, b) {
      arrows.a.show(a);
      arrows.b.show(b);
      change(arc, { d: arcBetween(a, b) });
      const fallen = shadow(a, b);
      for (const node of [line, drop, thick]) change(node, { visibility: fallen ? null : "hidden" });
      if (!fallen) return;
      const far = a.map((value) => (value / length(a)) * 2 * LIMIT);
      change(line, ends(far.map((value) => -value), far));
      change(drop, ends(b, fallen.vector));
      change(thick, ends([0, 0], fallen.vector));
    },
  };
}

function grid(size) {
  const lines = [];
  for (let at = -LIMIT; at <= LIMIT; at += 1) {
    const place = MIDDLE + at * UNIT;
    const kind = { class: at === 0 ? "axis" : "grid" };
    lines.push(shape("line", { ...kind, x1: place, x2: place, y1: 4, y2: size - 4 }));
    lines.push(shape("line", { ...kind, x1: 4, x2: size - 4, y1: place, y2: place }));
  }
  for (const at of [-4, -2, 2, 4]) {
    lines.push(label(MIDDLE + at * UNIT, MIDDLE + 15, shown(at, 0), { class: "small middle" }));
    lines.push(label(MIDDLE - 6, MIDDLE - at * UNIT + 4, shown(at, 0), { class: "small end" }));
  }
  return lines;
}

/** One vector: its line, its name, and the tip, which takes pointers and keys. */
function drawArrow(name) {
  const line = shape("line", { class: `line-${name} thick`, "data-line": name });
  const head = shape("circle", { class: `fill-${name}`, r: 7 });
  const text = label(0, 0, name, { class: "middle name" });
  const ring = shape("circle", { class: "ring", r: 12 });
  const reach = shape("circle", { class: "reach", r: 24 });
  const role = { role: "slider", tabindex: 0, "aria-label": `tip of ${name}` };
  const range = { "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT, "data-tip": name };
  const tip = shape("g", { ...role, ...range, class: "tip" }, reach, ring, head);
  return {
    tip,
    parts: [line, text],
    show(vector) {
      const [x, y] = onScreen(vector);
      change(line, ends([0, 0], vector));
      change(tip, {
        transform: `translate(${x} ${y})`,
        "aria-valuenow": vector[0],
        "aria-valuetext": `x ${shown(vector[0], 1)}, y ${shown(vector[1], 1)}`,
      });
      // The name stands beyond the tip, or to its side where that would leave the picture.
      const size = length(vector) || 1;
      const beyond = vector.map((value) => (value / size) * 0.72);
      const inside = vector.map((value, i) => {
        const to = value + beyond[i];
        return Math.abs(to) > LIMIT ? value - beyond[i] : to;
      });
      const [tx, ty] = onScreen(length(vector) ? inside : [0.5, name === "a" ? 0.5 : -0.7]);
      change(text, { x: tx, y: ty + 5 });
    },
  };
}

/** Let a tip be moved: pointers drag it, arrow keys step it. `to` takes the wanted place. */
function movable(tip, place, now, to) {
  let grip = null; // from the pointer to the tip, so that a grab off its middle does not move it
  tip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = place(event);
    grip = now().map((value, i) => value - at[i]);
    tip.setPointerCapture(event.pointerId);
    tip.focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
  });
  // Or the finger would scroll the page: browsers heed `touch-action` on a whole drawing, not on a
  // part of one, and beside the tips a finger shall scroll.
  tip.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
  tip.addEventListener("pointermove", (event) => {
    if (grip) to(place(event).map((value, i) => value + grip[i]));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    tip.addEventListener(end, () => (grip = null));
  }
  tip.addEventListener("keydown", (event) => {
    const way = KEYS[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    to(now().map((value, i) => value + way[i] * (event.shiftKey ? 1 : 0.1)));
  });
}

function onScreen([x, y]) {
  return [MIDDLE + x * UNIT, MIDDLE - y * UNIT];
}

function ends(from, to) {
  const [[x1, y1], [x2, y2]] = [onScreen(from), onScreen(to)];
  return { x1, y1, x2, y2 };
}

/** The angle as an arc near the origin, the short way round; nothing for a zero vector. */
function arcBetween(a, b) {
  if (cosine(a, b) === null) return "";
  const radius = 0.8;
  const at = (vector) => onScreen(vector.map((value) => (value / length(vector)) * radius));
  const [from, to] = [at(b), at(a)];
  const left = b[0] * a[1] - b[1] * a[0] > 0; // a lies to the left of b: counter-clockwise
  return `M${from}A${radius * UNIT},${radius * UNIT} 0 0 ${left ? 0 : 1} ${to}`;
}
