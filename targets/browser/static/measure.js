// Runs networks for a Python process (targets/browser/page.py): asks its server for a task, does it, and sends the
// answer with the next question. A task is JSON in a header, its images are the body; the answer likewise.

import { Network } from "./network.js";

const networks = new Map();
const HEADER = "X-Zoo";

async function told() {
  const brands = (await navigator.userAgentData?.getHighEntropyValues(["fullVersionList"]))?.fullVersionList ?? [];
  const browser = brands.find(({ brand }) => /Chrom|Edge/.test(brand) && brand !== "Chromium") ??
    brands.find(({ brand }) => brand === "Chromium");
  const ticks = [];
  for (let last = performance.now(), now; ticks.length < 50; last = now) {
    do now = performance.now(); while (now === last);
    ticks.push(now - last);
  }
  return {
    browser: browser ? `${browser.brand} ${browser.version}` : navigator.userAgent,
    isolated: self.crossOriginIsolated,
    clock_us: Math.round(1000 * Math.min(...ticks)),
  };
}

async function perform(task, body) {
  const network = networks.get(task.network);
  switch (task.do) {
    case "tell":
      return [await told()];
    case "load": {
      const loaded = await Network.load(new URL(task.model, location.href).href, task.threads);
      networks.set(task.network, loaded);
      return [{ threads: loaded.threads }];
    }
    case "embed": {
      const { embeddings, dimension, ms, callMs } = await network.embed(body, task.shape);
      return [{ dimension, ms, callMs }, embeddings];
    }
    case "drop":
      network?.close();
      networks.delete(task.network);
      return [{}];
  }
  throw new Error(`unknown task ${task.do}`);
}

async function work() {
  let answer = {}, body;
  for (;;) {
    const response = await fetch("next", { method: "POST", headers: { [HEADER]: encodeURIComponent(JSON.stringify(answer)) }, body });
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const task = JSON.parse(response.headers.get(HEADER)), content = await response.arrayBuffer();
    [answer, body] = [{}, undefined];
    if (!task.do) continue; // there was none for a while
    try {
      [answer, body] = await perform(task, content);
    } catch (error) {
      answer = { error: String(error?.message ?? error) };
    }
    if (task.id === undefined) [answer, body] = [{}, undefined]; // nobody waits for it
    else answer.id = task.id;
  }
}

// Without its server the page has no purpose; closing it ends a browser whose Python process was killed.
async function watch() {
  const reader = (await fetch("alive")).body.getReader();
  while (!(await reader.read()).done);
}

Promise.race([work(), watch()]).catch(() => {}).then(() => window.close());
