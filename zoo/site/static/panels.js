// Below the table: all figures of a row, the comparison of models, and what was not measured.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const LISTED = 40; // lines of what was not measured that are shown at first
  const note = (text) => h("p", { class: "note" }, text);

  /** All figures of a row, or nothing. */
  Zoo.showDetails = (table, row) => {
    $("selected").hidden = !row;
    if (!row) return;
    const about = Zoo.releases.get(row.model);
    const name = ` ${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`;
    $("selected-title").replaceChildren(h("a", { href: about.page }, row.model), name);
    const whole = Zoo.whole(table, row);
    const text = (key) => (key === "ships" ? (row.ships ? "yes" : "no") : Zoo.shown(whole, key));
    const keys = Zoo.keys.filter((key) => key !== "model" && whole[key] !== null);
    const pairs = keys.map((key) => [Zoo.heading(key), text(key)]);
    if (about.gate !== null) pairs.push(["gate, points of mAP", String(about.gate)]);
    $("details").replaceChildren(...pairs.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
  };

  /** The chosen models side by side, or what to do for it. */
  Zoo.showComparison = (rows, chosen) => {
    $("compare").hidden = !chosen.length;
    if (!chosen.length) return;
    const here = chosen.filter((model) => rows.some((row) => row.model === model));
    const away = chosen.filter((model) => !here.includes(model));
    const hint = here.length
      ? `another model in the table to see differences from ${here[0]}`
      : "two models in the table";
    const found = here.length < 2 ? [note(`Choose ${hint}. Up to four can be compared.`)] : Zoo.comparison(rows, here);
    $("differences").replaceChildren(...away.map((model) => note(`${model} was not measured here.`)), ...found);
  };

  /** Estimated, pending and broken: never among the figures. */
  Zoo.showBeside = () => {
    const name = (one) => `${one.model} on ${one.target}`;
    const cell = (one) => `${name(one)}, ${one.network} ${one.precision}`;
    const lost = (one) => `mAP ${Zoo.fixed(one.map, 2)}, ${Zoo.fixed(one.map_drop_points, 2)} lost`;
    const lines = [
      ...data.estimated.map((one) => `${cell(one)}: estimated, not measured: ${lost(one)}; ${one.method}`),
      ...data.pending.map((one) => `${name(one)}: pending, its device has not measured yet`),
      ...data.broken.map((one) => `${cell(one)}: broken: ${one.reason}`),
    ];
    $("beside").hidden = !lines.length;
    const list = (some) =>
      h(
        "ul",
        {},
        some.map((line) => h("li", {}, line)),
      );
    const rest = lines.slice(LISTED);
    const more = rest.length ? [h("details", {}, h("summary", {}, `${rest.length} more`), list(rest))] : [];
    $("beside-list").replaceChildren(list(lines.slice(0, LISTED)), ...more);
  };
})();
