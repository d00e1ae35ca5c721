// Small pictures of how figures went over the last minutes.

import { svg } from "./dom.js";

const WIDTH = 150;
const HEIGHT = 30;

/**
 * Series of values, of which null is none at that moment, as lines above each other in one picture; the last moment is
 * at the right, and `most` values have room.
 */
export function sparkline(label, series, most, top) {
  const highest = Math.max(top ?? 0, ...series.flatMap((each) => each.values.filter((value) => value !== null))) || 1;
  const x = (at, values) => WIDTH - ((values.length - 1 - at) / (most - 1)) * WIDTH;
  const y = (value) => HEIGHT - 1.5 - (value / highest) * (HEIGHT - 4);
  const lines = series.map(({ values, kind }) => {
    let path = "";
    let isDrawn = false;
    values.forEach((value, at) => {
      if (value !== null) path += `${isDrawn ? "L" : "M"}${x(at, values).toFixed(1)} ${y(value).toFixed(1)}`;
      // a value with none beside it is a dot
      if (value !== null && !isDrawn && (values[at + 1] ?? null) === null) path += "h0.01";
      isDrawn = value !== null;
    });
    return svg("path", { class: `line ${kind}`, d: path || "M0 0" });
  });
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "ground", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` }),
    ...lines,
  );
}
