// One workflow: its picture or the list of its nodes, and beside it what there is to know of the node that was chosen.

import { follow } from "./api.js";
import { age, badge, el, put, sign, tint, write } from "./dom.js";
import { graph } from "./graph.js";
import { listing } from "./list.js";
import { pane } from "./node.js";
import { addressOf, progress } from "./workflows.js";

export function workflow(namespace, name, first) {
  const path = [namespace, name].map(encodeURIComponent).join("/");
  const here = addressOf({ namespace, name });
  const nodes = new Map();
  let options = first;
  let members = null;

  const addressFor = (changes) => {
    const next = new URLSearchParams(options);
    for (const [key, value] of Object.entries(changes)) if (value) next.set(key, value);
    else next.delete(key);
    return next.size ? `${here}?${next}` : here;
  };
  const nodeList = (of) =>
    listing({
      of,
      keyOf: (node) => node.id,
      textOf: (node) => node.name,
      stateOf: (node) => node.phase + node.message,
      addressOf: (node) => addressFor({ node: node.id }),
      draw: (node) => [
        el("span", { class: `sign ${tint(node.phase)}`, "aria-hidden": "true" }, sign(node.phase)),
        el("span", { class: "name" }, node.name),
        el("span", { class: "quiet" }, `${node.type} ${node.phase}`),
        node.message ? el("span", { class: "message quiet" }, node.message) : null,
      ],
    });

  const head = el("div", { class: "facts" });
  const told = el("p", { class: "error", role: "alert" });
  const picture = graph(({ node, group, members: some }) => {
    if (node) location.hash = addressFor({ node });
    else showGroup(group, some);
  });
  const list = nodeList("nodes");
  list.element.className = "nodes";
  const inner = el("p", { class: "inside", hidden: true });
  const side = el("aside", { "aria-label": "Node", hidden: true });
  const node = pane(path, close, (id) => addressFor({ in: id, node: null }));
  const ways = ["Graph", "List"].map((way) =>
    el("a", { href: addressFor({ view: way === "List" ? "list" : null }) }, way),
  );
  const element = el(
    "section",
    { class: "workflow", keydown: (event) => event.key === "Escape" && !side.hidden && close() },
    el("h1", {}, el("a", { href: "#/", class: "quiet" }, `${namespace}/`), name),
    head,
    told,
    el("nav", { class: "ways", "aria-label": "Ways to show it" }, ways),
    inner,
    el("div", { class: "split" }, el("div", { class: "stage" }, picture.element, list.element), side),
  );

  function close() {
    members = null;
    side.hidden = true;
    if (options.get("node")) location.hash = addressFor({ node: null });
    picture.focus();
  }

  function showGroup(label, some) {
    members = { list: nodeList(`nodes of ${label}`), ids: new Set(some.map((each) => each.id)) };
    put(side, el("button", { type: "button", class: "close", "aria-label": "Close", click: close }, "✕"), el("h2", {}, label), members.list.element);
    side.hidden = false;
    refresh();
  }

  /** What the address says is shown. */
  function turn(next) {
    const last = options.get("node");
    options = next;
    const [id, within, isList] = [options.get("node"), options.get("in"), options.get("view") === "list"];
    picture.element.hidden = isList;
    list.element.hidden = !isList;
    ways.forEach((link, at) => {
      link.href = addressFor({ view: at ? "list" : null });
      if (Boolean(at) === isList) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    picture.select(id);
    picture.enter(within);
    inner.hidden = !within;
    put(inner, "Inside ", el("strong", {}, nodes.get(within)?.name ?? within ?? ""), " – ", el("a", { href: addressFor({ in: null }) }, "show the whole workflow"));
    if (id && (id !== last || node.shows !== id)) {
      members = null;
      put(side, node.element);
      side.hidden = false;
      node.show(id, nodes.get(id));
    } else if (!id) {
      node.leave();
      if (!members) side.hidden = true;
    }
    refresh();
  }

  function refresh() {
    if (!list.element.hidden) list.update([...nodes.values()]);
    members?.list.update([...nodes.values()].filter((each) => members.ids.has(each.id)));
  }

  function hear({ workflow: about, anew, nodes: rows, gone }) {
    if (gone) {
      write(told, "The workflow was deleted.");
      return true;
    }
    if (about) {
      put(head, badge(about.phase), progress(about), age(about.startedAt ?? about.createdAt, about.finishedAt), about.message ? el("span", { class: "message" }, about.message) : null);
      return false;
    }
    if (anew) nodes.clear();
    let structure = anew;
    const changed = new Set();
    for (const row of rows) {
      const [id, phase, message, startedAt, finishedAt, children, ...rest] = row;
      const known = nodes.get(id) ?? { id, children: [] };
      if (rest.length) [known.name, known.type, known.template, known.boundary] = rest;
      structure ||= rest.length > 0 || children.length > 0;
      Object.assign(known, { phase: phase || "Pending", message, startedAt, finishedAt });
      known.children.push(...children);
      nodes.set(id, known);
      changed.add(id);
    }
    picture.update(nodes, structure);
    refresh();
    if (changed.has(node.shows)) node.show(node.shows, nodes.get(node.shows));
    return false;
  }

  turn(first);
  const stop = follow(`/api/oarlock/workflows/${path}`, { begin: () => nodes.clear(), hear, fail: (error) => write(told, error.message) });
  return {
    title: name,
    element,
    turn,
    leave() {
      stop();
      node.leave();
      picture.leave();
    },
  };
}
