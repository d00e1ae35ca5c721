// What there is to know of one node: what it was given, what it gave, what it wrote, and who changed what about it.

import { ask, follow, guarded } from "./api.js";
import { age, badge, el, put, write } from "./dom.js";

const LINES = 2000;
const AGAIN = 3000; // milliseconds: what comes of passes that are aborted is no change of a node
const ENDS = ["Succeeded", "Failed", "Error", "Skipped", "Omitted"];
const INNER = ["DAG", "Steps", "TaskGroup", "StepGroup", "Retry"];

/** `path` is that of the workflow, `close` closes the pane, `inside` gives the address of what is in a node. */
export function pane(path, close, inside) {
  let shown = null;
  let followed = null; // the log of which pod
  let stopLog = () => {};
  let asked = 0;
  let timer = 0;
  const title = el("h2", {});
  const facts = el("dl", { class: "about" });
  const body = el("div", {});
  const story = el("ol", { class: "story" });
  const storyTold = el("p", { class: "quiet" });
  const log = el("pre", { class: "log", tabindex: "0", "aria-label": "Log" });
  const logTold = el("p", { class: "quiet" });
  const logPart = el("section", { hidden: true }, el("h3", {}, "Log"), log, logTold);
  const told = el("p", { class: "error", role: "alert" });
  const closing = el("button", { type: "button", class: "close", "aria-label": "Close", click: close }, "✕");
  const element = el("div", {}, closing, title, told, facts, body, el("section", {}, el("h3", {}, "Story"), story, storyTold), logPart);

  async function show(id, known) {
    if (shown !== id) {
      leave();
      shown = id;
      put(title, known?.name ?? id);
      put(facts);
      put(body);
      put(story);
      write(storyTold, "");
    }
    const mine = ++asked;
    clearTimeout(timer);
    try {
      const response = await ask(`/api/oarlock/workflows/${path}/${encodeURIComponent(id)}`);
      const { node, pod, story: events } = await response.json();
      if (mine !== asked) return;
      write(told, "");
      draw(node);
      put(story, (events ?? []).map(event));
      const nothing = events ? "No plugin had anything to say to it since the server began." : "This engine has no recorder.";
      write(storyTold, events?.length ? "" : nothing);
      if (pod && node.phase !== "Pending") read(node);
      if (!ENDS.includes(node.phase)) timer = setTimeout(() => document.hidden || show(id, known), AGAIN);
    } catch (error) {
      if (mine === asked) write(told, error.message);
    }
  }

  function draw(node) {
    put(title, node.displayName);
    const rows = [
      ["Phase", badge(node.phase || "Pending")],
      ["Message", node.message],
      ["Type", node.type],
      ["Template", node.templateRef ? `${node.templateRef.name}/${node.templateRef.template}` : node.templateName],
      ["Began", node.startedAt && new Date(node.startedAt).toLocaleString()],
      ["Progress", node.progress],
      ["Lasted", node.startedAt && age(node.startedAt, node.finishedAt)],
      ["Name", node.name],
      ["Id", node.id],
    ];
    put(facts, rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    put(
      body,
      INNER.includes(node.type) && node.children ? el("p", {}, el("a", { href: inside(node.id) }, "Show only what is inside")) : null,
      values("Inputs", node, node.inputs, "input-artifacts"),
      values("Outputs", node, node.outputs, "artifacts"),
    );
  }

  function values(name, node, given, way) {
    const parameters = [...(given?.parameters ?? [])].map((each) => [each.name, text(each.value ?? each.valueFrom)]);
    if (given?.result !== undefined) parameters.push(["result", text(given.result)]);
    if (given?.exitCode !== undefined) parameters.push(["exit code", text(given.exitCode)]);
    const artifacts = (given?.artifacts ?? []).map((each) => [each.name, artifact(node, each, way)]);
    const rows = [...parameters, ...artifacts];
    return el(
      "section",
      {},
      el("h3", {}, name),
      rows.length
        ? el("table", {}, el("tbody", {}, rows.map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, value)))))
        : el("p", { class: "quiet" }, "None"),
    );
  }

  /** A link to an artifact, or where a token is wanted, which a link cannot have, a button. */
  function artifact(node, { name }, way) {
    const address = `/${way}/${path}/${encodeURIComponent(node.id)}/${encodeURIComponent(name)}`;
    if (!guarded()) return el("a", { href: address, download: name }, "download");
    return el("button", { type: "button", click: () => save(address, name) }, "Download");
  }

  async function save(address, name) {
    try {
      const url = URL.createObjectURL(await (await ask(address)).blob());
      el("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      write(told, error.message);
    }
  }

  function read(node) {
    if (followed === node.id) return;
    followed = node.id;
    logPart.hidden = false;
    let lines = [];
    let isDue = false;
    write(logTold, "");
    const query = new URLSearchParams({ "logOptions.container": "main", "logOptions.follow": "true", "logOptions.tailLines": LINES });
    stopLog = follow(`/api/v1/workflows/${path}/${encodeURIComponent(node.id)}/log?${query}`, {
      ends: true,
      begin: () => (lines = []),
      hear: ({ content }) => {
        lines.push(content);
        if (!isDue) requestAnimationFrame(drawLines);
        isDue = true;
      },
      fail: (error) => write(logTold, error.status === 404 ? "It has left no log." : error.message),
    });

    function drawLines() {
      isDue = false;
      if (followed !== node.id) return;
      const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 5;
      if (lines.length > LINES) lines = lines.slice(-LINES);
      put(log, lines.join("\n"));
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    }
  }

  function leave() {
    stopLog();
    shown = followed = null;
    asked++;
    clearTimeout(timer);
    logPart.hidden = true;
    put(log);
  }

  return {
    element,
    show,
    leave,
    get shows() {
      return shown;
    },
  };
}

/** One thing that a plugin had to say, and what came of it. */
function event({ at, times, pass, plugin, method, outcome, status, error, changed, observed, known, takenBack }) {
  const time = new Date(at * 1000);
  const failed = outcome !== "answered" || error;
  const said = failed ? `failed: ${error || outcome.replaceAll("_", " ")}${status ? ` (${status})` : ""}` : changed.length ? "answered" : "answered, which changed nothing";
  return el(
    "li",
    { class: failed ? "fails" : changed.length && !takenBack && !observed ? "changes" : null },
    el("time", { class: "quiet", datetime: time.toISOString(), title: `Pass ${pass}` }, time.toLocaleTimeString()),
    " ",
    el("b", {}, plugin),
    ` was asked ${method} and ${said}`,
    known ? " (an answer from before)" : null,
    times > 1 ? `, ${times} times` : null,
    changed.map(({ field, old, new: now }) =>
      el("span", { class: "change" }, `${observed ? "would change " : ""}${field}: `, old ? [el("del", {}, old), " → "] : null, el("ins", {}, now ?? "none")),
    ),
    takenBack ? el("span", { class: "change quiet" }, `Taken back with its pass: ${takenBack}`) : null,
  );
}

function text(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}
