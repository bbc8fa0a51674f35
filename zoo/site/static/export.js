// Files of the current view.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const COPIED = [
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-opacity",
    "stroke-dasharray",
    "stroke-linejoin",
    "paint-order",
    "font-family",
    "font-size",
    "font-weight",
    "text-anchor",
    "opacity",
  ];

  const SVG = "http://www.w3.org/2000/svg";
  const TITLE = 20; // pixels that a title takes above a plot

  const part = (kind, attributes, text = "") => {
    const made = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };

  const save = (name, blob) => {
    const url = URL.createObjectURL(blob);
    Zoo.h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };

  /** A cell of CSV. Spreadsheets take a text that begins like this for a formula; an apostrophe keeps it a text. */
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  /** As `zoo compare --format csv` writes it. */
  Zoo.csv = (table, rows) => {
    const lines = rows.map((row) => ["1", ...Object.values(Zoo.whole(table, row)).map(cell)]);
    return [["table", ...Zoo.keys], ...lines].map((line) => line.join(",")).join("\n") + "\n";
  };

  /** As `zoo compare --json` prints it. */
  Zoo.json = (table, rows) => {
    const places = new Map(rows.map((row, place) => [row.place, place]));
    const best = {};
    for (const [key, found] of Object.entries(table.best)) {
      const kept = found.filter((place) => places.has(place)).map((place) => places.get(place));
      if (kept.length) best[key] = kept;
    }
    const models = new Set(rows.map((row) => row.model));
    const beside = (list) => list.filter((one) => models.has(one.model));
    const { estimated, emulated, pending, broken } = Zoo.data;
    return {
      tables: [{ protocol: table.protocol, rows: rows.map((row) => Zoo.whole(table, row)), best }],
      apart: null,
      estimated: beside(estimated),
      emulated: beside(emulated),
      pending: beside(pending),
      broken: beside(broken),
    };
  };

  /** A picture with a title that needs no style sheet: computed styles become attributes. */
  Zoo.standalone = (svg, title) => {
    const copy = svg.cloneNode(true);
    const [from, to] = [svg, copy].map((one) => [one, ...one.querySelectorAll("*")]);
    from.forEach((element, at) => {
      const style = getComputedStyle(element);
      for (const name of COPIED) to[at].setAttribute(name, style.getPropertyValue(name));
      to[at].removeAttribute("class");
    });
    for (const one of copy.querySelectorAll("[data-passing]")) one.remove();
    const { width } = svg.viewBox.baseVal;
    const height = svg.viewBox.baseVal.height + TITLE;
    const card = getComputedStyle(svg.closest(".card"));
    const ground = { y: -TITLE, width, height, fill: card.backgroundColor };
    const said = { x: 2, y: 14 - TITLE, fill: card.color, "font-family": card.fontFamily, "font-size": "12px" };
    copy.prepend(part("rect", ground), part("text", said, title));
    const whole = { viewBox: `0 ${-TITLE} ${width} ${height}`, width, height, xmlns: SVG };
    for (const [name, value] of Object.entries(whole)) copy.setAttribute(name, value);
    for (const name of ["tabindex", "role", "aria-roledescription", "aria-label"]) copy.removeAttribute(name);
    return new XMLSerializer().serializeToString(copy);
  };

  Zoo.save = {
    csv: (table, rows) => save("zoo.csv", new Blob([Zoo.csv(table, rows)], { type: "text/csv" })),
    json: (table, rows) =>
      save("zoo.json", new Blob([JSON.stringify(Zoo.json(table, rows), null, 1)], { type: "application/json" })),
    svg: (svg, title) => save("zoo.svg", new Blob([Zoo.standalone(svg, title)], { type: "image/svg+xml" })),
    png: async (svg, title) => {
      const url = URL.createObjectURL(new Blob([Zoo.standalone(svg, title)], { type: "image/svg+xml" }));
      const picture = new Image();
      picture.src = url;
      await picture.decode();
      const canvas = Zoo.h("canvas", { width: 2 * picture.width, height: 2 * picture.height });
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(url);
      canvas.toBlob((blob) => save("zoo.png", blob));
    },
  };
})();
