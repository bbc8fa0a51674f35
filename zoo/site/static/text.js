// Elements and texts. Nothing is ever parsed as HTML: every text becomes a text node.
"use strict";
(() => {
  const Zoo = (globalThis.Zoo = globalThis.Zoo ?? {});
  const NOTHING = "–";

  /** An element; attributes that begin with `on` are listeners, null ones are left out. */
  Zoo.h = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
    }
    made.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== "" && one !== false));
    return made;
  };

  /** As Python writes `{:.Nf}`: ties that binary numbers hold exactly go to the even digit. */
  Zoo.fixed = (value, digits) => {
    const scaled = value * 10 ** digits;
    const tie = Number.isInteger(value * 2 ** (digits + 1)) && Math.abs(scaled % 1) === 0.5;
    const text = (tie ? (2 * Math.round(scaled / 2)) / 10 ** digits : value).toFixed(digits);
    return (value < 0 || Object.is(value, -0)) && !text.startsWith("-") ? `-${text}` : text;
  };

  /** A number with spaces between thousands; 0 instead of -0. */
  Zoo.number = (value, digits = 0) => {
    const [whole, ...part] = Zoo.fixed(value, digits).replace(/^-(0(\.0*)?)$/, "$1").split(".");
    return [whole.replace(/\B(?=(\d{3})+$)/g, " "), ...part].join(".");
  };

  /** The text of a cell, as `zoo compare` writes it. */
  Zoo.shown = (row, key) => {
    const column = Zoo.data.shown[key];
    const value = row[key];
    if (column.timed && row.void) return "void";
    if (value === null || value === undefined) return NOTHING;
    if (column.digits !== undefined) return Zoo.number(value * column.scale, column.digits);
    if (key === "ships") return value ? "✓" : "";
    if (typeof value === "boolean") return value ? "yes" : "no";
    return String(value).replace(/\s+/g, " ").trim();
  };

  /** A text as one word of a shell's command. */
  Zoo.quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  Zoo.plural = (count, word) => `${Zoo.number(count)} ${word}${count === 1 ? "" : "s"}`;

  /** Copy a text, and say so on the button. */
  Zoo.copy = async (text, button) => {
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy it";
    }
    setTimeout(() => (button.textContent = label), 1500);
  };
})();
