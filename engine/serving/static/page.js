// Which view is shown: the part of the address after the # says so.

import { put } from "./dom.js";
import { plugins } from "./plugins.js";
import { workflow } from "./workflow.js";
import { workflows } from "./workflows.js";

const main = document.getElementById("main");
let shown = { path: null, leave: () => {} };

/** Parts of the path, and the options behind the question mark. */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const options = new URLSearchParams(query);
  try {
    return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), options };
  } catch {
    return { parts: [], options }; // what somebody has typed
  }
}

function show() {
  if (location.hash && !location.hash.startsWith("#/")) return; // a place in the page
  const { parts, options } = address();
  const isWorkflow = parts[0] === "workflows" && parts.length >= 3;
  const path = isWorkflow ? `workflows/${parts[1]}/${parts[2]}` : (parts[0] ?? "");
  if (path === shown.path) return shown.turn?.(options);
  const isFirst = shown.path === null;
  shown.leave();
  const view = isWorkflow ? workflow(parts[1], parts[2], options) : parts[0] === "plugins" ? plugins() : workflows();
  shown = { path, leave: view.leave ?? (() => {}), turn: view.turn };
  put(main, view.element);
  if (!isFirst) main.focus({ preventScroll: true }); // what had the focus is gone
  document.title = `${view.title} – Oarlock`;
  for (const link of document.querySelectorAll("body > header nav a")) {
    const mine = link.getAttribute("href") === (parts[0] === "plugins" ? "#/plugins" : "#/");
    if (mine) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
