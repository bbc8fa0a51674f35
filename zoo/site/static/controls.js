// The budget, the chips and the list of columns.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const STEPS = 200; // of a slider
  const PRECISIONS = ["fp32", "fp16", "int8"];
  const narrow = matchMedia("(max-width: 600px)");
  class Controls {
    /** `change` receives what a visitor changed. */
    constructor(change) {
      this.change = change;
      this.sliders = [];
    }

    /** Fill them for the rows of a table. */
    fill(rows, state) {
      const values = (key) => [...new Set(rows.map((row) => row[key]))];
      const precisions = values("precision");
      this.chips(
        $("precisions"),
        "precision",
        PRECISIONS.filter((one) => precisions.includes(one)),
      );
      this.chips($("targets"), "target", values("target").sort());
      const costs = Object.keys(Zoo.COSTS).filter((key) => rows.some((row) => row[key] !== null));
      this.costs($("cost"), costs);
      this.sliders = Object.entries(Zoo.LIMITS)
        .map(([name, limit]) => this.slider(name, limit, rows))
        .filter(Boolean);
      $("sliders").replaceChildren(...this.sliders.map((one) => one.element));
      this.columns(rows, state);
    }

    chips(field, key, values) {
      const chosen = () => [...field.querySelectorAll("input:checked")].map((box) => box.value);
      const chip = (value) => {
        const box = h("input", { type: "checkbox", value, onchange: () => this.change({ [key]: chosen() }) });
        return h("label", { class: "chip" }, box, h("span", {}, value));
      };
      field.replaceChildren(field.querySelector("legend"), ...values.map(chip));
      field.hidden = values.length < 2;
    }

    costs(field, keys) {
      const chip = (value) => {
        const box = h("input", { type: "radio", name: "cost", value, onchange: () => this.change({ cost: value }) });
        return h("label", { class: "chip" }, box, h("span", {}, Zoo.COSTS[value]));
      };
      field.replaceChildren(field.querySelector("legend"), ...keys.map(chip));
    }

    /** A slider with its number; at its open end there is no limit. */
    slider(name, { key, label, unit, scale, sign }, rows) {
      const values = rows.filter((row) => row[key] !== null).map((row) => row[key] / scale);
      if (!values.length) return null;
      const [low, high] = d3.extent(values);
      const log = name !== "map" && low > 0;
      const at = (log ? d3.scaleLog : d3.scaleLinear)([low, high], [0, STEPS]);
      const open = sign === "<=" ? STEPS : 0;
      const say = `${label}, ${unit}`;
      const range = h("input", { type: "range", id: `${name}-range`, min: 0, max: STEPS, step: 1, "aria-label": say });
      const about = { min: 0, step: "any", placeholder: "any", "aria-label": `${say}, as a number` };
      const number = h("input", { type: "number", id: name, ...about });
      range.addEventListener("input", () => {
        const place = Number(range.value);
        this.change({ [name]: place === open ? null : Number(at.invert(place).toPrecision(3)) });
      });
      number.addEventListener("input", () =>
        this.change({ [name]: number.value === "" ? null : Number(number.value) }),
      );
      const element = h("div", { class: "slider" }, h("label", { for: name }, label), range, number);
      return { name, at, open, range, number, element };
    }

    columns(rows, state) {
      const known = data.columns.filter((key) => Object.hasOwn(data.shown, key) && key !== "model");
      const shown = new Set(this.keys(rows, state));
      const list = $("column-list");
      const chosen = () => [...list.querySelectorAll("input:checked")].map((box) => box.value);
      const onchange = () => this.change({ columns: chosen().length ? chosen() : null });
      const choice = (key) => {
        const box = h("input", { type: "checkbox", value: key, onchange });
        box.checked = shown.has(key);
        return h("label", { class: "check", title: data.shown[key].meaning }, box, Zoo.heading(key));
      };
      list.replaceChildren(...known.map(choice));
    }

    /** Columns of the table of models, in their order. */
    keys(rows, state) {
      const first = narrow.matches ? Zoo.NARROW : Zoo.USUAL;
      const told = (key) => key !== "mj_per_image" || rows.some((row) => row.mj_per_image !== null);
      const wanted = new Set(state.columns ?? first.filter(told));
      const others = data.columns.filter((key) => Object.hasOwn(data.shown, key) && !first.includes(key));
      return [...first, ...others].filter((key) => wanted.has(key));
    }

    /** Show a state. A field in which somebody writes stays as it is. */
    show(state, open) {
      for (const { name, at, open, range, number } of this.sliders) {
        const value = state[name];
        range.value = value === null ? open : Math.round(Math.max(0, Math.min(STEPS, at(value))));
        if (document.activeElement !== number || value === null) number.value = value ?? "";
      }
      const check = (id, on) => {
        for (const box of $(id).querySelectorAll("input")) box.checked = on(box.value);
      };
      check("precisions", (value) => state.precision.includes(value));
      check("targets", (value) => state.target.includes(value));
      check("cost", (value) => state.cost === value);
      $("ships").checked = state.ships;
      if (document.activeElement !== $("name")) $("name").value = state.name;
      for (const [id, key] of [
        ["device", "device"],
        ["board", "board"],
        ["settings", "table"],
      ])
        $(id).value = state[key];
      $("open-all").textContent = open ? "One row per model" : "Show all precisions";
    }
  }

  Zoo.Controls = Controls;
})();
