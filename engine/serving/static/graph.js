// The picture of a workflow. What is near has a box with its name; from afar, or where there are too many, all of one
// phase are one path, so that there are never more than some hundred boxes however many nodes there are.

import { PHASES, counted, el, legible, number, put, sign, svg, tint, write } from "./dom.js";
import { BOX, CELL, layout } from "./layout.js";

const NEAR = 0.45; // the scale from which on names can be read
const MOST = 250; // boxes at a time
const SCALES = [0.01, 2.5];
const FIRST_SCALE = 0.7;
const STEP = 1.25;
const WORST = ["Failed", "Error", "Running", "Pending", "Succeeded", "Skipped", "Omitted"];

/** `choose` is called with what was clicked: `{node}`, or `{group}` with the nodes that are its members. */
export function graph(choose) {
  const opened = new Set();
  let nodes = new Map();
  let scope = null;
  let units = [];
  let byId = new Map();
  let view = { x: 0, y: 0, scale: 1 };
  let moved = false;
  let cursor = null;
  let selected = null;
  let frame = 0;
  let planned = 0;
  let took = 0;
  let stale = false;
  let version = 0; // of what there is to draw from afar
  let drawnVersion = -1;
  const drawn = new Map();

  const far = svg("g", { class: "far" });
  const edges = svg("path", { class: "edges" });
  const near = svg("g");
  const world = svg("g", {}, edges, far, near);
  const label = "Graph. Arrow keys go from node to node, Enter shows one, plus and minus zoom, 0 shows all.";
  const canvas = svg("svg", { class: "graph", tabindex: "0", role: "application", "aria-label": label }, world);
  const told = el("p", { class: "unseen", role: "status" });
  const tool = (text, name, action) => el("button", { type: "button", title: name, "aria-label": name, click: action }, text);
  const element = el(
    "div",
    { class: "picture" },
    canvas,
    told,
    el(
      "div",
      { class: "tools" },
      tool("+", "Nearer", () => zoom(STEP)),
      tool("−", "Farther", () => zoom(1 / STEP)),
      tool("⤢", "Show all", fit),
    ),
  );

  // What there is to draw

  /** Nodes have changed; `structure` says that there are others, or other edges. */
  function update(found, structure) {
    nodes = found;
    version++;
    stale ||= structure;
    if (!stale) return redraw();
    // a large one is not laid out more than a tenth of the time
    planned ||= setTimeout(() => {
      planned = 0;
      arrange();
    }, 10 * took);
  }

  function arrange() {
    const began = performance.now();
    stale = false;
    version++;
    units = layout(nodes, opened, scope);
    byId = new Map(units.map((unit) => [unit.id, unit]));
    cursor = byId.get(cursor?.id) ?? null;
    for (const unit of units) unit.path = unit.edges.map((edge) => curve(unit, edge)).join("");
    took = performance.now() - began;
    element.dataset.units = units.length;
    if (!moved) begin();
    redraw();
  }

  function redraw() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }

  function draw() {
    const { clientWidth: width, clientHeight: height } = canvas;
    world.setAttribute("transform", `scale(${view.scale}) translate(${-view.x} ${-view.y})`);
    const [right, bottom] = [view.x + width / view.scale, view.y + height / view.scale];
    const seen = view.scale < NEAR ? [] : units.filter((unit) => touches(unit, view.x, view.y, right, bottom));
    const isNear = view.scale >= NEAR && seen.length <= MOST;
    const boxes = isNear ? seen : units.filter((unit) => unit.opened && touches(unit, view.x, view.y, right, bottom));
    const wanted = new Set(boxes.map((unit) => unit.id));
    for (const [id, box] of drawn) {
      if (wanted.has(id)) continue;
      box.element.remove();
      drawn.delete(id);
    }
    for (const unit of boxes) drawBox(unit);
    if (isNear || version !== drawnVersion) {
      put(far, isNear ? [] : shades(units.filter((unit) => !unit.opened), (unit) => summary(unit).worst, rectangle));
      const isSeen = (unit) => unit.edges.some((edge) => crosses(unit, edge, view.x, view.y, right, bottom));
      const path = (isNear ? units.filter(isSeen) : units).map((unit) => unit.path).join("");
      if (edges.getAttribute("d") !== path) edges.setAttribute("d", path);
      drawnVersion = isNear ? -1 : version;
    }
    if (drawn.has(cursor?.id)) canvas.setAttribute("aria-activedescendant", drawn.get(cursor.id).element.id);
    else canvas.removeAttribute("aria-activedescendant");
    element.dataset.scale = view.scale.toFixed(3);
  }

  function drawBox(unit) {
    let box = drawn.get(unit.id);
    if (!box) {
      box = { element: svg("g", { id: `unit-${unit.id}` }), state: "" };
      drawn.set(unit.id, box);
      near.append(box.element);
    }
    const { counts, worst } = summary(unit);
    const isSelected = unit.members.some((node) => node.id === selected);
    const state = JSON.stringify([[...counts], unit.members.length, unit === cursor, isSelected && selected, unit.x, unit.y]);
    if (state === box.state) return;
    box.state = state;
    const marks = `unit ${tint(worst)}${unit === cursor ? " cursor" : ""}${isSelected ? " selected" : ""}${unit.label ? " group" : ""}`;
    box.element.setAttribute("class", marks);
    box.element.setAttribute("transform", `translate(${unit.x} ${unit.y})`);
    put(box.element, unit.label ? group(unit, counts, worst) : single(unit.members[0]));
  }

  function single(node) {
    return [
      svg("title", {}, `${node.name}\n${node.type} ${node.phase}${node.message ? `\n${node.message}` : ""}`),
      svg("rect", { class: "box", width: BOX.width, height: BOX.height, rx: 8 }),
      svg("text", { class: "sign", x: 16, y: 24 }, sign(node.phase)),
      words(
        svg("text", { class: "label", y: 17 }, shortened(node.name)),
        svg("text", { class: "sub", y: 31 }, [node.type, node.template].filter(Boolean).join(" · ")),
      ),
    ];
  }

  function group(unit, counts, worst) {
    const { width, height, members } = unit;
    let x = 12;
    const bar = PHASES.filter((phase) => counts.get(phase)).map((phase) => {
      const part = (counts.get(phase) / members.length) * (BOX.width - 24);
      const rect = svg("rect", { class: `part ${tint(phase)}`, x, y: 34, width: part, height: 6 });
      x += part;
      return rect;
    });
    const told = PHASES.filter((phase) => counts.get(phase)).map((phase) => `${number(counts.get(phase))} ${phase}`);
    const cells = unit.opened
      ? [
          ...shades(members.map((node, at) => ({ node, ...cellOf(unit, at) })), (cell) => cell.node.phase, square),
          ...members.flatMap((node, at) => {
            if (node.id !== selected) return [];
            const cell = cellOf(unit, at);
            return svg("rect", { class: "chosen", x: cell.x - 2, y: cell.y - 2, width: CELL.size + 4, height: CELL.size + 4, rx: 4 });
          }),
        ]
      : [];
    return [
      svg("title", {}, `${unit.label}: ${told.join(", ")}`),
      unit.opened ? null : svg("rect", { class: "behind", x: 5, y: 5, width, height, rx: 8 }),
      svg("rect", { class: "box", width, height, rx: 8 }),
      svg("text", { class: "sign", x: 16, y: 23 }, sign(worst)),
      words(svg("text", { class: "label", y: 22 }, shortened(unit.label, ` × ${number(members.length)}`))),
      ...bar,
      ...cells,
    ];
  }

  // Where one looks

  function bounds() {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const unit of units) {
      [left, top] = [Math.min(left, unit.x), Math.min(top, unit.y)];
      [right, bottom] = [Math.max(right, unit.x + unit.width), Math.max(bottom, unit.y + unit.height)];
    }
    return { left, top, width: right - left, height: bottom - top };
  }

  /** The scale at which all is seen. */
  function fitting({ width, height }) {
    return limited(Math.min(canvas.clientWidth / (width + 40), canvas.clientHeight / (height + 40), 1));
  }

  function fit() {
    if (!units.length) return;
    moved = false;
    centre(bounds(), fitting(bounds()));
  }

  /** Begin where names can be read, though all of it may not be seen. */
  function begin() {
    if (!units.length || !canvas.clientWidth) return;
    const all = bounds();
    const scale = Math.max(fitting(all), FIRST_SCALE);
    centre(all, scale);
    if (all.width * scale > canvas.clientWidth) view.x = all.left - 20 / scale;
    if (all.height * scale > canvas.clientHeight) view.y = units[0].y + units[0].height / 2 - canvas.clientHeight / 2 / scale;
  }

  function centre({ left, top, width, height }, scale) {
    view = {
      scale,
      x: left + width / 2 - canvas.clientWidth / 2 / scale,
      y: top + height / 2 - canvas.clientHeight / 2 / scale,
    };
    redraw();
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    moved = true;
    const scale = limited(view.scale * factor);
    view = { scale, x: view.x + x / view.scale - x / scale, y: view.y + y / view.scale - y / scale };
    redraw();
  }

  function pan(x, y) {
    moved = true;
    view = { ...view, x: view.x - x / view.scale, y: view.y - y / view.scale };
    redraw();
  }

  function show(unit) {
    const [width, height] = [canvas.clientWidth / view.scale, canvas.clientHeight / view.scale];
    const edge = 24 / view.scale;
    const x = Math.min(Math.max(view.x, unit.x + unit.width + edge - width), unit.x - edge);
    const y = Math.min(Math.max(view.y, unit.y + unit.height + edge - height), unit.y - edge);
    if (x === view.x && y === view.y) return;
    moved = true;
    view = { ...view, x, y };
  }

  // What one does

  function act(unit, node = null) {
    cursor = unit;
    if (node || !unit.label) return choose({ node: (node ?? unit.members[0]).id });
    if (!opened.delete(unit.id)) opened.add(unit.id);
    moved = true;
    choose({ group: unit.label, members: unit.members });
    arrange();
    const now = byId.get(unit.id);
    if (now.width * view.scale > canvas.clientWidth || now.height * view.scale > canvas.clientHeight) {
      centre({ left: now.x, top: now.y, ...now }, fitting(now));
    } else show(now);
  }

  function unitAt(event) {
    const { left, top } = canvas.getBoundingClientRect();
    const [x, y] = [view.x + (event.clientX - left) / view.scale, view.y + (event.clientY - top) / view.scale];
    const unit = units.find((each) => touches(each, x, y, x, y));
    if (!unit?.opened) return { unit };
    const column = Math.floor((x - unit.x - CELL.margin) / CELL.step);
    const row = Math.floor((y - unit.y - CELL.head) / CELL.step);
    return { unit, node: column >= 0 && column < unit.columns && row >= 0 ? unit.members[row * unit.columns + column] : null };
  }

  const pointers = new Map();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (!pointers.size) dragged = 0;
    pointers.set(event.pointerId, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [x, y] = [event.clientX - last.clientX, event.clientY - last.clientY];
    dragged += Math.abs(x) + Math.abs(y);
    if (dragged < 5) return;
    if (!canvas.hasPointerCapture(event.pointerId)) canvas.setPointerCapture(event.pointerId);
    const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
    if (other) {
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      const { left, top } = canvas.getBoundingClientRect();
      zoom(apart(event) / apart(last), (event.clientX + other.clientX) / 2 - left, (event.clientY + other.clientY) / 2 - top);
    } else pan(x, y);
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("click", (event) => {
    if (dragged >= 5) return;
    const { unit, node } = unitAt(event);
    if (unit) act(unit, node);
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { left, top } = canvas.getBoundingClientRect();
      zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 60) * 0.004), event.clientX - left, event.clientY - top);
    },
    { passive: false },
  );
  canvas.addEventListener("keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || !units.length) return;
    event.preventDefault();
    action();
  });
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && go(cursor ?? units[0]));

  const nearest = (some) => {
    const far = (unit) => Math.abs(unit.y + unit.height / 2 - cursor.y - cursor.height / 2);
    return some.toSorted((a, b) => far(a) - far(b))[0];
  };
  const beside = (by) => {
    const row = units.filter((unit) => unit.layer === cursor.layer).sort((a, b) => a.x - b.x || a.y - b.y);
    return row[row.indexOf(cursor) + by];
  };
  const keys = {
    ArrowRight: () => go(nearest([...cursor.next])),
    ArrowLeft: () => go(nearest(cursor.before)),
    ArrowUp: () => go(beside(-1)),
    ArrowDown: () => go(beside(1)),
    Home: () => go(units[0]),
    Enter: () => act(cursor),
    " ": () => act(cursor),
    "+": () => zoom(STEP),
    "=": () => zoom(STEP),
    "-": () => zoom(1 / STEP),
    0: fit,
  };

  function go(unit) {
    if (!unit) return;
    cursor = unit;
    show(unit);
    const [node] = unit.members;
    write(told, unit.label ? `Group ${unit.label}, ${counted(unit.members.length, "node")}` : `${node.name}, ${node.type}, ${node.phase}`);
    redraw();
  }

  const sized = new ResizeObserver(() => {
    if (!moved) begin();
    const chosen = units.find((unit) => unit.members.some((node) => node.id === selected));
    if (chosen) show(chosen);
    redraw();
  });
  sized.observe(canvas);

  return {
    element,
    update,
    focus: () => canvas.focus(),
    /** Mark a node as the one that is looked at, null for none. */
    select(id) {
      selected = id;
      redraw();
    },
    /** Show the inside of one node only, or all where it is null. */
    enter(id) {
      if (id === scope) return;
      scope = id;
      moved = false;
      cursor = null;
      arrange();
      cursor = units[0] ?? null;
    },
    leave() {
      sized.disconnect();
      clearTimeout(planned);
      cancelAnimationFrame(frame);
    },
  };
}

/** How many of a unit's nodes are in which phase, and the phase of which one has to hear first. */
function summary(unit) {
  const counts = new Map();
  for (const node of unit.members) counts.set(node.phase, (counts.get(node.phase) ?? 0) + 1);
  return { counts, worst: WORST.find((phase) => counts.has(phase)) ?? "Pending" };
}

/** One path for all things of a phase. */
function shades(things, phaseOf, shape) {
  const paths = new Map();
  for (const thing of things) {
    const phase = phaseOf(thing);
    if (!paths.has(phase)) paths.set(phase, []);
    paths.get(phase).push(shape(thing));
  }
  return [...paths].map(([phase, parts]) => svg("path", { class: `shade ${tint(phase)}`, d: parts.join("") }));
}

function rectangle({ x, y, width, height }) {
  return `M${x | 0} ${y | 0}h${width}v${height}h${-width}z`;
}

function square({ x, y }) {
  return `M${x} ${y}h${CELL.size}v${CELL.size}h${-CELL.size}z`;
}

function cellOf(unit, at) {
  return {
    x: CELL.margin + (at % unit.columns) * CELL.step,
    y: CELL.head + Math.floor(at / unit.columns) * CELL.step,
  };
}

/** The path of an edge: out to the right, round what is between, in from the left. */
function curve(from, { to, via }) {
  let [x, y] = [from.x + from.width, from.y + from.height / 2];
  let path = `M${x.toFixed(1)} ${y.toFixed(1)}`;
  for (const each of [...via, to]) {
    const [endX, endY] = [each.x, each.y + each.height / 2];
    const half = (endX - x) / 2;
    path += `C${(x + half).toFixed(1)} ${y.toFixed(1)} ${(endX - half).toFixed(1)} ${endY.toFixed(1)} ${endX.toFixed(1)} ${endY.toFixed(1)}`;
    [x, y] = [endX, endY];
    if (each.isBend) path += `h${each.width}`;
    if (each.isBend) x += each.width;
  }
  return path;
}

function touches(unit, left, top, right, bottom) {
  return unit.x <= right && unit.x + unit.width >= left && unit.y <= bottom && unit.y + unit.height >= top;
}

function crosses(unit, { to, via }, left, top, right, bottom) {
  const all = [unit, ...via, to];
  return (
    Math.min(...all.map((each) => each.x)) <= right &&
    Math.max(...all.map((each) => each.x + each.width)) >= left &&
    Math.min(...all.map((each) => each.y)) <= bottom &&
    Math.max(...all.map((each) => each.y + each.height)) >= top
  );
}

function limited(scale) {
  return Math.min(Math.max(scale, SCALES[0]), SCALES[1]);
}

/** Text in a box, of which nothing sticks out. */
function words(...lines) {
  return svg("svg", { x: 32, width: BOX.width - 38, height: BOX.height }, lines);
}

function shortened(text, end = "") {
  const [shown, most] = [legible(text), 21 - end.length];
  return (shown.length <= most ? shown : `${shown.slice(0, most - 7)}…${shown.slice(-6)}`) + end;
}
