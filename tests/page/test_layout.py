"""Where the page draws nodes: beside each other, and those that follow to the right."""

from __future__ import annotations

import pytest

from engine import PendingExecutor
from tests.page.conftest import Open
from tests.serving.inside import inside

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAYOUT = """async ([count, width]) => {
  const { layout } = await import("/page/layout.js");
  const nodes = new Map();
  for (let at = 0; at < count; at++) {
    const children = [];
    for (let to = 1; to <= 3; to++) {
      const child = at + ((at * 7 + to * 13) % width) + 1;
      if (child < count && !children.includes(`n${child}`)) children.push(`n${child}`);
    }
    nodes.set(`n${at}`, { id: `n${at}`, name: `n${at}`, type: "Pod", template: `t${at}`, phase: "Running", children });
  }
  const units = layout(nodes, new Set(), null);
  let overlaps = 0;
  const byLayer = Object.values(Object.groupBy(units, (unit) => `${unit.layer} ${unit.column}`));
  for (const row of byLayer) {
    row.sort((a, b) => a.y - b.y);
    for (let at = 1; at < row.length; at++) if (row[at].y < row[at - 1].y + row[at - 1].height) overlaps++;
  }
  const back = units.filter((unit) => unit.edges.some(({ to }) => to.x <= unit.x)).length;
  return { units: units.length, overlaps, back };
}"""


async def test_boxes_lie_beside_each_other_and_edges_go_to_the_right(opened: Open) -> None:
    async with inside(PendingExecutor()) as server:
        page = await opened(server)
        for count, width in ((1, 1), (60, 8), (2_000, 20), (10_000, 500), (10_000, 4)):
            found = await page.evaluate(LAYOUT, [count, width])
            assert found == {"units": count, "overlaps": 0, "back": 0}
