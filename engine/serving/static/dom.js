// Elements. All text comes in by way of text nodes, so that a name is a name whatever is in it.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (functions are listeners; null and false leave one out) and children, of which strings are text. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, legible(value));
  }
  put(element, ...children);
  return element;
}

/** Give an element these children in place of what it has; null and false are none. */
export function put(element, ...children) {
  const given = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.replaceChildren(...given.map((child) => (child instanceof Node ? child : legible(child))));
}

/** Set the text of an element that has nothing else, where it is another one. */
export function write(element, text) {
  const shown = legible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** A text in which nothing hides: control characters and marks that turn the direction of text are written out. */
export function legible(text) {
  return String(text).replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (each) => {
    const code = each.charCodeAt(0).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

export const PHASES = ["Running", "Pending", "Failed", "Error", "Succeeded", "Skipped", "Omitted"];

const SIGNS = { Running: "▶", Pending: "○", Failed: "✕", Error: "!", Succeeded: "✓", Skipped: "»", Omitted: "–" };

/** A phase as a mark that does not rely on colour. */
export function sign(phase) {
  return SIGNS[phase] ?? "?";
}

/** The class that gives something a phase's colour. */
export function tint(phase) {
  return PHASES.includes(phase) ? `is-${phase.toLowerCase()}` : "is-pending";
}

export function badge(phase) {
  return el("span", { class: `badge ${tint(phase)}` }, el("span", { "aria-hidden": "true" }, sign(phase)), ` ${phase}`);
}

/** The time between two moments, or until now; it goes on by itself where the second is missing. */
export function age(from, to, attributes = {}) {
  if (!from) return el("time", attributes, "–");
  const running = !to;
  return el(
    "time",
    { ...attributes, datetime: from, title: new Date(from).toLocaleString(), "data-since": running ? from : null },
    lasted(Date.parse(to ?? new Date().toISOString()) - Date.parse(from)),
  );
}

setInterval(() => {
  for (const each of document.querySelectorAll("[data-since]")) write(each, lasted(Date.now() - Date.parse(each.dataset.since)));
}, 1000);

function lasted(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const [unit, larger, each] = seconds < 3600 ? ["s", "min", 60] : seconds < 86400 ? ["min", "h", 3600] : ["h", "d", 86400];
  const rest = Math.floor(((seconds % each) / each) * (larger === "d" ? 24 : 60));
  return `${Math.floor(seconds / each)} ${larger}${rest ? ` ${rest} ${unit}` : ""}`;
}

/** Seconds as one reads them, with three digits. */
export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1) return `${value.toPrecision(3)} s`;
  return value >= 1e-3 ? `${(value * 1e3).toPrecision(3)} ms` : `${(value * 1e6).toPrecision(3)} µs`;
}

/** A count, with thin spaces between thousands. */
export function number(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** So many of a thing. */
export function counted(value, what) {
  return `${number(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** A rate: whole where it is large. */
export function rate(value) {
  return value >= 100 ? number(Math.round(value)) : value ? value.toPrecision(2) : "0";
}
