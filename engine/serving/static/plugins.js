// The plugins: who is slow, who fails, who is left alone. Every figure is that of /metrics; docs/page.md says which.

import { follow } from "./api.js";
import { counted, el, number, put, rate, seconds, write } from "./dom.js";
import { sparkline } from "./sparkline.js";

const MOST = 300; // samples
const RECENT = 10; // of which the rate is told
const SHARD = ["Shard", "Breaker", "In flight", "Waiting", "Limit"];

export function plugins() {
  const rows = new Map();
  const told = el("p", { class: "quiet", role: "status" });
  const list = el("div", { class: "plugins" });

  function hear({ every, plugins }) {
    const slowest = Math.max(...plugins.map((each) => each.travelled.p99 ?? 0));
    for (const each of plugins) {
      if (!rows.has(each.name)) rows.set(each.name, plugin(each));
      rows.get(each.name).update(each, every, slowest);
    }
    const names = new Set(plugins.map((each) => each.name));
    for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
    const elements = plugins.map((each) => rows.get(each.name).element);
    if (elements.length !== list.children.length || elements.some((each, at) => each !== list.children[at])) put(list, elements);
    write(told, plugins.length ? "Since the server began; the pictures show the last five minutes." : "This server has no plugins: oarlock serve --config names them.");
  }

  const leave = follow("/api/oarlock/plugins", { begin: () => rows.clear(), hear, fail: (error) => write(told, error.message) });
  return { title: "Plugins", element: el("section", {}, el("h1", {}, "Plugins"), told, list), leave };
}

function plugin({ name }) {
  const samples = [];
  const cells = {};
  const cell = (key, title) => {
    cells[key] = el("dd", { "data-figure": key });
    return el("div", {}, el("dt", {}, title), cells[key]);
  };
  const breaker = el("span", { class: "badge" });
  const address = el("span", { class: "quiet" });
  const methods = el("tbody");
  const outcomes = el("p", { class: "quiet" });
  const shards = el("tbody");
  const titles = ["Method", "Calls", "Errors", "Travelled p50", "p99", "Waited p50", "p99"];
  const element = el(
    "article",
    { class: "plugin", "data-plugin": name, "aria-label": name },
    el("header", {}, el("h2", {}, name), breaker, address),
    el(
      "dl",
      { class: "figures" },
      cell("calls", "Calls"),
      cell("rate", "Calls/s"),
      cell("travelled", ["Travelled ", ...keys()]),
      cell("waited", ["Waited ", ...keys()]),
      cell("errors", "Errors"),
      cell("limit", "In flight, waiting, limit"),
    ),
    el(
      "details",
      {},
      el("summary", {}, "By method"),
      outcomes,
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, titles.map((each) => el("th", { scope: "col" }, each)))), methods)),
    ),
  );
  const byShard = el(
    "details",
    { hidden: true },
    el("summary", {}, "By shard"),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, SHARD.map((each) => el("th", { scope: "col" }, each)))), shards)),
  );
  element.append(byShard);

  function update(each, every, slowest) {
    samples.push(...each.samples);
    samples.splice(0, samples.length - MOST);
    const bad = each.shards?.filter((shard) => shard.breaker !== "closed").length;
    const where = bad ? ` in ${bad} of ${each.shards.length} shards` : "";
    write(breaker, `breaker ${each.breaker}${where}${each.breakerOpened ? `, opened ${counted(each.breakerOpened, "time")}` : ""}`);
    breaker.className = `badge ${{ closed: "is-succeeded", open: "is-failed" }[each.breaker] ?? "is-running"}`;
    write(address, each.mode === "observe" ? `${each.address} (observes)` : each.address);
    const recent = samples.slice(-RECENT);
    const now = (key) => recent.reduce((sum, sample) => sum + sample[key], 0) / recent.length;
    const series = (key, at) => samples.map((sample) => (at === undefined ? sample[key] : sample[key][at]));
    const spans = (key) => [
      { kind: "p99", values: series(key, 1) },
      { kind: "p50", values: series(key, 0) },
    ];
    const minutes = Math.round((MOST * every) / 60);
    const picture = (label, lines) => sparkline(`${label} over the last ${minutes} minutes`, lines, MOST);
    put(cells.calls, el("b", {}, number(each.calls)), each.retries ? `, ${number(each.retries)} again` : null);
    put(cells.rate, el("b", {}, rate(now("calls"))), picture("Calls a second", [{ kind: "calls", values: series("calls") }]));
    put(cells.travelled, ...quantiles(each.travelled), picture("Time travelled", spans("travelled")), share(each.travelled.p99, slowest));
    put(cells.waited, ...quantiles(each.waited), picture("Time waited", spans("waited")));
    const errors = { kind: each.errors ? "errors" : "limit", values: series("errors") };
    const top = Math.max(...errors.values) || 1;
    const open = { kind: "open", values: samples.map((sample) => (sample.breaker === "closed" ? null : top)) };
    put(
      cells.errors,
      el("b", { class: each.errors ? "bad" : null }, number(each.errors)),
      picture("Errors a second, and when the breaker was open", [errors, open]),
    );
    put(cells.limit, el("b", {}, `${each.inFlight}, ${each.waiting}, ${each.limit}`), picture("Requests in flight, and their limit", [{ kind: "limit", values: series("limit") }, { kind: "calls", values: series("inFlight") }]));
    const known = Object.entries(each.outcomes).map(([outcome, count]) => `${number(count)} ${outcome.replaceAll("_", " ")}`);
    if (each.unknownFields) known.push(counted(each.unknownFields, "unknown field"));
    write(outcomes, known.join(", "));
    put(methods, each.methods.map(byMethod));
    byShard.hidden = !each.shards;
    put(shards, (each.shards ?? []).map(ofShard));
  }

  return { element, update };
}

function ofShard({ shard, breaker, inFlight, waiting, limit }) {
  return el("tr", { "data-shard": shard }, el("th", { scope: "row" }, shard), [breaker, inFlight, waiting, limit].map((each) => el("td", {}, `${each}`)));
}

/** What lines are in which colour. */
function keys() {
  return [el("span", { class: "key p50" }, "p50"), ", ", el("span", { class: "key p99" }, "p99")];
}

function quantiles({ p50, p99 }) {
  return [el("b", {}, seconds(p50)), ", ", el("b", {}, seconds(p99))];
}

/** How long a bar is beside that of the slowest. */
function share(value, most) {
  return el("meter", { min: 0, max: most || 1, value: value ?? 0, "aria-label": "p99, of that of the slowest plugin" });
}

function byMethod({ name, calls, errors, waited, travelled }) {
  const figures = [number(calls), number(errors), ...[travelled, waited].flatMap((each) => [seconds(each.p50), seconds(each.p99)])];
  return el("tr", {}, el("th", { scope: "row" }, name), figures.map((each) => el("td", {}, each)));
}
