// A list of things that have phases, filtered by text and phase. It shows some hundred, and more of them when asked.

import { PHASES, el, number, put, sign, tint, write } from "./dom.js";

const AT_ONCE = 100;

/**
 * `of` says how they are called, `phases` which may be filtered by. Of a thing `keyOf` tells which it is, `textOf` what
 * is searched, `stateOf` what is to be drawn anew when it is another, and `link` makes its link from `draw`'s parts.
 */
export function listing({ of, phases = PHASES, keyOf, textOf, stateOf, addressOf, draw }) {
  let things = [];
  let text = "";
  let limit = AT_ONCE;
  let frame = 0;
  const chosen = new Set();
  const rows = new Map();

  const list = el("ul", { class: "list", "aria-label": of });
  const told = el("p", { class: "quiet", role: "status" });
  const more = el("button", { type: "button", hidden: true, click: () => show((limit += AT_ONCE)) }, "Show more");
  const search = el("input", {
    type: "search",
    placeholder: `Filter ${of}`,
    "aria-label": `Filter ${of}`,
    input: (event) => {
      text = event.target.value.trim().toLowerCase();
      show((limit = AT_ONCE));
    },
  });
  const chips = phases.map(chip);

  function chip(phase) {
    const count = el("span", { class: "count" }, "0");
    const button = el(
      "button",
      { type: "button", class: `chip ${tint(phase)}`, "aria-pressed": "false", click: press },
      el("span", { "aria-hidden": "true" }, sign(phase)),
      ` ${phase} `,
      count,
    );
    function press() {
      if (!chosen.delete(phase)) chosen.add(phase);
      button.setAttribute("aria-pressed", chosen.has(phase));
      show((limit = AT_ONCE));
    }
    return { phase, button, count };
  }

  function show() {
    const counts = new Map();
    for (const thing of things) counts.set(thing.phase, (counts.get(thing.phase) ?? 0) + 1);
    for (const each of chips) {
      const count = counts.get(each.phase) ?? 0;
      write(each.count, number(count));
      each.button.hidden = !count && !chosen.has(each.phase);
    }
    const found = things.filter((thing) => (!chosen.size || chosen.has(thing.phase)) && textOf(thing).toLowerCase().includes(text));
    const elements = found.slice(0, limit).map(row);
    // what has the focus keeps it as long as the order is the same
    if (elements.length !== list.children.length || elements.some((each, at) => each !== list.children[at])) put(list, elements);
    more.hidden = found.length <= limit;
    write(told, things.length ? `${number(found.length)} of ${number(things.length)} ${of}` : `There are no ${of} yet.`);
  }

  function row(thing) {
    const [key, state] = [keyOf(thing), stateOf(thing)];
    let last = rows.get(key);
    if (!last) {
      const link = el("a", { href: addressOf(thing) });
      rows.set(key, (last = { link, element: el("li", {}, link) }));
    }
    if (last.state !== state) put(last.link, draw(thing));
    last.state = state;
    return last.element;
  }

  return {
    element: el("div", {}, el("div", { class: "filters" }, search, el("div", { class: "chips" }, chips.map((each) => each.button))), told, list, more),
    /** These are the things now. */
    update(found) {
      things = found;
      if (rows.size > 2 * things.length + AT_ONCE) rows.clear();
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        show();
      });
    },
    fail: (error) => write(told, error.message),
  };
}
