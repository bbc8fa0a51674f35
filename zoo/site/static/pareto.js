// The cheapest row, and the Pareto front, as `zoo.tables.pareto`: over students, cheapest first, rows with equal figures
// all or none.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  Zoo.COSTS = { p50_ms: "ms", size_bytes: "MB", mj_per_image: "mJ" };

  Zoo.drawable = (row, cost) =>
    row.map !== null && row[cost] !== null && (row.doubt === null || !Zoo.data.shown[cost].timed);

  /** The cheapest row that ships and counts, which answers "the fastest model above …"; null if there is none. */
  Zoo.cheapest = (rows, cost) => {
    const withdrawn = (row) => Zoo.releases.get(row.model).yanked !== null;
    const counts = (row) => row.ships && row.standing !== "reported" && row[cost] !== null && !withdrawn(row);
    const steady = (row) => row.doubt === null || !Zoo.data.shown[cost].timed;
    const better = (row, best) => best === null || row[cost] < best[cost] || (row[cost] === best[cost] && row.map > best.map);
    return rows.reduce((best, row) => (counts(row) && steady(row) && better(row, best) ? row : best), null);
  };

  Zoo.front = (rows, cost) => {
    const own = rows.filter((row) => row.standing !== "reported");
    const students = own.filter((row) => row.network === "student" && Zoo.drawable(row, cost));
    students.sort((a, b) => a[cost] - b[cost] || b.map - a.map);
    const best = [];
    for (const row of students) {
      const last = best.at(-1);
      const tied = last && row[cost] === last[cost] && row.map === last.map;
      if (!last || tied || row.map > last.map) best.push(row);
    }
    return best;
  };
})();
