// What the interactive figures share: elements, numbers, sliders, choices, announcements.
//
// No framework and nothing loaded: a figure is a handful of DOM nodes that a function renews.
// Left out on purpose: motion. A picture changes because the reader moved something, at once.

const SVG = "http://www.w3.org/2000/svg";
const QUIET_MS = 500; // a value that stands this long is read out
let made = 0; // numbers the inputs, so that two figures on a page never share an id

/** An HTML element with attributes and children (nodes or text). */
export function element(name, attributes = {}, ...children) {
  const node = change(document.createElement(name), attributes);
  node.append(...children);
  return node;
}

/** The same in SVG. */
export function shape(name, attributes = {}, ...children) {
  const node = change(document.createElementNS(SVG, name), attributes);
  node.append(...children);
  return node;
}

/** Set attributes of a node; one that is null or false is taken away. Returns the node. */
export function change(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) node.removeAttribute(name);
    else node.setAttribute(name, value);
  }
  return node;
}

/** Text in a drawing. */
export function label(x, y, text, attributes = {}) {
  return shape("text", { x, y, ...attributes }, text);
}

/** A number as it is read: a fixed count of decimals, a true minus sign, never "−0.000". */
export function shown(value, decimals = 3) {
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
}

/**
 * A slider with its name before it and its value behind it: {row, input, show}.
 * `show(text, spoken)` writes the value; `spoken` is what a screen reader says instead.
 */
export function slider(name, { min, max, step, value }, oninput) {
  const id = `figure-slider-${(made += 1)}`;
  const input = element("input", { id, type: "range", min, max, step, value });
  const read = element("span", { class: "figure-value" });
  input.addEventListener("input", () => oninput(input.valueAsNumber));
  const row = element("div", { class: "figure-slider" });
  row.append(element("label", { for: id }, name), input, read);
  return {
    row,
    input,
    show(text, spoken = text) {
      read.textContent = text;
      change(input, { "aria-valuetext": spoken });
    },
  };
}

/**
 * One of several, as radio buttons: {group, choose(value)}. `options` are [value, text] pairs;
 * `onchange(value)` hears what the reader chose, not what `choose` did.
 */
export function choices(name, options, onchange) {
  const shared = `figure-choice-${(made += 1)}`;
  const group = element("fieldset", { class: "figure-choices" }, element("legend", {}, name));
  const inputs = options.map(([value, text]) => {
    const input = element("input", { type: "radio", name: shared, value });
    input.addEventListener("change", () => onchange(value));
    group.append(element("label", {}, input, text));
    return input;
  });
  return {
    group,
    choose(value) {
      for (const input of inputs) input.checked = input.value === String(value);
    },
  };
}

/** A button that puts everything back as it was. */
export function reset(onclick) {
  const button = element("button", { type: "button", class: "figure-reset" }, "Start again");
  button.addEventListener("click", onclick);
  return button;
}

/** A list of named values: {list, show(key, text)}, from [key, name] pairs. */
export function facts(pairs) {
  const list = element("dl", { class: "figure-facts" });
  const values = new Map();
  for (const [key, name] of pairs) {
    const value = element("dd", { "data-fact": key });
    values.set(key, value);
    list.append(element("div", {}, element("dt", {}, name), value));
  }
  return {
    list,
    show(key, text) {
      values.get(key).textContent = text;
    },
  };
}

/**
 * A region that a screen reader reads out: {node, say(text)}.
 * It waits until the reader's hand rests, so that a drag is one sentence and not a hundred.
 */
export function announcer() {
  const node = element("div", { class: "figure-spoken", role: "status", "aria-live": "polite" });
  let waiting;
  return {
    node,
    say(text) {
      clearTimeout(waiting);
      waiting = setTimeout(() => (node.textContent = text), QUIET_MS);
    },
  };
}

/** Put a live figure in the place of the still picture; the caption stays where it is. */
export function takePlace(figure, ...parts) {
  const live = element("div", { class: "figure-live" }, ...parts);
  const stills = [...figure.children].filter((child) => child.localName !== "figcaption");
  figure.prepend(live);
  for (const still of stills) still.remove();
}
