// The list of workflows, the newest first.

import { follow } from "./api.js";
import { age, badge, el, number, tint } from "./dom.js";
import { listing } from "./list.js";

export function workflows() {
  let known = new Map();
  const list = listing({
    of: "workflows",
    phases: ["Running", "Pending", "Failed", "Error", "Succeeded"],
    keyOf: (each) => each.uid,
    textOf: (each) => `${each.namespace}/${each.name}`,
    stateOf: (each) => JSON.stringify(each),
    addressOf,
    draw: (each) => [
      badge(each.phase),
      el("span", { class: "name" }, el("span", { class: "quiet" }, `${each.namespace}/`), each.name),
      progress(each),
      age(each.startedAt ?? each.createdAt, each.finishedAt, { class: "age" }),
      each.message ? el("span", { class: "message quiet" }, each.message) : null,
    ],
  });
  const leave = follow("/api/oarlock/workflows", {
    begin: () => (known = new Map()),
    hear: ({ workflows, gone }) => {
      for (const each of workflows) known.set(each.uid, each);
      for (const uid of gone) known.delete(uid);
      list.update([...known.values()].sort((a, b) => b.created - a.created));
    },
    fail: list.fail,
  });
  return { title: "Workflows", element: el("section", {}, el("h1", {}, "Workflows"), list.element), leave };
}

export function addressOf({ namespace, name }) {
  return `#/workflows/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

/** How many leaves are done, of how many, as text and as a bar. */
export function progress({ progress, phase }) {
  const [done, total] = progress.split("/").map(Number);
  if (!total) return el("span", { class: "progress" });
  return el(
    "span",
    { class: `progress ${tint(phase)}` },
    el("progress", { max: total, value: done, "aria-label": "Progress" }),
    el("span", {}, `${number(done)}/${number(total)}`),
  );
}
