// Softmax with a temperature: five scores, the probabilities that they become, their entropy.
//
// The same as `softmax` of phase00.probability and `entropy` of phase00.information; it starts from
// the scores of phase00.plot_softmax, whose picture stands here where scripts are off.

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

const SCORES = [4, 3, 2, 1, 0];
const LIMIT = 5; // of a score, either way
const SUBSCRIPTS = "₁₂₃₄₅";
// In the drawing's own units.
const PLOT = { width: 320, height: 236, left: 30, right: 316, top: 26, bottom: 190 };
const BAR = 38;

/** exp(z_i / T) / sum_j exp(z_j / T); the largest score is taken away first, against overflow. */
export function softmax(scores, temperature = 1) {
  if (scores.length === 0) throw new RangeError("softmax needs at least one score");
  if (!(temperature > 0 && temperature < Infinity)) {
    throw new RangeError(`the temperature must be above 0 and finite, not ${temperature}`);
  }
  const largest = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp((score - largest) / temperature));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

/** -sum_i p_i ln p_i in nats; what never occurs adds nothing. */
export function entropy(probabilities) {
  return probabilities.reduce((total, p) => (p > 0 ? total - p * Math.log(p) : total), 0);
}

/** The outcomes from the largest value to the smallest: "z₁ > z₂ = z₃". */
export function order(values) {
  const ranked = values.map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value);
  return ranked
    .map(({ value, i }, rank) => {
      if (rank === 0) return outcome(i);
      return `${value === ranked[rank - 1].value ? "=" : ">"} ${outcome(i)}`;
    })
    .join(" ");
}

/** The temperature at a place of its slider, log10 T. Three digits: what is shown is what is used. */
export function temperatureAt(place) {
  return Number((10 ** place).toPrecision(3));
}

export function mount(figure) {
  const scores = [...SCORES];
  const plot = drawPlot();
  const values = facts([
    ["entropy", "entropy (at most ln 5)"],
    ["order", "order"],
  ]);
  const spoken = announcer();

  const warmth = { min: -1, max: 1, step: 0.01, value: 0 };
  const temperature = slider("temperature T", warmth, () => update());
  temperature.input.dataset.input = "temperature";
  const sliders = SCORES.map((score, i) => {
    const range = { min: -LIMIT, max: LIMIT, step: 0.1, value: score };
    const one = slider(`score ${outcome(i)}`, range, (value) => {
      scores[i] = value;
      update();
    });
    one.input.dataset.input = `score-${i + 1}`;
    return one;
  });

  function update({ announce = true } = {}) {
    const t = temperatureAt(temperature.input.valueAsNumber);
    const probabilities = softmax(scores, t);
    const nats = shown(entropy(probabilities));
    temperature.show(shown(t));
    sliders.forEach((one, i) => one.show(shown(scores[i], 1)));
    plot.show(scores, probabilities);
    values.show("entropy", `${nats} nats`);
    values.show("order", order(probabilities));
    const list = probabilities.map((p) => shown(p)).join(", ");
    if (announce) spoken.say(`Temperature ${shown(t)}: probabilities ${list}; entropy ${nats} nats`);
  }

  const again = reset(() => {
    temperature.input.value = 0;
    sliders.forEach((one, i) => (one.input.value = scores[i] = SCORES[i]));
    update();
  });
  update({ announce: false });
  const controls = element("div", { class: "figure-side" }, temperature.row);
  controls.append(...sliders.map((one) => one.row), values.list, again);
  takePlace(figure, plot.drawing, controls, formula(), spoken.node);
}

function outcome(i) {
  return `z${SUBSCRIPTS[i]}`;
}

function formula() {
  const text = "pᵢ = exp(zᵢ / T) / Σⱼ exp(zⱼ / T). A low T picks the largest score, a high T ";
  return element("p", { class: "figure-note" }, `${text}levels them; no T changes their order.`);
}

/** The axes and five bars: {drawing, show(scores, probabilities)}. */
function drawPlot() {
  const { width, height, left, right, top, bottom } = PLOT;
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  drawing.append(label(2, 12, "probability pᵢ", { class: "small" }));
  for (const tick of [0, 0.5, 1]) {
    const y = bottom - tick * (bottom - top);
    drawing.append(shape("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
    drawing.append(label(left - 5, y + 4, tick.toFixed(1), { class: "small end" }));
  }
  const bars = SCORES.map((_, i) => {
    const middle = left + ((i + 0.5) * (right - left)) / SCORES.length;
    const bar = shape("rect", { class: "fill-a", x: middle - BAR / 2, width: BAR, "data-bar": i + 1 });
    const value = label(middle, 0, "", { class: "middle strong" });
    const score = label(middle, bottom + 36, "", { class: "middle small" });
    drawing.append(bar, value, label(middle, bottom + 19, outcome(i), { class: "middle" }), score);
    return { bar, value, score };
  });
  drawing.append(shape("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  return {
    drawing,
    show(scores, probabilities) {
      bars.forEach(({ bar, value, score }, i) => {
        const tall = probabilities[i] * (bottom - top);
        change(bar, { y: bottom - tall, height: tall });
        change(value, { y: bottom - tall - 5 }).textContent = shown(probabilities[i]);
        score.textContent = shown(scores[i], 1);
      });
      const told = probabilities.map((p, i) => `${outcome(i)}: ${shown(p)}`).join(", ");
      change(drawing, { "aria-label": `Bars of the five probabilities. ${told}` });
    },
  };
}
