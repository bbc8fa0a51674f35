// Two to four models side by side, each against the first.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h } = Zoo;
  const NAMES = { map: "mAP %", p50_ms: "p50 ms", images_per_second: "images/s" };

  const said = ({ figure, change, bucket }) => {
    if (change === null) return bucket;
    const unit = figure === "map" ? "points" : "%";
    return `${change >= 0 ? "+" : "−"}${Zoo.fixed(Math.abs(change), 2)} ${unit}, ${bucket === "unchanged" || bucket === "unsure" ? bucket : bucket.slice(0, -1)}`;
  };

  /** The panel for some models, given all rows of a table. */
  Zoo.comparison = (rows, models) => {
    const its = (model) => rows.filter((row) => row.model === model);
    const [first, ...others] = models;
    const columns = others.map((model) => Zoo.differences(its(first), its(model)));
    const keys = new Map();
    for (const column of columns) for (const one of column) keys.set(`${one.target} ${one.precision} ${one.figure}`, one);
    const severity = (key) => Math.min(...columns.map((column) => column.find((one) => id(one) === key)).map((one) => (one ? Zoo.BUCKETS.indexOf(one.bucket) : 9)));
    const ordered = [...keys.keys()].sort((a, b) => severity(a) - severity(b));
    const head = ["target", "precision", "figure", first, ...others];
    const cell = (column, key) => {
      const one = column.find((found) => id(found) === key);
      if (!one) return h("td", {}, "–");
      return h("td", { title: one.why || null }, shown(one.after, one.figure), " ", h("small", { class: one.bucket }, said(one)));
    };
    const why = (key) => [...new Set(columns.map((column) => column.find((one) => id(one) === key)?.why).filter(Boolean))].join("; ");
    const body = ordered.map((key) => {
      const one = keys.get(key);
      const before = columns.map((column) => column.find((found) => id(found) === key)).find(Boolean).before;
      return h("tr", {}, h("td", { class: "text" }, one.target), h("td", { class: "text" }, one.precision), h("td", { class: "text" }, NAMES[one.figure]), h("td", {}, shown(before, one.figure)), columns.map((column) => cell(column, key)), h("td", { class: "why" }, why(key)));
    });
    const { points, percent } = Zoo.TOLERANCE;
    const told = `Each against ${first}, as zoo diff: mAP moved by more than ${points} points, or a time by more than ${percent} % while the machine is ruled out as the cause. Regressions first.`;
    const table = h("table", {}, h("caption", { class: "hidden" }, told), h("thead", {}, h("tr", {}, head.map((text, at) => h("th", { scope: "col", class: at < 3 ? "text" : "number" }, text)), h("th", { scope: "col", class: "text" }, "why unsure"))), h("tbody", {}, body));
    if (!body.length) return [h("p", { class: "note" }, "These models have no target and precision in common in this table.")];
    return [h("p", { class: "note" }, told), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Differences" }, table)];
  };

  const id = (one) => `${one.target} ${one.precision} ${one.figure}`;
  const shown = (value, figure) => (value === null ? "–" : Zoo.number(value * Zoo.data.shown[figure].scale, Zoo.data.shown[figure].digits));
})();
