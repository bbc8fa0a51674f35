// Below the table: all figures of a row, the comparison of models, and what was not measured.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const LISTED = 40; // rows of what was not measured that are shown at first
  const note = (text) => h("p", { class: "note" }, text);

  const LONG = 30; // characters of a value that takes the room of two
  const pair = (term, value) =>
    h("div", { class: value.length > LONG ? "wide" : null }, h("dt", {}, term), h("dd", {}, value));

  /** All figures of a row, or nothing. */
  Zoo.showDetails = (table, row) => {
    $("selected").hidden = !row;
    if (!row) return;
    const about = Zoo.releases.get(row.model);
    const name = ` ${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`;
    $("selected-title").replaceChildren(h("a", { href: about.page }, row.model), name);
    const whole = Zoo.whole(table, row);
    const text = (key) => (key === "ships" ? (row.ships ? "yes" : "no") : Zoo.shown(whole, key));
    const keys = Zoo.keys.filter((key) => !["model", "name", "kind"].includes(key) && whole[key] !== null);
    const pairs = keys.map((key) => [Zoo.heading(key), text(key)]);
    if (about.gate !== null) pairs.push(["gate, points of mAP", String(about.gate)]);
    $("details").replaceChildren(...pairs.map(([term, value]) => pair(term, value)));
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

  const WAITING = "its device has not measured yet";
  const BESIDE = ["release", "target", "network", "state", "mAP %", "mAP lost", "how, or why"];

  const besideRow = (one) => {
    const page = Zoo.releases.get(one.model)?.page;
    const text = (value) => h("td", { class: "text" }, value);
    const number = (value) => h("td", {}, value === undefined ? "–" : Zoo.fixed(value, 2));
    return h(
      "tr",
      {},
      text(h("a", { href: page }, one.model)),
      text(one.target),
      text(one.network ? `${one.network} ${one.precision}` : "–"),
      text(one.kind),
      number(one.map),
      number(one.map_drop_points),
      h("td", { class: "text long" }, one.method ?? one.how ?? one.reason ?? WAITING),
    );
  };

  const besideTable = (some) => {
    const numbers = ["mAP %", "mAP lost"];
    const head = BESIDE.map((text) => h("th", { scope: "col", class: numbers.includes(text) ? "number" : "text" }, text));
    const body = some.map(besideRow);
    const table = h("table", { class: "beside" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body));
    return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of what was not measured" }, table);
  };

  /** Estimated, emulated, pending and broken, never among the figures: of models on a board, and of others when one asks. */
  Zoo.showBeside = (board) => {
    const at = data.columns.indexOf("model");
    const tables = data.tables.filter((one) => one.board === board);
    const models = new Set(tables.flatMap((one) => one.rows.map((row) => row[at])));
    const all = [...data.estimated, ...data.emulated, ...data.pending, ...data.broken];
    const here = all.filter((one) => models.has(one.model)).slice(0, LISTED);
    const rest = all.filter((one) => !here.includes(one));
    $("beside").hidden = !all.length;
    const summary = h("summary", {}, `${Zoo.number(rest.length)} more, of other models too`);
    const more = h("details", {}, summary);
    const fill = () => more.append(besideTable(rest));
    more.addEventListener("toggle", fill, { once: true });
    $("beside-list").replaceChildren(...(here.length ? [besideTable(here)] : []), ...(rest.length ? [more] : []));
  };
})();
