// The filter of table and plot, and the equal command. A missing value is neither above nor below a limit.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const LONGEST = 1000; // characters of a query that `zoo search` reads
  Zoo.LIMITS = {
    map: { key: "map", sign: ">=", unit: "%", label: "mAP ≥", scale: 1 },
    ms: { key: "p50_ms", sign: "<=", unit: "ms", label: "ms ≤", scale: 1 },
    mb: { key: "size_bytes", sign: "<=", unit: "MB", label: "MB ≤", scale: 1e6 },
  };

  const limited = (row, state) =>
    Object.entries(Zoo.LIMITS).every(([name, { key, sign, scale }]) => {
      const limit = state[name];
      if (limit === null) return true;
      const value = row[key];
      if (value === null) return false;
      return sign === "<=" ? value <= bound(limit, scale) : value >= bound(limit, scale);
    });
  const bound = (limit, scale) => (scale === 1 ? limit : Math.round(limit * scale));

  Zoo.matching = (rows, state) => {
    const name = state.name.trim().toLowerCase();
    return rows.filter(
      (row) =>
        (!state.ships || row.ships) &&
        (!state.precision.length || state.precision.includes(row.precision)) &&
        (!state.target.length || state.target.includes(row.target)) &&
        limited(row, state) &&
        (!name || row.model.toLowerCase().includes(name)),
    );
  };

  /** A text in a query; null if it has both quotes, which a query can't hold. */
  const quoted = (text) => (!text.includes('"') ? `"${text}"` : !text.includes("'") ? `'${text}'` : null);

  const any = (key, values) => {
    const told = values.map((value) => `${key} == ${quoted(value)}`);
    return told.length > 1 ? `(${told.join(" or ")})` : told[0];
  };

  /** The command whose rows are those of the view, and what it can't say. */
  Zoo.command = (state, table) => {
    const clauses = Object.entries(Zoo.LIMITS)
      .filter(([name]) => state[name] !== null)
      .map(([name, { key, sign, scale }]) => `${key} ${sign} ${bound(state[name], scale)}`);
    if (state.precision.length) clauses.push(any("precision", state.precision));
    if (state.target.length) clauses.push(any("target", state.target));
    const notes = [
      "It asks the releases on your machine, and prints one table per protocol; the page shows one of them.",
    ];
    const device = quoted(table.protocol.device);
    const all = device === null ? clauses : [...clauses, `device == ${device}`];
    const fits = device !== null && all.join(" and ").length <= LONGEST;
    if (!fits) notes.push("The device's name does not fit in a query.");
    if (state.name.trim()) notes.push("The filter on names has no equal in a query.");
    const query = (fits ? all : clauses).join(" and ") || "size_bytes >= 0";
    const words = ["zoo search", Zoo.quoted(query), ...(state.ships ? [] : ["--all-precisions"])];
    if (!state.reverse) words.push("--sort", state.sort);
    return { text: words.join(" "), query, notes };
  };
})();
