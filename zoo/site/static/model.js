// Rows of tables as objects, made when a table is first shown.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const data = (Zoo.data = globalThis.zooData);
  const KEYS = Object.keys(data.shown);
  const made = new Map();

  Zoo.keys = KEYS;
  Zoo.releases = new Map(data.releases.map((one) => [one.model, one]));
  Zoo.pending = new Map();
  for (const one of data.pending) Zoo.pending.set(one.model, [...(Zoo.pending.get(one.model) ?? []), one.target]);

  /** Rows of a table. `key` names a row in the URL. */
  Zoo.rows = (table) => {
    if (!made.has(table)) {
      const { columns } = data;
      const seen = new Map();
      const rows = table.rows.map((values, place) => {
        const row = { place };
        for (let at = 0; at < columns.length; at++) row[columns[at]] = values[at];
        const name = [row.model, row.target, row.network, row.precision].join(" ");
        const count = seen.get(name) ?? 0;
        seen.set(name, count + 1);
        row.key = count ? `${name} ${count + 1}` : name;
        return row;
      });
      made.set(table, rows);
    }
    return made.get(table);
  };

  /** A row with all columns of `zoo compare --format csv`, in their order. */
  Zoo.whole = (table, row) => {
    const unjudged = row.map === null ? { data: null, protocol: null, queries: null, gallery: null } : {};
    const all = { ...row, ...table.protocol, ...unjudged };
    return Object.fromEntries(KEYS.map((key) => [key, all[key]]));
  };

  /** The heading of a column. */
  Zoo.heading = (key) => (key === "ships" ? "ships" : data.shown[key].heading);

  Zoo.name = (row) => `${row.model} ${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`;

  /** Whether the mAP lost is within the gate of the release: true, false, or null where nothing is known. */
  Zoo.gate = (row) => {
    const limit = Zoo.releases.get(row.model)?.gate ?? null;
    if (limit === null || row.map_drop_points === null || row.precision === "fp32") return null;
    return row.map_drop_points <= limit;
  };

  /** Order of rows by a column, best first as `zoo search --sort`; a missing value comes last either way. */
  Zoo.order = (key, reverse) => {
    const column = data.shown[key];
    const sign = (column.better === "high" ? -1 : 1) * (reverse ? -1 : 1);
    return (a, b) => {
      const [x, y] = [a[key], b[key]];
      if (x === null || y === null) return (x === null) - (y === null);
      return x < y ? -sign : x > y ? sign : 0;
    };
  };
})();
