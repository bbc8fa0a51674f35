// Which table is shown: device first, then data set and protocol, then settings of the machine.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  const { h, data } = Zoo;
  const $ = (id) => document.getElementById(id);
  const boardOf = (table) => data.boards[table.board];

  /** The table with most rows; one with accuracy, if there is any. */
  const largest = (tables) => {
    const judged = tables.filter((one) => boardOf(one).protocol);
    const found = judged.length ? judged : tables;
    return found.reduce((best, one) => (one.rows.length > best.rows.length ? one : best));
  };
  const onDevice = (device) => data.tables.filter((one) => one.device === device);

  /** The table that a new visitor sees: on the most used device. */
  Zoo.usualTable = () => largest(onDevice(0));

  /** The table that a state names, or the nearest to it. */
  Zoo.tableOf = (state) => {
    const named = data.devices.findIndex((one) => one.id === state.device);
    const anywhere = data.tables.filter((one) => boardOf(one).id === state.board);
    const device = named < 0 && anywhere.length ? largest(anywhere).device : Math.max(0, named);
    const here = onDevice(device);
    const found = here.filter((one) => boardOf(one).id === state.board);
    return found.find((one) => one.id === state.table) ?? largest(found.length ? found : here);
  };

  const boardName = (board, models) => {
    if (!board.protocol) return `only times, no accuracy · ${Zoo.plural(models, "model")}`;
    const name = board.dataset ?? board.data.slice(0, 12);
    const text = `${name} · ${Zoo.plural(models, "model")} (${board.queries} queries, ${board.gallery} images)`;
    const twins = data.boards.filter((one) => one !== board && one.protocol && one.dataset === board.dataset);
    if (!twins.length) return text;
    const same = twins.some((one) => one.data === board.data);
    return `${text} ${board.data.slice(0, 6)}${same ? `; ${board.protocol}` : ""}`;
  };

  const deviceName = (one) =>
    `${one.name} (${one.architecture}, ${Zoo.plural(one.cores, "core")}) · ${Zoo.plural(one.releases, "model")}`;

  const fill = (id, choices, value) => {
    const made = choices.map(([choice, text]) => h("option", { value: choice }, text));
    $(id).replaceChildren(...made);
    $(id).value = value;
  };

  /** How many models a board has on a device. */
  const count = (device, board) => {
    const at = data.columns.indexOf("model");
    const tables = data.tables.filter((one) => one.board === board && data.devices[one.device] === device);
    return new Set(tables.flatMap((one) => one.rows.map((row) => row[at]))).size;
  };

  /** Fill the pickers for a table. */
  Zoo.fillChoice = (table) => {
    const [device, board] = [data.devices[table.device], boardOf(table)];
    fill(
      "device",
      data.devices.map((one) => [one.id, deviceName(one)]),
      device.id,
    );
    const boards = [...new Set(onDevice(table.device).map((one) => one.board))].sort((a, b) => a - b);
    fill(
      "board",
      boards.map((at) => [data.boards[at].id, boardName(data.boards[at], count(device, at))]),
      board.id,
    );
    const tables = onDevice(table.device).filter((one) => one.board === table.board);
    const twice = (one) => tables.filter((other) => other.settings === one.settings).length > 1;
    const settings = tables.map((one, at) => [one.id, twice(one) ? `${one.settings} (${at + 1})` : one.settings]);
    fill("settings", settings, table.id);
    $("settings-field").hidden = tables.length < 2;
    const links = [h("a", { href: device.page }, "About the device")];
    if (board.page) links.push(h("a", { href: board.page }, "About the data set"));
    const how = h("details", {}, h("summary", {}, "How it was measured"), h("p", {}, `${table.where}. ${table.how}.`));
    $("where").replaceChildren(h("span", {}, table.settings), ...links, how);
  };
})();
