// Cross-entropy against the probability that was given to the right answer: the curve -ln p.
//
// The same as `cross_entropy_naive` of phase00.probability for one example, and `perplexity` of
// phase00.information. phase00.plot_cross_entropy draws the picture where scripts are off.

import {
  announcer,
  change,
  element,
  facts,
  label,
  reset,
  shape,
  shown,
  slider,
  takePlace,
} from "./drawing.js";

const START = 0.5;
const TOP = 7; // nats; the loss at the slider's low end, p = 0.001, is 6.908
const PLOT = { width: 320, height: 262, left: 26, right: 308, top: 24, bottom: 218 };

/**
 * The loss -ln p of one example and what follows from it: {nats, bits, gradient, choices}.
 * `gradient` is d loss / d logit of the right answer, p - 1; `choices` is exp(nats) = 1 / p.
 */
export function crossEntropy(p) {
  if (!(p > 0 && p <= 1)) throw new RangeError(`p must be above 0 and at most 1, not ${p}`);
  const nats = 0 - Math.log(p); // -ln 1 would be -0
  return { nats, bits: nats / Math.LN2, gradient: p - 1, choices: Math.exp(nats) };
}

export function mount(figure) {
  const plot = drawPlot();
  const values = facts([
    ["nats", "loss in nats, −ln p"],
    ["bits", "loss in bits, −log₂ p"],
    ["gradient", "gradient at the right logit, p − 1"],
    ["choices", "equally likely answers, 1 / p"],
  ]);
  const words = element("p", { class: "figure-words" });
  const spoken = announcer();
  const range = { min: 0.001, max: 0.999, step: 0.001, value: START };
  const chosen = slider("probability p", range, () => update());
  chosen.input.dataset.input = "probability";

  function update({ announce = true } = {}) {
    const p = chosen.input.valueAsNumber;
    const loss = crossEntropy(p);
    chosen.show(shown(p), `probability ${shown(p)}`);
    for (const [key, value] of Object.entries(loss)) values.show(key, shown(value));
    const unsure = `As unsure as among ${shown(loss.choices)} equally likely answers.`;
    words.textContent = unsure;
    plot.show(p, loss.nats);
    const told = `Loss ${shown(loss.nats)} nats, ${shown(loss.bits)} bits; gradient`;
    if (announce) spoken.say(`${told} ${shown(loss.gradient)}. ${unsure}`);
  }

  const again = reset(() => {
    chosen.input.value = START;
    update();
  });
  update({ announce: false });
  const controls = element("div", { class: "figure-side" }, chosen.row, values.list, words, again);
  takePlace(figure, plot.drawing, controls, note(), spoken.node);
}

function note() {
  const text = "p is the probability given to the right answer. The loss has no upper bound; the ";
  return element("p", { class: "figure-note" }, `${text}gradient never leaves −1 to 0.`);
}

/** The curve, and a point on it: {drawing, show(p, nats)}. */
function drawPlot() {
  const { width, height, left, right, top, bottom } = PLOT;
  const across = (p) => left + p * (right - left);
  const down = (nats) => bottom - (nats / TOP) * (bottom - top);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  drawing.append(label(2, 12, "loss −ln p (nats)", { class: "small" }));
  for (let nats = 0; nats <= TOP; nats += 1) {
    const y = down(nats);
    drawing.append(shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
    drawing.append(label(left - 7, y + 4, nats, { class: "small end" }));
  }
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.append(label(across(tick), bottom + 17, tick, { class: "small middle" }));
  }
  const name = "probability p of the right answer";
  drawing.append(label(across(0.5), bottom + 37, name, { class: "small middle" }));
  const axes = `M${left},${top}V${bottom}H${right}`;
  drawing.append(shape("path", { class: "axis", d: axes }));
  drawing.append(shape("path", { class: "line-a", d: curve(across, down) }));
  const guide = shape("path", { class: "guide" });
  const point = shape("circle", { class: "fill-b", r: 6, "data-point": "loss" });
  const value = label(0, 0, "", { class: "strong" });
  drawing.append(guide, point, value);
  return {
    drawing,
    show(p, nats) {
      const [x, y] = [across(p), down(nats)];
      change(guide, { d: `M${left},${y}H${x}V${bottom}` });
      change(point, { cx: x, cy: y });
      // To the left of the point where the right has no room for it.
      change(value, { x: p < 0.7 ? x + 10 : x + 4, y: y - 10, class: p < 0.7 ? "strong" : "strong end" });
      value.textContent = shown(nats);
      const told = `The point is at p = ${shown(p)}, a loss of ${shown(nats)} nats.`;
      change(drawing, { "aria-label": `The curve of the loss, falling as p grows. ${told}` });
    },
  };
}

/** The path of -ln p from the top of the plot to p = 1, in steps that are even in the loss. */
function curve(across, down) {
  const steps = Array.from({ length: 141 }, (_, i) => TOP - (i * TOP) / 140);
  const points = steps.map((nats) => `${across(Math.exp(-nats)).toFixed(2)},${down(nats).toFixed(2)}`);
  return `M${points.join("L")}`;
}
