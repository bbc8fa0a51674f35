// Copies commands, and starts the panel that runs the student; from a folder, where no browser permits it, the panel
// keeps its text, and the command there gets the path of the folder.
"use strict";
(() => {
  const Zoo = globalThis.Zoo;
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => Zoo.copy(document.getElementById(button.dataset.copy).textContent, button));
  }
  const panel = document.getElementById("try-panel");
  if (panel && location.protocol === "file:") {
    const { pathname } = new URL("..", document.baseURI);
    const folder = decodeURIComponent(pathname).replace(/^\/(?=[A-Za-z]:)/, "").replace(/(?<=.)\/$/, "");
    const serve = document.getElementById("serve");
    serve.textContent = serve.textContent.replace("FOLDER", () => Zoo.quoted(folder));
    document.getElementById("serve-folder").hidden = true;
  } else if (panel) {
    const settings = JSON.parse(document.getElementById("try-settings").textContent);
    import(new URL("../static/try/panel.js", document.baseURI).href)
      .then((module) => {
        panel.replaceChildren();
        return module.mount(panel, settings);
      })
      .catch((error) => panel.append(`The panel could not start: ${error.message}`));
  }
})();
