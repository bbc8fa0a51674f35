// The board: one table at a time; its filter is shared by plot and table.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const MORE = 500; // models that a click adds
  const FEW = 2; // models of a table that shows all their rows at first
  const LEAST = { p50_ms: "Fastest", size_bytes: "Smallest", mj_per_image: "Least energy" };
  const BETTER = { p50_ms: "faster", size_bytes: "smaller", mj_per_image: "more economical" };
  const OVER =
    "over the gate: on the test set it lost more mAP than its release permits; the build decided on other images";
  const opened = new Set(); // models whose sub-rows are shown
  let state = { ...Zoo.EMPTY };
  let most = Zoo.PAGE;
  let table, rows, shown, few, ships, plot, models, controls;

  /** Take the table of the state, and leave out of the state what it does not have. */
  const place = () => {
    const wanted = Zoo.tableOf(state);
    const { id } = data.devices[wanted.device];
    Object.assign(state, { device: id, board: data.boards[wanted.board].id, table: wanted.id });
    if (wanted !== table) {
      table = wanted;
      rows = Zoo.rows(table);
      few = new Set(rows.map((row) => row.model)).size <= FEW;
      ships = rows.filter((row) => row.ships).length;
      Zoo.showBeside(table.board);
      opened.clear();
      most = Zoo.PAGE;
      Zoo.fillChoice(table);
      controls.fill(rows, state);
      const over = rows.some((row) => Zoo.gate(row) === false) ? [OVER] : [];
      const lines = ["bold: the best row that ships, of the whole table", ...over, ...table.notes];
      $("notes").replaceChildren(...lines.map((line) => h("p", {}, line)));
    }
    for (const key of ["precision", "target"]) {
      state[key] = state[key].filter((value) => rows.some((row) => row[key] === value));
    }
  };

  /** The answer to what the budget asks, in a line. */
  const drawAnswer = () => {
    const { cost } = state;
    const best = Zoo.cheapest(shown, cost);
    if (!best) {
      $("answer").replaceChildren("Nothing that ships is within this budget.");
      return;
    }
    const link = h("a", { href: Zoo.releases.get(best.model).page }, best.model);
    const map = best.map === null ? "" : `, mAP ${Zoo.shown(best, "map")} %`;
    const figures = `${Zoo.shown(best, cost)} ${Zoo.COSTS[cost]}${map}`;
    $("answer").replaceChildren(`${LEAST[cost]}: `, link, ` in ${best.precision} on ${best.target}, `, h("b", {}, figures));
  };

  const drawPlot = (chosen) => {
    const { cost, map } = state;
    const front = Zoo.front(shown, cost);
    const limit = { p50_ms: state.ms, size_bytes: state.mb, mj_per_image: null }[cost];
    plot.draw({ rows: shown, front, cost, chosen, batch: table.protocol.batch, limits: { cost: limit, map } });
    const drawn = shown.filter((row) => Zoo.drawable(row, cost)).length;
    const left = shown.length - drawn;
    const whose = drawn - front.length > Zoo.CROWD ? ", of the front" : "";
    const note = [
      `${Zoo.plural(front.length, "point")} on the front, in colour: no other is ${BETTER[cost]} and more accurate.`,
      `Lines up and down${whose}: 95 % interval of the mAP lost${cost === "p50_ms" ? "; to the right: up to p90" : ""}.`,
      left ? `Not drawn: ${Zoo.plural(left, "row")} that ${left === 1 ? "is" : "are"} void, unsteady or without a figure.` : "",
    ];
    $("plot-note").textContent = drawn ? note.join(" ") : note.at(-1);
  };

  const drawTable = (chosen) => {
    models.size = most;
    const best = Object.fromEntries(
      Object.entries(table.best)
        .filter(([, places]) => places.length < ships) // where all are equal, none stands out
        .map(([key, places]) => [key, new Set(places)]),
    );
    const caption = `${table.where}; ${table.how}`;
    const keys = controls.keys(rows, state);
    const told = models.draw(shown, { state, open: state.open ?? few, opened, chosen, best, keys, caption });
    const meant = keys.filter((key) => data.shown[key].meaning);
    const pair = (key) => h("div", {}, h("dt", {}, Zoo.short(key)), h("dd", {}, data.shown[key].meaning));
    $("meaning-list").replaceChildren(...meant.map(pair));
    const share = shown.length === rows.length ? "all" : `${Zoo.number(shown.length)} of`;
    $("count").textContent = `${Zoo.plural(told.models, "model")}, ${share} ${Zoo.plural(rows.length, "row")}`;
    $("more").hidden = !told.more;
    const added = Zoo.number(Math.min(told.more, MORE));
    $("more").textContent = `Show ${added} more of ${Zoo.plural(told.models, "model")}`;
  };

  const draw = () => {
    place();
    controls.show(state, state.open ?? few);
    shown = Zoo.matching(rows, state);
    const chosen = rows.find((row) => row.key === state.row) ?? null;
    drawAnswer();
    drawPlot(chosen);
    drawTable(chosen);
    const command = Zoo.command(state, table);
    $("query").textContent = command.text;
    $("query-note").textContent = command.notes.join(" ");
    Zoo.showDetails(table, chosen);
    Zoo.showComparison(rows, state.compare);
    const text = Zoo.stateText(state, table === Zoo.usualTable());
    Zoo.keepState(text);
    $("whole").href = `index.html${text ? `#${text}` : ""}`;
  };

  const change = (some) => {
    Object.assign(state, some);
    draw();
  };

  const rowOf = (row) => document.querySelector(`[data-row="${CSS.escape(row.key)}"]`);

  /** Choose a row, or none if it is chosen. */
  const choose = (row) => {
    change({ row: state.row === row.key ? null : row.key });
    rowOf(row)?.scrollIntoView({ block: "nearest" }); // above its figures
  };

  /** Choose the row of a point, and bring it into view. */
  const seek = (row) => {
    const its = Zoo.models(shown, state).find((one) => one.model === row.model);
    if (its.lead !== row) opened.add(row.model);
    change({ row: row.key });
    if (!rowOf(row)) {
      most = Infinity;
      draw();
    }
    rowOf(row)?.scrollIntoView({ block: "nearest" });
  };

  const unselect = () => {
    const focus = CSS.escape(`row ${state.row}`);
    change({ row: null });
    document.querySelector(`[data-focus="${focus}"]`)?.focus({ preventScroll: true });
  };

  const open = (model) => {
    if (state.open ?? few) for (const row of rows) opened.add(row.model);
    if (!opened.delete(model)) opened.add(model);
    change({ open: false });
  };

  const compare = (model) => {
    const others = state.compare.filter((one) => one !== model);
    change({ compare: others.length < state.compare.length ? others : [...others, model] });
  };

  const listen = () => {
    const on = (id, event, act) => $(id).addEventListener(event, act);
    const elsewhere = { table: null, row: null, precision: [], target: [] };
    on("pick", "submit", (event) => event.preventDefault());
    on("device", "change", () => change({ ...elsewhere, device: $("device").value }));
    on("board", "change", () => change({ ...elsewhere, board: $("board").value }));
    on("settings", "change", () => change({ table: $("settings").value, row: null }));
    on("ships", "change", () => change({ ships: $("ships").checked }));
    on("name", "input", () => change({ name: $("name").value }));
    on("open-all", "click", () => {
      opened.clear();
      change({ open: !(state.open ?? few) });
    });
    on("more", "click", () => {
      most += MORE;
      draw();
    });
    on("reset", "click", () => {
      const { device, board, table: at, columns, cost, compare: models } = state;
      change({ ...Zoo.EMPTY, device, board, table: at, columns, cost, compare: models });
    });
    on("unselect", "click", unselect);
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && state.row && !event.defaultPrevented) unselect();
    });
    on("uncompare", "click", () => change({ compare: [] }));
    on("copy-query", "click", () => Zoo.copy($("query").textContent, $("copy-query")));
    on("save-csv", "click", () => Zoo.save.csv(table, shown));
    on("save-json", "click", () => Zoo.save.json(table, shown));
    const title = () => `${table.where}; ${table.protocol.protocol ? $("board").selectedOptions[0].text : "only times"}`;
    on("save-svg", "click", () => Zoo.save.svg(plot.node, title()));
    on("save-png", "click", () => Zoo.save.png(plot.node, title()));
    addEventListener("hashchange", () => {
      state = Zoo.readState();
      draw();
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest("#columns")) $("columns").open = false;
    });
    on("columns", "keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      $("columns").open = false;
      $("columns").querySelector("summary").focus();
    });
  };

  if (!data.tables.length) return;
  document.documentElement.classList.toggle("embed", new URLSearchParams(location.search).has("embed"));
  $("fallback").hidden = true;
  $("app").hidden = false;
  const sort = (key) => change({ sort: key, reverse: state.sort === key && !state.reverse });
  plot = new Zoo.Plot($("plot"), seek);
  models = new Zoo.Table($("table"), { sort, open, choose, compare });
  controls = new Zoo.Controls(change);
  state = Zoo.readState();
  draw();
  listen();
})();
