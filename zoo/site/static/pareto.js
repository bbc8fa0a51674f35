// The Pareto front, as `zoo.tables.pareto`: over students, cheapest first, rows with equal figures all or none.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  Zoo.COSTS = { p50_ms: "ms", size_bytes: "MB", mj_per_image: "mJ" };

  Zoo.drawable = (row, cost) =>
    row.map !== null && row[cost] !== null && (row.doubt === null || !Zoo.data.shown[cost].timed);

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
