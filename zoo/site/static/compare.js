// Two to four models side by side, each against the first.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h } = Zoo;
  const NAMES = { map: "mAP %", p50_ms: "p50 ms", images_per_second: "images/s" };
  const WORDS = { regressions: "regression", improvements: "improvement", unsure: "unsure", unchanged: "unchanged" };

  const id = ({ target, precision, figure }) => [target, precision, figure].join(" ");
  const text = (content) => h("td", { class: "text" }, content);
  const figure = (value, key) => {
    const { scale, digits } = Zoo.data.shown[key];
    return value === null ? "–" : Zoo.number(value * scale, digits);
  };

  const moved = ({ figure: key, change, bucket }) => {
    if (change === null) return WORDS[bucket];
    const size = `${change >= 0 ? "+" : "−"}${Zoo.fixed(Math.abs(change), 2)}`;
    return `${size} ${key === "map" ? "points" : "%"}, ${WORDS[bucket]}`;
  };

  const cell = (change) => {
    if (!change) return h("td", {}, "–");
    const told = h("small", { class: change.bucket }, moved(change));
    return h("td", {}, figure(change.after, change.figure), " ", told);
  };

  /** The panel for some models, given all rows of a table. */
  Zoo.comparison = (rows, [first, ...others]) => {
    const its = (model) => rows.filter((row) => row.model === model);
    const changes = others.map(
      (model) => new Map(Zoo.differences(its(first), its(model)).map((one) => [id(one), one])),
    );
    const keys = [...new Set(changes.flatMap((found) => [...found.keys()]))];
    if (!keys.length) return [h("p", { class: "note" }, "These models have no target and precision in common here.")];
    const of = (key) => changes.map((found) => found.get(key));
    const worst = (key) => Math.min(...of(key).map((one) => (one ? Zoo.BUCKETS.indexOf(one.bucket) : Infinity)));
    const line = (key) => {
      const found = of(key);
      const one = found.find(Boolean);
      const why = [...new Set(found.map((change) => change?.why).filter(Boolean))].join("; ");
      const names = [one.target, one.precision, NAMES[one.figure]].map(text);
      const before = h("td", {}, figure(one.before, one.figure));
      return h("tr", {}, names, before, found.map(cell), h("td", { class: "why" }, why));
    };
    const { points, percent } = Zoo.TOLERANCE;
    const told = [
      `Each against ${first}, as zoo diff: mAP moved by more than ${points} points, or a time by more than ${percent} %`,
      "while the machine is ruled out as the cause. Regressions first.",
    ].join(" ");
    const heading = (kind) => (name) => h("th", { scope: "col", class: kind }, name);
    const head = [
      ...["target", "precision", "figure"].map(heading("text")),
      ...[first, ...others].map(heading("number")),
      heading("text")("why unsure"),
    ];
    const body = keys.sort((a, b) => worst(a) - worst(b)).map(line);
    const caption = h("caption", { class: "hidden" }, told);
    const table = h("table", {}, caption, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
    const about = { class: "scroll", tabindex: 0, role: "region", "aria-label": "Differences" };
    return [h("p", { class: "note" }, told), h("div", about, table)];
  };
})();
