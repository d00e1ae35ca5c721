// Where everything in the picture of a workflow is: layers from left to right, by the longest way from the beginning.
//
// A loop of thousands is one thing to whoever looks at it. So children of one node that are of one kind are a group,
// with all that is inside them and, since the same goes for what comes after a group, with what follows each of them.

export const BOX = { width: 176, height: 38, across: 56, between: 12 };
export const CELL = { size: 14, step: 17, margin: 10, head: 46 };

const LOOP = 12; // turns of a loop from which on they are a group
const ALIKE = 30; // and nodes of one template
const TALLEST = 150; // boxes above each other
const SWEEPS = 6;
const DUMMIES = 4000; // bends that edges may have at all

/**
 * Units are what is drawn: nodes, and groups of them. `nodes` is a map by id, `opened` has the ids of groups that show
 * their members, `scope` is the node of which only the inside is wanted.
 */
export function layout(nodes, opened, scope) {
  const units = unite(nodes, scope);
  layer(units);
  const layers = order(units, opened);
  place(layers);
  return units.filter((unit) => !unit.isBend);
}

// What is a unit

function unite(nodes, scope) {
  const inside = containers(nodes);
  const owner = new Map();
  const units = [];

  function take(members, label) {
    const unit = { id: label ? `${members[0].id}+` : members[0].id, label, members, inner: [], next: new Set(), before: [] };
    units.push(unit);
    const stack = [...members];
    while (stack.length) {
      const node = stack.pop();
      owner.set(node.id, unit);
      unit.inner.push(node);
      if (label) for (const each of inside.get(node.id) ?? []) if (!owner.has(each.id)) stack.push(each);
    }
    return unit;
  }

  const within = scope && nodes.has(scope) ? everythingIn(scope, inside) : null;
  const children = new Set([...nodes.values()].flatMap((node) => node.children));
  const first = within ? [nodes.get(scope)] : [...nodes.values()].filter((node) => !children.has(node.id));
  for (const node of first) take([node]);
  for (let at = 0; at < units.length; at++) {
    const unit = units[at];
    const kinds = new Map();
    for (const node of unit.inner) {
      for (const id of node.children) {
        const child = nodes.get(id);
        if (!child || (within && !within.has(id))) continue;
        const other = owner.get(id);
        if (other) {
          if (other !== unit) unit.next.add(other);
          continue;
        }
        const kind = kindOf(child);
        if (!kinds.has(kind)) kinds.set(kind, new Set());
        kinds.get(kind).add(child);
      }
    }
    for (const alike of kinds.values()) {
      const members = [...alike].filter((node) => !owner.has(node.id));
      const loop = loopOf(members[0]?.name ?? "");
      if (members.length > (loop ? LOOP : ALIKE)) unit.next.add(take(members, loop || members[0].template || "nodes"));
      else for (const node of members) unit.next.add(take([node]));
      for (const node of alike) if (owner.get(node.id) !== unit) unit.next.add(owner.get(node.id));
    }
  }
  return units;
}

/** What is in a node: the steps or tasks of its template, and the attempts of a retry. */
function containers(nodes) {
  const inside = new Map();
  const add = (container, node) => {
    if (!inside.has(container)) inside.set(container, []);
    inside.get(container).push(node);
  };
  for (const node of nodes.values()) {
    if (node.boundary) add(node.boundary, node);
    if (node.type !== "Retry") continue;
    for (const id of node.children) {
      const child = nodes.get(id);
      if (child?.name.startsWith(`${node.name}(`)) add(node.id, child);
    }
  }
  return inside;
}

function everythingIn(scope, inside) {
  const found = new Set([scope]);
  for (const id of found) for (const node of inside.get(id) ?? []) found.add(node.id);
  return found;
}

/** The name of a loop, of one of whose turns, or of a hook of one, this is the name; empty for another. */
function loopOf(name) {
  const [from, to] = [name.indexOf("("), name.lastIndexOf(")")];
  return from > 0 && to > from ? name.slice(0, from) + name.slice(to + 1) : "";
}

function kindOf(node) {
  return JSON.stringify([node.boundary, node.template, loopOf(node.name), loopOf(node.name) ? "" : node.type]);
}

// In which layer

function layer(units) {
  for (const unit of units) {
    unit.layer = unit.waiting = 0;
  }
  for (const unit of units) for (const next of unit.next) next.waiting++;
  const ready = units.filter((unit) => !unit.waiting);
  for (const unit of ready) {
    for (const next of unit.next) {
      next.before.push(unit);
      next.layer = Math.max(next.layer, unit.layer + 1);
      if (!--next.waiting) ready.push(next);
    }
  }
}

// In which order, so that few edges cross: each goes to the middle of its neighbours, to and fro

function order(units, opened) {
  for (const unit of units) {
    unit.opened = Boolean(unit.label) && opened.has(unit.id);
    Object.assign(unit, sizeOf(unit));
  }
  const layers = [];
  for (const unit of [...units, ...bends(units)]) (layers[unit.layer] ??= []).push(unit);
  const middle = (unit, neighbours) =>
    neighbours.length ? neighbours.reduce((sum, each) => sum + each.place, 0) / neighbours.length : unit.place;
  for (const row of layers) row.forEach((unit, at) => (unit.place = at));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forth = sweep % 2 === 0;
    for (const row of forth ? layers : layers.toReversed()) {
      for (const unit of row) unit.wish = middle(unit, forth ? unit.links.before : unit.links.next);
      row.sort((a, b) => a.wish - b.wish || a.place - b.place);
      row.forEach((unit, at) => (unit.place = at));
    }
  }
  return layers;
}

function sizeOf(unit) {
  if (!unit.opened) return { width: BOX.width, height: unit.label ? BOX.height + 12 : BOX.height };
  const columns = Math.max(9, Math.ceil(Math.sqrt(unit.members.length * 1.5)));
  const rows = Math.ceil(unit.members.length / columns);
  return { columns, width: columns * CELL.step + 2 * CELL.margin, height: CELL.head + rows * CELL.step + CELL.margin };
}

/** Edges over several layers go round what is between: by a bend in each, which takes a little room. */
function bends(units) {
  const found = [];
  for (const unit of units) unit.links = { before: [], next: [] };
  for (const unit of units) {
    unit.edges = [];
    for (const next of unit.next) {
      let last = unit;
      const via = [];
      if (found.length + next.layer - unit.layer - 1 <= DUMMIES) {
        for (let at = unit.layer + 1; at < next.layer; at++) {
          const bend = { isBend: true, layer: at, width: BOX.width, height: 8, links: { before: [last], next: [] } };
          last.links.next.push(bend);
          via.push(bend);
          found.push(bend);
          last = bend;
        }
      }
      last.links.next.push(next);
      next.links.before.push(last);
      unit.edges.push({ to: next, via });
    }
  }
  return found;
}

// Where

function place(layers) {
  let x = 0;
  for (const row of layers) {
    const columns = Math.ceil(row.length / TALLEST);
    const tall = Math.ceil(row.length / columns);
    let widest = 0;
    row.forEach((unit, at) => {
      const column = Math.floor(at / tall);
      unit.x = x + column * (BOX.width + BOX.between);
      widest = Math.max(widest, unit.x + unit.width - x);
      unit.column = column;
    });
    row.columns = columns;
    x += widest + BOX.across;
  }
  for (const row of layers) stack(row, () => 0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forth = sweep % 2 === 0;
    for (const row of forth ? layers : layers.toReversed()) {
      stack(row, (unit) => {
        const neighbours = forth ? unit.links.before : unit.links.next;
        return neighbours.length
          ? neighbours.reduce((sum, each) => sum + each.y + each.height / 2, 0) / neighbours.length
          : (unit.y ?? 0) + unit.height / 2;
      });
    }
  }
}

/**
 * Put units above each other, as near to where they wish to be as order and gaps allow: those that would overlap are
 * moved together to the mean of their wishes (pool adjacent violators).
 */
function stack(row, wish) {
  for (let column = 0; column < row.columns; column++) {
    const units = row.filter((unit) => unit.column === column);
    const blocks = [];
    for (const unit of units) {
      let block = { sum: wish(unit) - unit.height / 2, count: 1, height: unit.height + BOX.between, units: [unit] };
      for (let last = blocks.at(-1); last && last.sum / last.count + last.height > block.sum / block.count; last = blocks.at(-1)) {
        blocks.pop();
        // in the coordinates of the block's beginning, what is added wishes to be higher by the height before it
        last.sum += block.sum - last.height * block.count;
        last.count += block.count;
        last.height += block.height;
        for (const each of block.units) last.units.push(each);
        block = last;
      }
      blocks.push(block);
    }
    for (const block of blocks) {
      let y = block.sum / block.count;
      for (const unit of block.units) {
        unit.y = y;
        y += unit.height + BOX.between;
      }
    }
  }
}
