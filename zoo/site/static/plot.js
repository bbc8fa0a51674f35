// Accuracy against a cost. Points of one kind are one path, so thousands are drawn in milliseconds; the nearest to the
// pointer is found in a quadtree.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, marks } = Zoo;
  const NEAR = 24; // pixels from a point that still name it
  const [LEAST, LOW, HIGH] = [280, 250, 390]; // pixels: width, and height from … to
  const CROWD = 300; // points beside the front whose intervals are still drawn
  const byPlace = (a, b) => a.x - b.x || b.y - a.y;

  class Plot {
    /** In an element; `select` is called with the row of a point that is clicked or entered. */
    constructor(element, select) {
      this.element = element;
      this.select = select;
      this.points = [];
      this.at = -1;
      this.svg = d3.select(element).append("svg").attr("tabindex", 0).attr("role", "application");
      this.svg.attr("aria-roledescription", "scatter plot");
      this.tip = h("div", { class: "tip", hidden: true });
      this.told = h("p", { class: "hidden", role: "status" });
      element.append(this.tip, this.told);
      this.node.addEventListener("pointermove", (event) => this.point(this.near(event)));
      this.node.addEventListener("pointerleave", () => this.point(null));
      this.node.addEventListener("click", (event) => {
        const found = this.near(event);
        if (found) this.select(found.row);
      });
      this.node.addEventListener("keydown", (event) => this.key(event));
      this.node.addEventListener("blur", () => this.point(null));
      this.room = element.clientWidth; // kept, since reading it after each change would lay out the page
      new ResizeObserver(() => {
        if (!element.clientWidth || element.clientWidth === this.room) return;
        this.room = element.clientWidth;
        if (this.view) this.draw(this.view);
      }).observe(element);
    }

    get node() {
      return this.svg.node();
    }

    near(event) {
      const box = this.node.getBoundingClientRect();
      const scale = this.width / box.width;
      return this.tree?.find((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, NEAR) ?? null;
    }

    key(event) {
      const last = this.points.length - 1;
      const [next, before] = [this.at + 1, this.at - 1];
      const moves = { ArrowRight: next, ArrowUp: next, ArrowLeft: before, ArrowDown: before, Home: 0, End: last };
      const here = this.points[this.at];
      if (Object.hasOwn(moves, event.key) && last >= 0) {
        this.point(this.points[Math.max(0, Math.min(last, moves[event.key]))]);
        this.told.textContent = this.tip.textContent;
      } else if ((event.key === "Enter" || event.key === " ") && here) {
        this.select(here.row);
      } else if (event.key === "Escape") {
        this.point(null);
      } else {
        return;
      }
      event.preventDefault();
    }

    /** Name a point, or none. */
    point(found) {
      if (!found && this.tip.hidden) return;
      this.svg.selectAll("[data-passing]").remove();
      this.tip.hidden = !found;
      if (!found) return;
      const { row, x, y } = found;
      const { cost } = this.view;
      this.at = this.points.indexOf(found);
      this.add("ring", marks.shape(found, 8)).attr("data-passing", "");
      const figures = `mAP ${Zoo.shown(row, "map")} %, ${Zoo.shown(row, cost)} ${Zoo.COSTS[cost]}`;
      const what = `${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`;
      this.tip.replaceChildren(h("b", {}, row.model), figures, h("br"), what);
      const scale = this.element.clientWidth / this.width;
      const [left, wide] = [x * scale, this.tip.offsetWidth];
      const fits = this.element.clientWidth - left >= wide + 16;
      this.tip.style.left = `${Math.max(0, fits ? left + 14 : left - wide - 14)}px`;
      this.tip.style.top = `${Math.max(0, y * scale - 20)}px`;
    }

    /** A path of a class. */
    add(kind, d) {
      return this.svg.append("path").attr("class", kind).attr("d", d);
    }

    /** Draw `{rows, front, cost, chosen, batch, limits}`. */
    draw(view) {
      this.view = view;
      const { rows, front, cost } = view;
      const width = (this.width = Math.max(LEAST, this.room || 640));
      const height = Math.round(Math.min(HIGH, Math.max(LOW, 0.52 * width)));
      this.points = [];
      this.tree = null;
      this.at = -1;
      this.point(null);
      this.svg.selectAll("*").remove();
      this.svg.attr("viewBox", `0 0 ${width} ${height}`);
      const drawn = rows.filter((row) => Zoo.drawable(row, cost) && row[cost] > 0);
      const counts = `${Zoo.plural(drawn.length, "point")}, ${front.length} on the front`;
      const how = "Arrow keys name points, Enter shows one.";
      this.svg.attr("aria-label", `mAP against ${Zoo.COSTS[cost]}: ${counts}. ${how}`);
      if (drawn.length) this.fill(drawn, marks, width, height);
      else this.text(rows.length ? "No row has both figures." : "No row is within the budget and the filters.", width / 2, height / 2, "middle");
    }

    text(text, x, y, anchor, kind = null) {
      this.svg.append("text").attr("class", kind).attr("x", x).attr("y", y).attr("text-anchor", anchor).text(text);
    }

    fill(drawn, { CAP, ends, frame, legend, axes, intervals, shape, step, names, limits }, width, height) {
      const { front, cost, chosen, batch } = this.view;
      const { scale } = Zoo.data.shown[cost];
      const costs = drawn.map((row) => row[cost] * scale);
      const accuracies = drawn.flatMap((row) => [row.map, ...ends(row)]);
      const it = frame(costs, accuracies, width, height, scale);
      axes(this.svg, it, cost, batch);
      legend(this.svg, it, drawn);
      const place = (row) => ({ row, x: it.x(row[cost] * scale), y: it.y(row.map) });
      this.points = drawn.map(place).sort(byPlace);
      this.tree = d3
        .quadtree()
        .x((one) => one.x)
        .y((one) => one.y)
        .addAll(this.points);
      const on = new Set(front);
      const best = this.points.filter((one) => on.has(one.row));
      const others = this.points.filter((one) => !on.has(one.row));
      const path = (kind, points, r) => {
        if (points.length) this.add(kind, points.map((one) => shape(one, r)).join(""));
      };
      const lines = (kind, points, cap) =>
        this.add(kind, points.map((one) => intervals(one, it, cost, cap)).join(""));
      if (others.length <= CROWD) lines("interval", others, 0);
      const of = (network) => others.filter((one) => one.row.network === network);
      path("dominated", of("student"), 3.4);
      path("dense", of("teacher"), 3.6);
      this.add("step", step(best, it));
      lines("interval on-front", best, CAP);
      path("front", best, 4.8);
      for (const name of names(best, this.points, it)) this.text(name.text, name.x, name.y, name.anchor, "name");
      for (const ends of limits(this.view.limits, it)) {
        const line = this.svg.append("line").attr("class", "limit");
        ["x1", "y1", "x2", "y2"].forEach((key, at) => line.attr(key, ends[at]));
      }
      path(
        "ring",
        this.points.filter((one) => one.row === chosen),
        9,
      );
    }
  }

  Zoo.Plot = Plot;
  Zoo.CROWD = CROWD;
})();
