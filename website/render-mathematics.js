// Sets formulas with KaTeX: `node render-mathematics.js katex.js < formulas.json > html.json`.
//
// In: [{"source": "x^2", "display": false}, ...]. Out, in the same order: {"html": ...}, or
// {"error": ...} for what KaTeX refuses, and for what it would only warn of.
"use strict";

const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

const katex = require(resolve(process.argv[2]));

function set({ source, display }) {
  try {
    const html = katex.renderToString(source, {
      displayMode: display,
      throwOnError: true,
      strict: "error",
      trust: false,
      output: "htmlAndMathml",
    });
    return { html };
  } catch (error) {
    return { error: String(error.message).replace(/^KaTeX parse error: /, "") };
  }
}

const asked = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(asked.map(set)));
