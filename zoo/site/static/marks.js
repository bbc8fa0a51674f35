// What stands in the plot: shapes, legend, axes, intervals, the step of the front, names, limits. `frame` is the inner part
// with its scales: `{x, y, left, right, top, bottom, width, height, scale}`; x takes costs in the unit that is shown.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const MARGIN = { top: 28, right: 20, bottom: 40, left: 46 };
  const NAMED = 14; // points of the front that carry a name, if there is room
  const LONGEST = 26; // characters of a name
  const CHARACTER = 6.1; // pixels, of a name's font
  const CAP = 3; // pixels, half the width of the ends of an interval
  const round = (value) => Math.round(value * 10) / 10;

  const SHAPES = {
    fp32: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
    fp16: (x, y, r) => `M${round(x - 0.88 * r)},${round(y - 0.88 * r)}h${1.76 * r}v${1.76 * r}h${-1.76 * r}Z`,
    int8: (x, y, r) => {
      const d = round(1.25 * r);
      return `M${x},${round(y - d)}l${d},${d}l${-d},${d}l${-d},${-d}Z`;
    },
  };

  /** The outline of a point, by its precision. */
  const shape = ({ row, x, y }, r) => (SHAPES[row.precision] ?? SHAPES.fp32)(round(x), round(y), r);

  /** The mAP at both ends of the 95 % interval of the mAP lost, the higher first; empty where it is not known. */
  const ends = (row) =>
    row.map_drop_low === null || row.map_drop_points === null
      ? []
      : [row.map_drop_low, row.map_drop_high].map((drop) => row.map + row.map_drop_points - drop);

  /** The inner rectangle for some costs (logarithmic) and accuracies, in a picture of a size. */
  const frame = (costs, accuracies, width, height, scale) => {
    const inner = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const [cheap, dear] = d3.extent(costs);
    const [low, high] = d3.extent(accuracies);
    const factor = Math.max(1.06, (dear / cheap) ** 0.05);
    const points = Math.max(0.25, 0.06 * (high - low));
    const x = d3.scaleLog([cheap / factor, dear * factor], [inner.left, inner.right]);
    const y = d3.scaleLinear([low - points, high + points], [inner.bottom, inner.top]);
    return { ...inner, width, height, scale, x, y };
  };

  /** Values at the ticks of a logarithmic axis: 1, 2 and 5 of each decade where all are too many. */
  const ticks = ({ x, width }) => {
    const wanted = Math.max(3, Math.floor(width / 90));
    const all = x.ticks(wanted);
    const leading = (value) => Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9));
    const few = all.filter((value) => [1, 2, 5].includes(leading(value)));
    return all.length > wanted + 2 && few.length > 2 ? few : all;
  };

  const LABELS = {
    p50_ms: (batch) => `median time of a call (p50), ms, batch ${batch}`,
    size_bytes: () => "size on disk, MB",
    mj_per_image: (batch) => `energy, mJ per image, batch ${batch}`,
  };

  const axes = (svg, it, cost, batch) => {
    const values = ticks(it);
    const below = `translate(0,${it.bottom})`;
    const aside = `translate(${it.left},0)`;
    const group = (kind, move, axis) => svg.append("g").attr("class", kind).attr("transform", move).call(axis);
    const across = () => d3.axisBottom(it.x).tickValues(values).tickSizeOuter(0);
    const up = () => d3.axisLeft(it.y).ticks(6).tickSizeOuter(0);
    const grids = [
      group(
        "grid",
        aside,
        up()
          .tickFormat("")
          .tickSizeInner(it.left - it.right),
      ),
      group(
        "grid",
        below,
        across()
          .tickFormat("")
          .tickSizeInner(it.top - it.bottom),
      ),
    ];
    for (const grid of grids) grid.select(".domain").remove();
    group("axis", below, across().tickFormat(d3.format("~g")).tickSizeInner(4));
    group("axis", aside, up().tickSizeInner(4));
    const label = (x, y, anchor, text) =>
      svg.append("text").attr("x", x).attr("y", y).attr("text-anchor", anchor).text(text);
    label(it.right, it.height - 4, "end", `${LABELS[cost](batch)}; left is better`);
    label(2, 12, "start", "mAP, % ↑");
  };

  /** What each shape stands for, in a line above the plot that ends at its right. */
  const legend = (svg, it, rows) => {
    const kinds = Object.keys(SHAPES)
      .filter((precision) => rows.some((row) => row.network === "student" && row.precision === precision))
      .map((precision) => ({ text: precision, precision, kind: "dominated" }));
    if (rows.some((row) => row.network === "teacher"))
      kinds.push({ text: "dense", precision: "fp32", kind: "dense" });
    let x = it.right;
    for (const { text, precision, kind } of kinds.reverse()) {
      svg.append("text").attr("x", x).attr("y", 12).attr("text-anchor", "end").text(text);
      x -= 1.1 * CHARACTER * text.length + 8;
      svg.append("path").attr("class", kind).attr("d", shape({ row: { precision }, x, y: 8 }, 3.6));
      x -= 14;
    }
  };

  /** Upwards and down: the 95 % interval of the mAP lost. To the right, for times: up to p90. */
  const intervals = ({ row, x, y }, it, cost, cap = 0) => {
    const told = [];
    const line = (...points) => told.push(`M${points.map((one) => one.map(round).join(",")).join("L")}`);
    const [high, low] = ends(row).map((map) => Math.max(it.top, Math.min(it.bottom, it.y(map))));
    if (high !== undefined && high !== low) {
      line([x, high], [x, low]);
      if (cap) for (const end of [high, low]) line([x - cap, end], [x + cap, end]);
    }
    if (cost === "p50_ms" && row.p90_ms !== null) {
      const end = Math.min(it.right, it.x(row.p90_ms * it.scale));
      line([x, y], [end, y]);
      if (cap && end < it.right) line([end, y - cap], [end, y + cap]);
    }
    return told.join("");
  };

  /** The step through the points of a front, the cheapest first. */
  const step = (best, it) => {
    const corner = ({ x, y }, at) => (at ? `H${round(x)}V${round(y)}` : `M${round(x)},${round(y)}`);
    return best.length ? `${best.map(corner).join("")}H${it.right}` : "";
  };

  const overlaps = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];

  /** Names beside points of a front, where they cover no other name, point or line: `{text, x, y, anchor}`. */
  const names = (best, points, it) => {
    const taken = best.flatMap(({ row, x, y }) => {
      const [high, low] = ends(row).map((map) => it.y(map));
      const point = [x - 5, y - 5, x + 5, y + 5];
      return high === undefined ? [point] : [point, [x - CAP, high, x + CAP, low]];
    });
    for (const [at, { x, y }] of best.entries()) if (at) taken.push([x - 1, y, x + 1, best[at - 1].y]); // of the step
    const models = (some) => new Set(some.map(({ row }) => row.model)).size;
    const versions = d3.rollup(points, models, ({ row }) => row.name);
    const several = models(points) > 1;
    const labels = [];
    const free = (box) =>
      box[0] >= it.left &&
      box[2] <= it.right &&
      box[1] >= it.top - 10 &&
      box[3] <= it.bottom &&
      !taken.some((other) => overlaps(box, other));
    for (const { row, x, y } of best) {
      if (labels.length >= NAMED) break;
      const model = versions.get(row.name) > 1 ? row.model : row.name;
      const short = model.length > LONGEST ? `${model.slice(0, LONGEST - 1)}…` : model;
      const text = several ? `${short} ${row.precision}` : `${row.precision}, ${row.target}`;
      if (labels.some((one) => one.text === text && Math.abs(one.at - x) < 60)) continue;
      const wide = CHARACTER * text.length;
      const spots = [
        { x: x - 8, y: y - 7, anchor: "end" },
        { x: x + 8, y: y + 14, anchor: "start" },
        { x: x + 9, y: y - 7, anchor: "start" },
        { x: x - 8, y: y + 14, anchor: "end" },
      ];
      const box = (spot) => {
        const start = spot.anchor === "end" ? spot.x - wide : spot.x;
        return [start, spot.y - 10, start + wide, spot.y + 3];
      };
      const spot = spots.find((one) => free(box(one)));
      if (!spot) continue;
      taken.push(box(spot));
      labels.push({ text, at: x, ...spot });
    }
    return labels;
  };

  /** Lines at the limits of the budget that lie in the plot: `[x1, y1, x2, y2]`. */
  const limits = ({ cost, map }, it) => {
    const [x, y] = [cost === null ? NaN : it.x(cost), map === null ? NaN : it.y(map)];
    const lines = [];
    if (x > it.left && x <= it.right) lines.push([x, it.top, x, it.bottom]);
    if (y >= it.top && y <= it.bottom) lines.push([it.left, y, it.right, y]);
    return lines;
  };

  Zoo.marks = { CAP, shape, ends, frame, legend, axes, intervals, step, names, limits };
})();
