// Brings the interactive figures of a page to life:
//
//     <figure class="interactive" data-figure="softmax"><img ...><figcaption>...</figcaption></figure>
//
// becomes what `mount(figure)` of ./softmax.js makes of it, at once or, where it answers with a
// promise, when that is kept. Where it fails, or scripts are off, the picture stays as it is.

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Mount one figure; resolves when it is live, or known to stay a picture. Never rejects. */
async function mount(figure) {
  const name = figure.dataset.figure ?? "";
  figure.dataset.state = "loading";
  try {
    if (!NAME.test(name)) throw new Error(`no name of a figure: "${name}"`);
    const module = await import(new URL(`./${name}.js`, import.meta.url).href);
    await module.mount(figure);
    figure.dataset.state = "live";
  } catch (error) {
    figure.dataset.state = "still";
    console.error(`The figure "${name}" stays a picture:`, error);
  }
}

/** Mount every figure of the page that has not been looked at yet. */
export function mountAll() {
  const waiting = document.querySelectorAll("figure.interactive:not([data-state])");
  return Promise.all([...waiting].map(mount));
}

mountAll();
// Where the site changes pages without loading them anew, it says so here.
globalThis.document$?.subscribe(mountAll);
