// The board: one device, one data set and protocol at a time; the filter, kept in the URL, is shared by table and plot.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const STEPS = 200;
  const EMPTY = {
    device: null, board: null, table: null, cost: "p50_ms", sort: "p50_ms", reverse: false, ms: null, mb: null, map: null,
    precision: [], target: [], ships: false, name: "", columns: null, compare: [], row: null, open: false,
  };
  const LISTS = ["precision", "target", "columns", "compare"];
  const opened = new Set();
  let state = { ...EMPTY };
  let table, rows, shown, plot, models;
  let most = Zoo.PAGE;

  // ---- the URL: `#device=…&map=50`, with what differs from the defaults
  const read = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    const next = { ...EMPTY };
    for (const key of ["device", "board", "table", "name", "row"]) next[key] = told.get(key) ?? EMPTY[key];
    for (const key of LISTS) if (told.has(key)) next[key] = told.get(key).split(",").filter(Boolean);
    for (const key of Object.keys(Zoo.LIMITS)) {
      const value = Number(told.get(key));
      if (told.has(key) && told.get(key) !== "" && Number.isFinite(value)) next[key] = value;
    }
    for (const key of ["ships", "open"]) next[key] = told.get(key) === "1";
    if (Object.hasOwn(Zoo.COSTS, told.get("cost") ?? "")) next.cost = told.get("cost");
    const sort = told.get("sort") ?? "";
    const key = sort.replace(/^-/, "");
    if (Object.hasOwn(data.shown, key)) [next.sort, next.reverse] = [key, sort.startsWith("-")];
    if (next.columns) next.columns = next.columns.filter((one) => Object.hasOwn(data.shown, one));
    next.compare = [...new Set(next.compare)].filter((one) => Zoo.releases.has(one)).slice(0, 4);
    return next;
  };

  const write = () => {
    const told = new URLSearchParams();
    const put = (key, value) => value !== null && value !== "" && value !== false && told.set(key, value === true ? "1" : value);
    const place = data.tables.indexOf(table);
    if (place !== first()) for (const key of ["device", "board", "table"]) put(key, state[key]);
    for (const key of [...Object.keys(Zoo.LIMITS), "ships", "name", "open", "row"]) put(key, state[key]);
    for (const key of LISTS) if (state[key]?.length) put(key, state[key].join(","));
    if (state.cost !== EMPTY.cost) put("cost", state.cost);
    if (state.sort !== EMPTY.sort || state.reverse) put("sort", (state.reverse ? "-" : "") + state.sort);
    const text = told.toString();
    keep(text);
    $("whole").href = `index.html${text ? `#${text}` : ""}`;
  };

  // Browsers refuse more than some hundred changes of the URL in 30 s: one at once, others at most every 300 ms.
  let waiting = null;
  let address = "";
  let last = -Infinity;
  const keep = (text) => {
    address = text;
    if (waiting !== null) return;
    waiting = setTimeout(() => {
      waiting = null;
      last = performance.now();
      if (address !== location.hash.slice(1)) history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
    }, Math.max(0, last + 300 - performance.now()));
  };

  // ---- device, data set, settings
  const tablesOf = (device, board) => data.tables.filter((one) => (device === null || one.device === device) && (board === null || one.board === board));
  const largest = (found) => found.reduce((best, one) => (best === null || one.rows.length > best.rows.length ? one : best), null);
  const first = () => data.tables.indexOf(largest(judged(tablesOf(0, null))));
  const judged = (found) => (found.some((one) => data.boards[one.board].protocol) ? found.filter((one) => data.boards[one.board].protocol) : found);

  const place = () => {
    const device = Math.max(0, data.devices.findIndex((one) => one.id === state.device));
    const board = data.boards.findIndex((one) => one.id === state.board);
    const here = tablesOf(device, null);
    const found = here.filter((one) => one.board === board);
    const wanted = found.find((one) => one.id === state.table) ?? largest(found.length ? found : judged(here));
    const { id } = data.devices[wanted.device];
    Object.assign(state, { device: id, board: data.boards[wanted.board].id, table: wanted.id });
    if (wanted !== table) {
      table = wanted;
      rows = Zoo.rows(table);
      opened.clear();
      most = Zoo.PAGE;
      options();
    }
  };

  const fill = (select, choices, value) => {
    select.replaceChildren(...choices.map(([id, text]) => h("option", { value: id }, text)));
    select.value = value;
  };

  const options = () => {
    const device = data.devices[table.device];
    fill($("device"), data.devices.map((one) => [one.id, `${one.name} (${one.architecture}, ${Zoo.plural(one.cores, "core")}) · ${Zoo.plural(one.releases, "model")}`]), device.id);
    const boards = [...new Set(tablesOf(table.device, null).map((one) => one.board))].sort((a, b) => a - b);
    fill($("board"), boards.map((at) => [data.boards[at].id, boardName(data.boards[at])]), data.boards[table.board].id);
    const settings = tablesOf(table.device, table.board);
    fill($("settings"), settings.map((one) => [one.id, settings.filter((other) => other.settings === one.settings).length > 1 ? `${one.settings} (${settings.indexOf(one) + 1})` : one.settings]), table.id);
    $("settings-field").hidden = settings.length < 2;
    const board = data.boards[table.board];
    const links = [h("a", { href: device.page }, "device"), board.page && h("a", { href: board.page }, "data set")].filter(Boolean);
    $("where").replaceChildren(`${table.where}. ${table.how}. More on the `, ...links.flatMap((link, at) => (at ? [" and the ", link] : [link])), ".");
    const values = (key) => [...new Set(rows.map((row) => row[key]))];
    chips($("precisions"), "precision", ["fp32", "fp16", "int8"].filter((one) => values("precision").includes(one)));
    chips($("targets"), "target", values("target").sort());
    sliders();
    const costs = Object.keys(Zoo.COSTS).filter((key) => rows.some((row) => row[key] !== null));
    choices($("cost"), costs.map((key) => [key, Zoo.COSTS[key]]));
    $("notes").replaceChildren(...["bold: the best row that ships, of the whole table", ...table.notes].map((line) => h("p", {}, line)));
    columnList();
  };

  const boardName = (board) => {
    if (!board.protocol) return "only times, no accuracy";
    const twins = data.boards.filter((one) => one.dataset === board.dataset && one.protocol);
    const name = board.dataset ?? board.data.slice(0, 12);
    return `${name}: ${board.queries} queries, ${board.gallery} images${twins.length > 1 ? ` (${board.data.slice(0, 6)}${twins.some((one) => one !== board && one.data === board.data) ? `; ${board.protocol}` : ""})` : ""}`;
  };

  // ---- controls
  const chips = (field, key, values) => {
    const legend = field.querySelector("legend");
    const chip = (value) => {
      const box = h("input", { type: "checkbox", value, onchange: () => change({ [key]: [...field.querySelectorAll("input:checked")].map((one) => one.value) }) });
      return h("label", { class: "chip" }, box, h("span", {}, value));
    };
    field.replaceChildren(legend, ...values.map(chip));
    field.hidden = values.length < 2;
  };

  const choices = (field, values) => {
    const legend = field.querySelector("legend");
    const chip = ([value, text]) => h("label", { class: "chip" }, h("input", { type: "radio", name: "cost", value, onchange: () => change({ cost: value }) }), h("span", {}, text));
    field.replaceChildren(legend, ...values.map(chip));
  };

  const spans = {};
  const sliders = () => {
    $("sliders").replaceChildren(
      ...Object.entries(Zoo.LIMITS).map(([name, { key, label, unit, scale, sign }]) => {
        const values = rows.map((row) => row[key]).filter((value) => value !== null).map((value) => value / scale);
        if (!values.length) return "";
        const [low, high] = d3.extent(values);
        const log = name !== "map" && low > 0;
        const at = log ? d3.scaleLog([low, high], [0, STEPS]) : d3.scaleLinear([low, high], [0, STEPS]);
        const open = sign === "<=" ? STEPS : 0;
        const range = h("input", { type: "range", id: `${name}-range`, min: 0, max: STEPS, step: 1, "aria-label": `${label}, ${unit}` });
        const number = h("input", { type: "number", id: name, step: "any", min: 0, placeholder: "any", "aria-label": `${label}, ${unit}, as a number` });
        range.addEventListener("input", () => {
          const place = Number(range.value);
          change({ [name]: place === open ? null : Number(at.invert(place).toPrecision(3)) });
        });
        number.addEventListener("input", () => change({ [name]: number.value === "" ? null : Number(number.value) }));
        spans[name] = { at, open, range, number };
        return h("div", { class: "slider" }, h("label", { for: name }, label), range, number);
      }).filter(Boolean),
    );
  };

  const narrow = matchMedia("(max-width: 600px)");
  const keysShown = () => {
    const first = narrow.matches ? Zoo.NARROW : Zoo.USUAL;
    const told = (key) => key !== "mj_per_image" || rows.some((row) => row.mj_per_image !== null);
    const wanted = new Set(state.columns ?? first.filter(told));
    const others = data.columns.filter((key) => key in data.shown && !first.includes(key));
    return [...first, ...others].filter((key) => wanted.has(key));
  };

  const columnList = () => {
    const known = data.columns.filter((key) => key in data.shown && key !== "model");
    const chosen = new Set(keysShown());
    $("column-list").replaceChildren(
      ...known.map((key) => {
        const box = h("input", { type: "checkbox", value: key, onchange: () => {
          const wanted = [...$("column-list").querySelectorAll("input:checked")].map((one) => one.value);
          change({ columns: wanted.length ? wanted : null });
        } });
        box.checked = chosen.has(key);
        return h("label", { class: "check" }, box, data.shown[key].heading === "✓" ? "ships" : data.shown[key].heading);
      }),
    );
  };

  const show = () => {
    for (const [name, { at, open, range, number }] of Object.entries(spans)) {
      const value = state[name];
      range.value = value === null ? open : Math.round(Math.max(0, Math.min(STEPS, at(value))));
      if (document.activeElement !== number) number.value = value ?? "";
      else if (value === null && number.value !== "") number.value = "";
    }
    for (const [id, key] of [["precisions", "precision"], ["targets", "target"]]) for (const box of $(id).querySelectorAll("input")) box.checked = state[key].includes(box.value);
    for (const box of $("cost").querySelectorAll("input")) box.checked = box.value === state.cost;
    $("ships").checked = state.ships;
    if (document.activeElement !== $("name")) $("name").value = state.name;
    for (const id of ["device", "board"]) $(id).value = state[id];
    $("settings").value = state.table;
    $("open-all").textContent = state.open ? "Hide sub-rows" : "Show all precisions";
    $("open-all").setAttribute("aria-pressed", String(state.open));
  };

  // ---- drawing
  const best = () => Object.fromEntries(Object.entries(table.best).map(([key, places]) => [key, new Set(places)]));

  const draw = () => {
    place();
    show();
    shown = Zoo.matching(rows, state);
    const chosen = rows.find((row) => row.key === state.row) ?? null;
    const front = Zoo.front(shown, state.cost);
    const limit = { p50_ms: state.ms, size_bytes: state.mb, mj_per_image: null }[state.cost];
    plot.draw({ rows: shown, front, cost: state.cost, chosen, batch: table.protocol.batch, limits: { cost: limit, map: state.map } });
    models.size = most;
    const told = models.draw(shown, { state, opened, chosen, best: best(), keys: keysShown(), caption: `${table.where}; ${table.how}` });
    $("count").textContent = `${Zoo.plural(told.models, "model")}, ${shown.length === rows.length ? "all" : `${Zoo.number(shown.length)} of`} ${Zoo.plural(rows.length, "row")}`;
    $("more").hidden = !told.more;
    $("more").textContent = `Show ${Zoo.number(Math.min(told.more, 500))} more of ${Zoo.plural(told.models, "model")}`;
    const drawn = shown.filter((row) => Zoo.drawable(row, state.cost)).length;
    const left = shown.length - drawn;
    $("plot-note").textContent = `${Zoo.plural(front.length, "point")} on the front, ${Zoo.number(drawn - front.length)} others in grey; hollow: dense. Shapes: ● fp32 ■ fp16 ◆ int8. Lines: 95 % interval of the mAP lost${state.cost === "p50_ms" ? "; to the right, up to p90" : ""}.${left ? ` Left out: ${Zoo.number(left)} void, unsteady or without a figure.` : ""}`;
    const command = Zoo.command(state, table);
    $("query").textContent = command.text;
    $("query-note").textContent = command.notes.join(" ");
    details(chosen);
    compared();
    write();
  };

  const details = (row) => {
    $("selected").hidden = !row;
    if (!row) return;
    $("selected-title").replaceChildren(h("a", { href: Zoo.releases.get(row.model).page }, row.model), ` ${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`);
    const whole = Zoo.whole(table, row);
    const about = Zoo.releases.get(row.model);
    const pairs = Zoo.keys.filter((key) => key !== "model" && whole[key] !== null).map((key) => [data.shown[key].heading === "✓" ? "ships" : data.shown[key].heading, key === "ships" ? (row.ships ? "yes" : "no") : Zoo.shown(whole, key)]);
    if (about.gate !== null) pairs.push(["gate, points of mAP", String(about.gate)]);
    if (row.map_drop_low !== null) pairs.push(["95 % interval of the mAP lost", `${Zoo.fixed(row.map_drop_low, 2)} … ${Zoo.fixed(row.map_drop_high, 2)}`]);
    $("details").replaceChildren(...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  };

  const compared = () => {
    const here = state.compare.filter((model) => rows.some((row) => row.model === model));
    $("compare").hidden = !state.compare.length;
    if (!state.compare.length) return;
    const away = state.compare.filter((model) => !here.includes(model));
    const notes = away.map((model) => h("p", { class: "note" }, `${model} was not measured here.`));
    const more = here.length < 2 ? [h("p", { class: "note" }, `Choose ${here.length ? "another" : "two"} in the table to see differences${here.length ? ` from ${here[0]}` : ""}. Up to four can be compared.`)] : Zoo.comparison(rows, here);
    $("differences").replaceChildren(...notes, ...more);
  };

  const change = (some) => {
    Object.assign(state, some);
    draw();
  };

  const choose = (row, scroll = false) => {
    const lead = Zoo.models(shown, state).find((one) => one.model === row.model);
    if (lead && lead.lead !== row) opened.add(row.model);
    change({ row: state.row === row.key && !scroll ? null : row.key });
    if (!scroll) return;
    let found = document.querySelector(`[data-row="${CSS.escape(row.key)}"]`);
    if (!found) {
      most = Infinity;
      draw();
      found = document.querySelector(`[data-row="${CSS.escape(row.key)}"]`);
    }
    found?.scrollIntoView({ block: "nearest" });
  };

  const beside = () => {
    const { estimated, pending, broken } = data;
    const name = (one) => `${one.model} on ${one.target}`;
    const cell = (one) => `${name(one)}, ${one.network} ${one.precision}`;
    const lines = [
      ...estimated.map((one) => `${cell(one)}: estimated, not measured: mAP ${Zoo.fixed(one.map, 2)}, ${Zoo.fixed(one.map_drop_points, 2)} lost; ${one.method}`),
      ...pending.map((one) => `${name(one)}: pending, its device has not measured yet`),
      ...broken.map((one) => `${cell(one)}: broken: ${one.reason}`),
    ];
    $("beside").hidden = !lines.length;
    const most = 40;
    const rest = lines.length > most ? [h("details", {}, h("summary", {}, `${lines.length - most} more`), h("ul", {}, lines.slice(most).map((line) => h("li", {}, line))))] : [];
    $("beside-list").replaceChildren(h("ul", {}, lines.slice(0, most).map((line) => h("li", {}, line))), ...rest);
  };

  const begin = () => {
    if (!data.tables.length) return;
    document.documentElement.classList.toggle("embed", new URLSearchParams(location.search).has("embed"));
    $("fallback").hidden = true;
    $("app").hidden = false;
    plot = new Zoo.Plot($("plot"), (row) => choose(row, true));
    models = new Zoo.Table($("table"), {
      sort: (key) => change({ sort: key, reverse: state.sort === key ? !state.reverse : false }),
      open: (model) => {
        if (state.open) for (const row of rows) opened.add(row.model);
        opened.has(model) ? opened.delete(model) : opened.add(model);
        change({ open: false });
      },
      choose,
      compare: (model) => change({ compare: state.compare.includes(model) ? state.compare.filter((one) => one !== model) : [...state.compare, model] }),
    });
    state = read();
    draw();
    beside();
    $("pick").addEventListener("submit", (event) => event.preventDefault());
    $("device").addEventListener("change", () => change({ device: $("device").value, table: null, row: null, ...narrowed() }));
    $("board").addEventListener("change", () => change({ board: $("board").value, table: null, row: null, ...narrowed() }));
    $("settings").addEventListener("change", () => change({ table: $("settings").value, row: null }));
    $("ships").addEventListener("change", () => change({ ships: $("ships").checked }));
    $("name").addEventListener("input", () => change({ name: $("name").value }));
    $("open-all").addEventListener("click", () => {
      opened.clear();
      change({ open: !state.open });
    });
    $("more").addEventListener("click", () => {
      most += 500;
      draw();
    });
    $("reset").addEventListener("click", () => {
      const { device, board, table: at, columns, cost } = state;
      change({ ...EMPTY, device, board, table: at, columns, cost });
    });
    $("unselect").addEventListener("click", () => change({ row: null }));
    $("uncompare").addEventListener("click", () => change({ compare: [] }));
    $("copy-query").addEventListener("click", () => Zoo.copy($("query").textContent, $("copy-query")));
    $("save-csv").addEventListener("click", () => Zoo.save.csv(table, shown));
    $("save-json").addEventListener("click", () => Zoo.save.json(table, shown));
    $("save-svg").addEventListener("click", () => Zoo.save.svg(plot.node));
    $("save-png").addEventListener("click", () => Zoo.save.png(plot.node));
    addEventListener("hashchange", () => {
      state = read();
      draw();
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest("#columns")) $("columns").open = false;
    });
    $("columns").addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        $("columns").open = false;
        $("columns").querySelector("summary").focus();
      }
    });
  };

  /** Filters by target mean nothing on another device. */
  const narrowed = () => ({ target: [], precision: [] });

  begin();
})();
