// Copies the command, and starts the panel that runs the student where a browser permits it.
"use strict";
(() => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const label = button.textContent;
      try {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select and copy it";
      }
      setTimeout(() => (button.textContent = label), 1500);
    });
  }
  const panel = document.getElementById("try-panel");
  if (panel && location.protocol.startsWith("http")) {
    const settings = JSON.parse(document.getElementById("try-settings").textContent);
    import(new URL("../static/try/panel.js", document.baseURI).href)
      .then((module) => {
        panel.replaceChildren();
        return module.mount(panel, settings);
      })
      .catch((error) => panel.append(`The panel could not start: ${error.message}`));
  }
})();
