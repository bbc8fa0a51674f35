// Changes from one release to another in a table, as `zoo diff` judges them (zoo.tables.diff): a time has changed if it
// moved beyond the tolerance and the machine is ruled out as the cause.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  Zoo.BUCKETS = ["regressions", "improvements", "unsure", "unchanged"];
  Zoo.TOLERANCE = { points: 0.5, percent: 5 }; // the defaults of `zoo diff`
  const FIGURES = ["map", "p50_ms", "images_per_second"];

  const newest = (rows, fits) => rows.findLast(fits) ?? rows.at(-1);
  const worse = (figure, moved) => moved > 0 === (Zoo.data.shown[figure].better === "low");

  /** Rows of students by target and precision, oldest first. */
  const seen = (rows) => {
    const found = new Map();
    const ordered = [...rows].sort((a, b) =>
      a.measured_at < b.measured_at ? -1 : a.measured_at > b.measured_at ? 1 : 0,
    );
    for (const row of ordered) {
      if (row.network !== "student") continue;
      const key = `${row.target} ${row.precision}`;
      found.set(key, [...(found.get(key) ?? []), row]);
    }
    return found;
  };

  const interval = ([low, high]) => `${Zoo.fixed(low, 2)} … ${Zoo.fixed(high, 2)}`;

  /** Why a time may have moved without the model; empty if the model is the cause. */
  const doubt = (before, after, figure, slower) => {
    const at = figure === "p50_ms" ? "p50" : "throughput";
    const sides = [
      ["before", before],
      ["after", after],
    ];
    const told = sides.filter(([, row]) => row.disturbed).map(([name, row]) => `${name}: ${row.disturbed}`);
    if (told.length) return `unsteady, ${told.join("; ")}`;
    const restless = sides.filter(([, row]) => !row[`${at}_steady`]).map(([name]) => name);
    if (restless.length) return `never became steady: ${restless.join(" and ")}`;
    const [was, now] = [before[`${at}_ratios`], after[`${at}_ratios`]];
    const dense = [before, after].map((row) => String(Zoo.releases.get(row.model).dense));
    if (!was || !now || dense[0] !== dense[1]) return "";
    if (slower ? now[1] < was[0] : now[0] > was[1]) return "";
    return `ratio to the dense network ${interval(was)}× before and ${interval(now)}× after`;
  };

  const change = (before, after, figure, moved, tolerance, why) => {
    let bucket = "unchanged";
    if (why || moved === null) bucket = "unsure";
    else if (Math.abs(moved) > tolerance) bucket = worse(figure, moved) ? "regressions" : "improvements";
    return { figure, before: before[figure], after: after[figure], change: moved, bucket, why };
  };

  const judged = (before, after, figure, { points, percent }) => {
    if (figure === "map") {
      const missing = before.map === null || after.map === null;
      if (missing) return change(before, after, figure, null, points, "accuracy was not measured for both");
      return change(before, after, figure, after.map - before.map, points, "");
    }
    const hot = after.void || before.void;
    if (hot) return change(before, after, figure, null, percent, `void, throttled by ${hot}`);
    const moved = 100 * (after[figure] / before[figure] - 1);
    const why = Math.abs(moved) > percent ? doubt(before, after, figure, worse(figure, moved)) : "";
    return change(before, after, figure, moved, percent, why);
  };

  /** Changes between the rows of two releases in one table. */
  Zoo.differences = (before, after, tolerance = Zoo.TOLERANCE) => {
    const [old, fresh] = [seen(before), seen(after)];
    const found = [];
    for (const [key, was] of old) {
      const now = fresh.get(key);
      if (!now) continue;
      const about = { target: now.at(-1).target, precision: now.at(-1).precision };
      for (const figure of FIGURES) {
        const fits = figure === "map" ? (row) => row.map !== null : (row) => !row.void;
        found.push({ ...about, ...judged(newest(was, fits), newest(now, fits), figure, tolerance) });
      }
    }
    return found;
  };
})();
