// What a visitor chose, kept in the URL: `#device=…&map=50`, with what differs from the defaults.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { data } = Zoo;
  const WAIT = 300; // ms; browsers refuse more than some hundred changes of the URL in 30 s
  const MOST_COMPARED = 4;
  const TEXTS = ["device", "board", "table", "name", "row"];
  const LISTS = ["precision", "target", "columns", "compare"];
  const FLAGS = ["ships"];

  Zoo.EMPTY = {
    device: null,
    board: null,
    table: null,
    cost: "p50_ms",
    sort: "p50_ms",
    reverse: false,
    ms: null,
    mb: null,
    map: null,
    precision: [],
    target: [],
    ships: false,
    name: "",
    columns: null,
    compare: [],
    row: null,
    open: null, // whether all rows of models are shown; null: where there are few models
  };

  /** The state in the URL. What is not ours in it is left out. */
  Zoo.readState = () => {
    const told = new URLSearchParams(location.hash.slice(1));
    const state = { ...Zoo.EMPTY };
    for (const key of TEXTS) state[key] = told.get(key) ?? Zoo.EMPTY[key];
    for (const key of LISTS) if (told.has(key)) state[key] = told.get(key).split(",").filter(Boolean);
    for (const key of FLAGS) state[key] = told.get(key) === "1";
    if (told.has("open")) state.open = told.get("open") === "1";
    for (const key of Object.keys(Zoo.LIMITS)) {
      const text = told.get(key) ?? "";
      if (text !== "" && Number.isFinite(Number(text))) state[key] = Number(text);
    }
    if (Object.hasOwn(Zoo.COSTS, told.get("cost") ?? "")) state.cost = told.get("cost");
    const sort = told.get("sort") ?? "";
    const key = sort.replace(/^-/, "");
    if (Object.hasOwn(data.shown, key)) [state.sort, state.reverse] = [key, sort.startsWith("-")];
    if (state.columns) state.columns = state.columns.filter((one) => Object.hasOwn(data.shown, one));
    state.compare = [...new Set(state.compare)].filter((one) => Zoo.releases.has(one)).slice(0, MOST_COMPARED);
    return state;
  };

  /** The part of the URL behind `#`. The place (device, board, table) is there unless it is the usual one. */
  Zoo.stateText = (state, usual) => {
    const told = new URLSearchParams();
    const put = (key) => {
      const value = state[key];
      if (value !== null && value !== "" && value !== false) told.set(key, value === true ? "1" : value);
    };
    if (!usual) for (const key of ["device", "board", "table"]) put(key);
    for (const key of [...Object.keys(Zoo.LIMITS), ...FLAGS, "name", "row"]) put(key);
    for (const key of LISTS) if (state[key]?.length) told.set(key, state[key].join(","));
    if (state.open !== null) told.set("open", state.open ? "1" : "0");
    if (state.cost !== Zoo.EMPTY.cost) put("cost");
    if (state.sort !== Zoo.EMPTY.sort || state.reverse) told.set("sort", (state.reverse ? "-" : "") + state.sort);
    return told.toString();
  };

  let address = "";
  let waiting = null;
  let last = -Infinity;

  const write = () => {
    waiting = null;
    last = performance.now();
    if (address === location.hash.slice(1)) return;
    history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
  };

  /** Put a text behind the `#` of the URL, soon. */
  Zoo.keepState = (text) => {
    address = text;
    waiting ??= setTimeout(write, Math.max(0, last + WAIT - performance.now()));
  };
})();
