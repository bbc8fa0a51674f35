// The table of models. TanStack Table sorts, expands and pages; rows and cells are plain HTML.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { createTable, getCoreRowModel, getExpandedRowModel, getPaginationRowModel, getSortedRowModel } =
    globalThis.TableCore;
  const { h } = Zoo;
  const PAGE = 60; // models that are shown at first
  // What a new visitor sees; all columns of `zoo compare` and more can be shown
  Zoo.USUAL = [
    "precision",
    "target",
    "ships",
    "map_float",
    "map",
    "map_drop_points",
    "size_bytes",
    "p50_ms",
    "calls",
    "images_per_second",
    "mj_per_image",
    "ratio_to_dense",
  ];
  // On a phone what decides comes first; the rest is a swipe away
  Zoo.NARROW = [
    "p50_ms",
    "map",
    "map_drop_points",
    "size_bytes",
    "precision",
    "target",
    "ships",
    "ratio_to_dense",
    "calls",
  ];
  const HEADINGS = { map_float: "mAP float", calls: "n", map_drop_points: "lost" };
  const TEXTS = new Set([
    "precision",
    "target",
    "network",
    "runtime",
    "dataset",
    "meter",
    "doubt",
    "void",
    "run",
    "measured_at",
    "name",
    "kind",
  ]);

  /** The interval of a figure; null where it is not known or has no width. */
  const interval = (low, high) => {
    if (low === null || high === null) return null;
    const ends = [low, high].map((end) => Zoo.fixed(end, 2));
    return ends[0] === ends[1] ? null : ends.join("…");
  };

  /** The heading of a column in the table of models. */
  Zoo.short = (key) => HEADINGS[key] ?? Zoo.heading(key);

  /** Models of some rows: each leads with its best row that ships, by the column of the order. */
  Zoo.models = (rows, state) => {
    const found = new Map();
    for (const row of rows) {
      const its = found.get(row.model);
      if (its) its.push(row);
      else found.set(row.model, [row]);
    }
    const order = Zoo.order(state.sort, false);
    return [...found].map(([model, its]) => {
      const sorted = its.length > 1 ? [...its].sort(order) : its;
      const lead = sorted.find((row) => row.ships) ?? sorted.find((row) => row.network === "student") ?? sorted[0];
      return { model, lead, others: sorted.filter((row) => row !== lead) };
    });
  };

  class Table {
    /** `act` receives what a visitor does: sort, open, choose, compare. */
    constructor(element, act) {
      this.element = element;
      this.act = act;
      this.size = PAGE;
      this.table = createTable({
        data: [],
        columns: [],
        state: {},
        onStateChange: () => {},
        renderFallbackValue: null,
        getCoreRowModel: getCoreRowModel(),
        getSortedRowModel: getSortedRowModel(),
        getExpandedRowModel: getExpandedRowModel(),
        getPaginationRowModel: getPaginationRowModel(),
        paginateExpandedRows: false,
        enableSortingRemoval: false,
        autoResetAll: false,
      });
      this.columns = Zoo.keys.map((key) => ({
        id: key,
        accessorFn: (one) => one.lead[key] ?? undefined,
        sortUndefined: "last",
        sortingFn: (a, b) => Zoo.order(key, Zoo.data.shown[key].better === "high")(a.original.lead, b.original.lead),
      }));
      this.initial = this.table.initialState;
    }

    /** Show the models of some rows. */
    draw(rows, view) {
      const { state } = view;
      this.view = view;
      const models = Zoo.models(rows, state);
      const open = (one) => one.others?.length && (view.open || view.opened.has(one.model));
      const high = Zoo.data.shown[state.sort].better === "high";
      this.table.setOptions((before) => ({
        ...before,
        data: models,
        columns: this.columns,
        getRowId: (one) => one.lead.key,
        getSubRows: (one) => (open(one) ? one.others.map((lead) => ({ model: one.model, lead })) : undefined),
        state: {
          ...this.initial,
          sorting: [{ id: state.sort, desc: high !== state.reverse }],
          expanded: true,
          pagination: { pageIndex: 0, pageSize: this.size },
        },
      }));
      const shown = this.table.getRowModel().rows;
      const keys = view.keys;
      const body = h(
        "tbody",
        {},
        shown.map((row) => this.row(row.original, row.depth, keys)),
      );
      const focus = document.activeElement?.dataset?.focus;
      const made = h("table", {}, h("caption", { class: "hidden" }, view.caption), this.head(keys), body);
      this.element.replaceChildren(made);
      if (!shown.length) this.element.append(h("p", { class: "empty" }, "No row is within the budget and the filters."));
      if (focus) this.element.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
      return { models: models.length, more: models.length - Math.min(models.length, this.size) };
    }

    head(keys) {
      const { state } = this.view;
      const heading = (key) => {
        const column = Zoo.data.shown[key];
        const on = state.sort === key;
        const high = column.better === "high";
        const direction = on ? (high !== state.reverse ? "descending" : "ascending") : null;
        const kind = TEXTS.has(key) || column.kind !== "number" ? "text" : "number";
        const button = h(
          "button",
          { type: "button", "data-focus": `sort ${key}`, title: column.meaning, onclick: () => this.act.sort(key) },
          Zoo.short(key),
          on && h("span", { "aria-hidden": "true" }, direction === "ascending" ? " ↑" : " ↓"),
        );
        return h("th", { scope: "col", class: kind, "aria-sort": direction }, button);
      };
      const first = h("th", { scope: "col", class: "model" }, h("span", {}, "model"));
      return h("thead", {}, h("tr", {}, first, keys.map(heading)));
    }

    row({ model, lead, others }, depth, keys) {
      const cells = keys.map((key) => this.cell(lead, key));
      const chosen = this.view.chosen === lead;
      const kind = [depth ? "sub" : "", chosen ? "chosen" : ""].filter(Boolean).join(" ");
      const choose = (event) => {
        if (!event.target.closest("a, button, input, label")) this.act.choose(lead);
      };
      return h(
        "tr",
        { class: kind || null, "data-row": lead.key, "aria-current": chosen ? "true" : null, onclick: choose },
        depth ? this.below(lead) : this.model(model, lead, others),
        cells,
      );
    }

    /** Which row of its model it is; on a phone, where other columns come first, in full. */
    below(row) {
      const network = row.network === "teacher" ? "dense network" : "student";
      return h("td", { class: "model" }, network, this.artifact(row), this.tags(row, []));
    }

    artifact(row) {
      return this.view.keys[0] !== "precision" && h("small", {}, `${row.precision} on ${row.target}`);
    }

    model(model, lead, others) {
      const about = Zoo.releases.get(model);
      const open = this.view.open || this.view.opened.has(model);
      const opener = h("button", {
        type: "button",
        class: others.length ? "opener" : "opener none",
        "aria-expanded": String(open),
        "aria-label": `${Zoo.plural(others.length, "more row")} of ${model}`,
        "data-focus": `open ${model}`,
        onclick: () => this.act.open(model),
      });
      const picked = this.view.state.compare.includes(model);
      const box = h("input", {
        type: "checkbox",
        "aria-label": `Compare ${model}`,
        title: "Compare",
        "data-focus": `compare ${model}`,
        disabled: !picked && this.view.state.compare.length >= 4,
        onchange: () => this.act.compare(model),
      });
      box.checked = picked;
      const waiting = Zoo.pending.get(model) ?? [];
      const more = [];
      if (waiting.length) more.push(["", `${waiting.length} pending`, `pending: ${waiting.join(", ")}`]);
      if (about.yanked !== null) more.push(["bad", "withdrawn", about.yanked]);
      const tags = this.tags(lead, more);
      const link = h("a", { href: about.page, title: about.description || null }, model);
      return h("td", { class: "model" }, h("span", { class: "lead-cell" }, opener, box, link), this.artifact(lead), tags);
    }

    cell(row, key) {
      const column = Zoo.data.shown[key];
      const text = Zoo.shown(row, key);
      if (key === "precision") {
        const button = h(
          "button",
          {
            type: "button",
            class: "figures",
            "data-focus": `row ${row.key}`,
            "aria-label": `${text}: all figures of ${Zoo.name(row)}`,
            onclick: () => this.act.choose(row),
          },
          text,
        );
        return h("td", { class: "text" }, button);
      }
      if (TEXTS.has(key) || column.kind === "text") return h("td", { class: "text", title: text }, text);
      if (column.kind !== "number") return h("td", { class: "text" }, text);
      const kinds = [];
      let small = null;
      if (column.timed && row.void) kinds.push("void");
      else if (column.timed && row.doubt) kinds.push("doubt");
      if (this.view.best[key]?.has(row.place)) kinds.push("best");
      if (key === "map_drop_points") {
        const gate = Zoo.gate(row);
        if (gate !== null) kinds.push(gate ? "within" : "over");
        small = interval(row.map_drop_low, row.map_drop_high);
      }
      if (key === "ratio_to_dense") small = interval(row.ratio_low, row.ratio_high);
      return h("td", { class: kinds.join(" ") || null }, text, small && " ", small && h("small", {}, small));
    }

    /** What is wrong with a row, and who reported it; and what is said of its model. */
    tags(row, more) {
      const tags = [];
      if (row.void) tags.push(["bad", "void", `throttled by ${row.void}`]);
      else if (row.doubt) tags.push(["warn", "unsteady", row.doubt]);
      if (Zoo.gate(row) === false) {
        const [lost, { gate }] = [Zoo.fixed(row.map_drop_points, 2), Zoo.releases.get(row.model)];
        tags.push(["bad", "over the gate", `${lost} points lost on the test set; the release's limit is ${gate}`]);
      }
      if (row.standing) {
        const kind = row.standing === "repeated" ? "good" : "warn";
        tags.push([kind, row.standing, `reported by ${row.reported_by}`]);
      }
      const tag = ([kind, text, why]) => h("span", { class: `tag ${kind}`, title: why }, text);
      const all = [...tags, ...more];
      return all.length > 0 && h("span", { class: "tags" }, all.map(tag));
    }
  }

  Zoo.Table = Table;
  Zoo.PAGE = PAGE;
})();
