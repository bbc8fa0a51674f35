// Accuracy against a cost. Points of one kind are one path, so thousands are drawn in milliseconds; the nearest to the
// pointer is found in a quadtree.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const MARGIN = { top: 14, right: 20, bottom: 38, left: 46 };
  const NEAR = 24; // pixels
  const NAMED = 14; // points of the front that carry a name, if there is room
  const round = (value) => Math.round(value * 10) / 10;

  const SHAPES = {
    fp32: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
    fp16: (x, y, r) => `M${round(x - 0.88 * r)},${round(y - 0.88 * r)}h${1.76 * r}v${1.76 * r}h${-1.76 * r}Z`,
    int8: (x, y, r) => `M${x},${round(y - 1.25 * r)}l${1.25 * r},${1.25 * r}l${-1.25 * r},${1.25 * r}l${-1.25 * r},${-1.25 * r}Z`,
  };
  const shape = (row, x, y, r) => (SHAPES[row.precision] ?? SHAPES.fp32)(round(x), round(y), r);

  class Plot {
    /** In an element; `select` is called with the row of a point that is clicked or entered. */
    constructor(element, select) {
      this.element = element;
      this.select = select;
      this.points = [];
      this.at = -1;
      this.svg = d3
        .select(element)
        .append("svg")
        .attr("tabindex", 0)
        .attr("role", "application")
        .attr("aria-roledescription", "scatter plot");
      this.tip = Zoo.h("div", { class: "tip", hidden: true });
      this.told = Zoo.h("p", { class: "hidden", role: "status" });
      element.append(this.tip, this.told);
      const node = this.svg.node();
      node.addEventListener("pointermove", (event) => this.point(this.near(event)));
      node.addEventListener("pointerleave", () => this.point(null));
      node.addEventListener("click", (event) => {
        const found = this.near(event);
        if (found) this.select(found.row);
      });
      node.addEventListener("keydown", (event) => this.key(event));
      node.addEventListener("blur", () => this.point(null));
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
      const moves = { ArrowRight: this.at + 1, ArrowUp: this.at + 1, ArrowLeft: this.at - 1, ArrowDown: this.at - 1, Home: 0, End: last };
      if (event.key in moves && last >= 0) {
        this.at = Math.max(0, Math.min(last, moves[event.key]));
        this.point(this.points[this.at]);
        this.told.textContent = this.tip.textContent;
      } else if ((event.key === "Enter" || event.key === " ") && this.points[this.at]) {
        this.select(this.points[this.at].row);
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
      this.at = this.points.indexOf(found);
      this.svg.append("path").attr("class", "ring").attr("data-passing", "").attr("d", shape(found.row, found.x, found.y, 8));
      const { row } = found;
      const cost = `${Zoo.shown(row, this.view.cost)} ${Zoo.COSTS[this.view.cost]}`;
      const lines = [`mAP ${Zoo.shown(row, "map")} %, ${cost}`, `${row.network === "teacher" ? "dense " : ""}${row.precision} on ${row.target}`];
      this.tip.replaceChildren(Zoo.h("b", {}, row.model), ...lines.flatMap((line, at) => (at ? [Zoo.h("br"), line] : [line])));
      const scale = this.element.clientWidth / this.width;
      const left = found.x * scale;
      const room = this.element.clientWidth - left;
      const wide = this.tip.offsetWidth;
      this.tip.style.left = `${Math.max(0, room < wide + 16 ? left - wide - 14 : left + 14)}px`;
      this.tip.style.top = `${Math.max(0, found.y * scale - 20)}px`;
    }

    /** Draw `{rows, front, cost, chosen, limits}`. */
    draw(view) {
      this.view = view;
      const { rows, front, cost } = view;
      const width = (this.width = Math.max(280, this.room || 640));
      const height = Math.round(Math.min(390, Math.max(250, 0.52 * width)));
      const { svg } = this;
      svg.selectAll("*").remove();
      svg.attr("viewBox", `0 0 ${width} ${height}`);
      const drawn = rows.filter((row) => Zoo.drawable(row, cost));
      svg.attr(
        "aria-label",
        `mAP against ${Zoo.COSTS[cost]}: ${Zoo.plural(drawn.length, "point")}, ${front.length} on the front. Arrow keys name points, Enter shows one.`,
      );
      this.points = [];
      this.tree = null;
      this.point(null);
      if (!drawn.length) {
        svg.append("text").attr("x", width / 2).attr("y", height / 2).attr("text-anchor", "middle").text("No point with both figures");
        return;
      }
      const scale = Zoo.data.shown[cost].scale;
      const x = this.across(drawn.map((row) => row[cost] * scale), width);
      const y = this.up(drawn.map((row) => row.map), height);
      this.axes(x, y, width, height, cost);
      const place = (row) => ({ row, x: x(row[cost] * scale), y: y(row.map) });
      const on = new Set(front);
      this.points = drawn.map(place).sort((a, b) => a.x - b.x || b.y - a.y);
      this.tree = d3.quadtree(this.points, (one) => one.x, (one) => one.y);
      const inside = { x, y, scale, left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
      const back = this.points.filter((one) => !on.has(one.row));
      const best = this.points.filter((one) => on.has(one.row)).sort((a, b) => a.x - b.x || b.y - a.y);
      const path = (kind, points, r) =>
        points.length && svg.append("path").attr("class", kind).attr("d", points.map((one) => shape(one.row, one.x, one.y, r)).join(""));
      const lines = (kind, points) => {
        const told = points.map((one) => this.intervals(one, inside)).join("");
        if (told) svg.append("path").attr("class", kind).attr("d", told);
      };
      lines("interval", back);
      path("dominated", back.filter((one) => one.row.network === "student"), 3.4);
      path("dense", back.filter((one) => one.row.network === "teacher"), 3.6);
      this.step(best, inside);
      lines("interval on-front", best);
      path("front", best, 4.8);
      this.names(best, inside);
      this.limits(view.limits, inside);
      const chosen = this.points.filter((one) => one.row === view.chosen);
      path("ring", chosen, 9);
    }

    across(values, width) {
      const [low, high] = d3.extent(values);
      const pad = Math.max(1.06, (high / low) ** 0.05);
      return d3.scaleLog().domain([low / pad, high * pad]).range([MARGIN.left, width - MARGIN.right]);
    }

    up(values, height) {
      const [low, high] = d3.extent(values);
      const pad = Math.max(0.5, 0.08 * (high - low));
      return d3.scaleLinear().domain([low - pad, high + pad]).range([height - MARGIN.bottom, MARGIN.top]);
    }

    axes(x, y, width, height, cost) {
      const { svg } = this;
      const wanted = Math.max(3, Math.floor(width / 90));
      const plain = x.ticks(wanted);
      const round = plain.filter((value) => [1, 2, 5].includes(Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9))));
      const ticks = plain.length > wanted + 2 && round.length > 2 ? round : plain;
      const below = `translate(0,${height - MARGIN.bottom})`;
      const grid = (axis) => svg.append("g").attr("class", "grid").call(axis.tickFormat("").tickSizeOuter(0)).call((g) => g.select(".domain").remove());
      grid(d3.axisLeft(y).ticks(6).tickSize(-(width - MARGIN.left - MARGIN.right))).attr("transform", `translate(${MARGIN.left},0)`);
      grid(d3.axisBottom(x).tickValues(ticks).tickSize(-(height - MARGIN.top - MARGIN.bottom))).attr("transform", below);
      svg.append("g").attr("class", "axis").attr("transform", below).call(d3.axisBottom(x).tickValues(ticks).tickFormat(d3.format("~g")).tickSizeOuter(0).tickSize(4));
      svg.append("g").attr("class", "axis").attr("transform", `translate(${MARGIN.left},0)`).call(d3.axisLeft(y).ticks(6).tickSize(4).tickSizeOuter(0));
      const batch = this.view.batch;
      const label = { p50_ms: `p50 of a call, ms, batch ${batch}`, size_bytes: "size on disk, MB", mj_per_image: `energy, mJ per image, batch ${batch}` }[cost];
      svg.append("text").attr("x", width - MARGIN.right).attr("y", height - 4).attr("text-anchor", "end").text(`${label} (left is better)`);
      svg.append("text").attr("x", 2).attr("y", height - 4).text("mAP, % ↑");
    }

    /** Upwards and down: the 95 % interval of the mAP lost. To the right, for times: up to p90. */
    intervals({ row, x, y }, inside) {
      let told = "";
      if (row.map_drop_low !== null && row.map_drop_points !== null) {
        const ends = [row.map_drop_high, row.map_drop_low].map((drop) => inside.y(row.map + row.map_drop_points - drop));
        const [low, high] = ends.map((end) => Math.max(inside.top, Math.min(inside.bottom, end)));
        told += `M${round(x)},${round(low)}V${round(high)}`;
      }
      if (this.view.cost === "p50_ms" && row.p90_ms !== null) {
        told += `M${round(x)},${round(y)}H${round(Math.min(inside.right, inside.x(row.p90_ms * inside.scale)))}`;
      }
      return told;
    }

    step(best, inside) {
      if (!best.length) return;
      const corners = best.map((one, at) => (at ? `H${round(one.x)}V${round(one.y)}` : `M${round(one.x)},${round(one.y)}`));
      this.svg.append("path").attr("class", "step").attr("d", `${corners.join("")}H${inside.right}`);
    }

    /** Names beside points of the front, each once, where they cover no other name or point of it. */
    names(best, inside) {
      const taken = best.map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
      const told = new Set();
      const labels = [];
      const versions = new Map();
      for (const { row } of this.points) versions.set(row.name, (versions.get(row.name) ?? new Set()).add(row.model));
      for (const { row, x, y } of best) {
        const model = versions.get(row.name).size > 1 ? row.model : row.name;
        const text = told.has(model) ? row.precision : `${model.length > 26 ? `${model.slice(0, 25)}…` : model} ${row.precision}`;
        if (labels.some((one) => one.text === text && Math.abs(one.x - x) < 60) || labels.length >= NAMED) continue;
        const wide = 6.1 * text.length;
        const spots = [[x - 8, y - 7, "end"], [x + 8, y + 14, "start"], [x + 9, y - 7, "start"], [x - 8, y + 14, "end"]];
        for (const [left, base, anchor] of spots) {
          const start = anchor === "end" ? left - wide : left;
          const box = [start, base - 10, start + wide, base + 3];
          const out = box[0] < inside.left || box[2] > inside.right || box[1] < 0 || box[3] > inside.bottom;
          if (out || taken.some((one) => box[0] < one[2] && box[2] > one[0] && box[1] < one[3] && box[3] > one[1])) continue;
          taken.push(box);
          told.add(model);
          labels.push({ text, left, base, anchor, x });
          break;
        }
      }
      this.svg.selectAll(".name").data(labels).join("text").attr("class", "name").attr("x", (one) => one.left).attr("y", (one) => one.base)
        .attr("text-anchor", (one) => one.anchor).text((one) => one.text);
    }

    /** The budget, where it lies in the plot. */
    limits(limits, inside) {
      const line = (x1, y1, x2, y2) =>
        this.svg.append("line").attr("class", "limit").attr("x1", x1).attr("y1", y1).attr("x2", x2).attr("y2", y2);
      const [across, up] = [limits.cost === null ? null : inside.x(limits.cost), limits.map === null ? null : inside.y(limits.map)];
      if (across !== null && across > inside.left && across <= inside.right) line(across, inside.top, across, inside.bottom);
      if (up !== null && up >= inside.top && up <= inside.bottom) line(inside.left, up, inside.right, up);
    }
  }

  Zoo.Plot = Plot;
})();
