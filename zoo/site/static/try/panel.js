// The panel "Try it here" of a release's page: runs its student in the browser on the visitor's pictures. Nothing is
// sent anywhere; the page's Content-Security-Policy permits connections to the site alone. zoo/site/trial.py describes
// the settings; network.js and the runtime come from targets/browser/static.

import { Network } from "./network.js";
import { decode, resize } from "./picture.js";

const { h } = globalThis.Zoo; // of static/text.js, which the page loads first
const BATCH = 8; // pictures at once
const MOST = 12; // pictures of the visitor
const NEAREST = 5;
const MOST_THREADS = 4;
const SAME = 0.999; // cosine to the golden embedding, as zoo.load demands of fp32
const SHOWN = 96; // pixels, width of a picture

const said = (error) => String(error?.message ?? error);
const cosine = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
const shown = (value) => value.toFixed(3).replace("-", "−");
const size = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

async function fetched(file, tell = () => {}) {
  const response = await fetch(new URL(file, document.baseURI));
  if (!response.ok) throw new Error(`${file}: HTTP status ${response.status}`);
  const reader = response.body.getReader(), parts = [];
  for (let done = 0, part; !(part = await reader.read()).done; tell(done)) {
    parts.push(part.value);
    done += part.value.length;
  }
  return new Blob(parts).arrayBuffer();
}

async function checked(content, sha256) {
  if (!globalThis.crypto?.subtle) return; // on http pages of another machine
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== sha256) throw new Error("its sha256 differs from the manifest's");
}

class Student {
  #settings;
  #network;
  #times = [];

  constructor(settings) {
    this.#settings = settings;
  }

  // Loads the graph, and checks that it gives the release's own embedding for its golden picture. Resolves to the
  // cosine, null if there is none.
  async start(tell) {
    const { graph, sha256, size_bytes: total } = this.#settings;
    const content = await fetched(graph, (done) => tell(`Loading the student: ${size(done)} of ${size(total)}`));
    await checked(content, sha256);
    tell("Starting ONNX Runtime Web");
    const threads = Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1);
    this.#network = await Network.load(content, threads);
    const { golden_input: picture, golden_embedding: embedding } = this.#settings;
    if (!picture || !embedding) return null;
    const expected = JSON.parse(new TextDecoder().decode(await fetched(embedding))).embedding;
    const [row] = await this.embed([await decode(new Blob([await fetched(picture)]))]);
    this.#times = []; // the first call takes longer
    if (row.length !== expected.length) throw new Error("the golden embedding has another length");
    const found = cosine(row, expected) / Math.hypot(...expected);
    if (!(found >= SAME))
      throw new Error(`this browser computes something else: cosine ${found.toFixed(4)} to the release's own embedding ` +
        "of its golden picture. It may protect against fingerprinting, which changes pixels");
    return found;
  }

  // Embeddings of decoded pictures, each an array of floats of length 1.
  async embed(pictures) {
    const { width, height } = this.#settings, rows = [];
    for (let begin = 0; begin < pictures.length; begin += BATCH) {
      const some = pictures.slice(begin, begin + BATCH), each = width * height * 3;
      const pixels = new Uint8Array(some.length * each);
      some.forEach((picture, at) => pixels.set(resize(picture, width, height), at * each));
      const shape = [some.length, height, width, 3];
      const { embeddings, dimension, callMs } = await this.#network.embed(pixels.buffer, shape);
      this.#times.push(callMs / some.length);
      some.forEach((_, at) => rows.push(Array.from(new Float32Array(embeddings, 4 * at * dimension, dimension))));
    }
    return rows;
  }

  // What ran, in words.
  get told() {
    const times = this.#times.toSorted((a, b) => a - b), { threads } = this.#network;
    const time = times.length ? `, ${times[times.length >> 1].toPrecision(2)} ms per picture` : "";
    return `ONNX Runtime Web in this browser, ${threads} thread${threads === 1 ? "" : "s"}${time}`;
  }
}

class Panel {
  #settings;
  #student;
  #gallery = []; // drawn pictures: {name, url, row}
  #own = []; // the visitor's, the same
  #busy; // the last thing to do

  constructor(element, settings) {
    this.#settings = settings;
    this.#student = new Student(settings);
    this.status = h("p", { class: "note", role: "status" });
    this.problems = h("ul", { class: "problem", role: "alert", hidden: true });
    this.files = h("input", { type: "file", id: "try-files", accept: "image/*", multiple: true, class: "hidden",
      onchange: () => this.#add([...this.files.files]) });
    this.clear = h("button", { type: "button", class: "button", hidden: true,
      onclick: () => this.#remove(() => false) }, "Remove all");
    this.zone = h("div", { class: "try-zone" },
      h("p", {}, h("label", { for: "try-files", class: "button" }, "Choose pictures"), this.files,
        " or drop them here: two or more show how similar they are. They stay in this page."), this.clear);
    this.strip = h("div", { class: "try-strip", role: "group", "aria-label": "Drawn pictures to try" });
    this.results = h("div");
    element.classList.add("try");
    element.append(this.zone, h("p", { class: "note" }, "Or click drawn pictures:"), this.strip, this.status,
      this.problems, this.results);
    this.#listen(element);
    this.#drawSamples();
    this.#busy = new Promise((resolve) => (this.wake = resolve)).then(() => this.#begin());
  }

  #listen(element) {
    const over = (on) => (event) => {
      event.preventDefault();
      this.zone.classList.toggle("over", on);
    };
    element.addEventListener("dragover", over(true));
    element.addEventListener("dragleave", over(false));
    element.addEventListener("drop", (event) => {
      over(false)(event);
      this.#add([...event.dataTransfer.files]);
    });
  }

  #tell(text) {
    this.status.textContent = text;
  }

  // Loads the student when the panel is first looked at or used, for it may have tens of megabytes.
  start() {
    new IntersectionObserver((seen, observer) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      this.wake();
    }, { rootMargin: "200px" }).observe(this.zone);
    return this.#busy;
  }

  async #begin() {
    const found = await this.#student.start((text) => this.#tell(text));
    this.#tell("Embedding the drawn pictures");
    const pictures = await Promise.all(this.#gallery.map(async ({ url }) => decode(new Blob([await fetched(url)]))));
    const rows = await this.#student.embed(pictures);
    this.#gallery.forEach((one, at) => (one.row = rows[at]));
    this.golden = found === null ? "" : ` Cosine ${found.toFixed(5)} to the release's embedding of its golden picture.`;
    this.#show();
  }

  #drawSamples() {
    for (const { file, identity, camera } of this.#settings.samples) {
      const one = { name: `${identity}, ${camera}`, identity, url: new URL(file, document.baseURI).href };
      this.#gallery.push(one);
      this.strip.append(h("button", { type: "button", "aria-label": `Try the drawn picture: ${one.name}`,
        onclick: () => this.#use(async () => [{ ...one, sample: one }]) },
      h("img", { src: one.url, alt: "", width: SHOWN / 2, height: SHOWN / 2, loading: "lazy" })));
    }
  }

  #add(files) {
    this.files.value = "";
    return this.#use(async () => {
      const read = [];
      for (const file of files) {
        try {
          const picture = await decode(file);
          const [row] = await this.#student.embed([picture]);
          read.push({ name: file.name, url: URL.createObjectURL(file), row });
        } catch (error) {
          this.#complain(`${file.name}: ${said(error)}`);
        }
      }
      return read;
    });
  }

  // Adds pictures, one caller after another.
  #use(read) {
    this.wake();
    this.problems.replaceChildren();
    this.problems.hidden = true;
    this.#busy = this.#busy.then(async () => {
      this.#tell("Embedding");
      const added = (await read()).map((one) => ({ ...one, row: one.row ?? one.sample.row }));
      const room = MOST - this.#own.length;
      if (added.length > room) this.#complain(`This panel takes ${MOST} pictures; the last ${added.length - room} are left out.`);
      added.slice(room).forEach(release);
      this.#own.push(...added.slice(0, room));
      this.#show();
    });
    return this.#busy;
  }

  #remove(keep) {
    this.#own.filter((one) => !keep(one)).forEach(release);
    this.#own = this.#own.filter(keep);
    this.#show();
    this.files.focus();
  }

  #complain(text) {
    this.problems.append(h("li", {}, text));
    this.problems.hidden = false;
  }

  #show() {
    this.#tell(`${this.#student.told}.${this.golden}`);
    this.clear.hidden = !this.#own.length;
    this.results.replaceChildren();
    if (this.#own.length > 1) this.results.append(this.#similarities());
    if (this.#own.length && this.#gallery.length) this.results.append(...this.#nearest());
  }

  #similarities() {
    const numbers = this.#own.map((_, at) => at + 1);
    const head = h("tr", {}, h("th", { scope: "col" }, "picture"),
      ...numbers.map((number) => h("th", { scope: "col", class: "number" }, number)));
    const rows = this.#own.map((one, at) => h("tr", {}, h("th", { scope: "row" }, this.#figure(one, at + 1)),
      ...this.#own.map((other, place) => {
        const value = cosine(one.row, other.row);
        const cell = h("td", { class: place === at ? "number try-own" : "number try-heat" }, shown(value));
        cell.style.setProperty("--share", `${Math.round(40 * Math.max(0, value))}%`);
        return cell;
      })));
    return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Similarities" },
      h("table", { class: "try-table" }, h("caption", {}, h("span", {}, "Cosine similarity of the pictures: 1 is equal")),
        h("thead", {}, head), h("tbody", {}, ...rows)));
  }

  #figure(one, number) {
    return h("figure", {}, h("img", { src: one.url, alt: "", width: SHOWN / 2, height: SHOWN / 2 }),
      h("figcaption", {}, `${number}: ${one.name}`),
      h("button", { type: "button", class: "try-remove", "aria-label": `Remove ${one.name}`,
        onclick: () => this.#remove((other) => other !== one) }, "×"));
  }

  #nearest() {
    const title = h("p", { class: "note" },
      `The ${NEAREST} nearest of ${this.#gallery.length} drawn pictures, with cosine similarities:`);
    return [title, ...this.#own.map((one, at) => {
      const others = this.#gallery.filter((other) => other !== one.sample)
        .map((other) => ({ ...other, value: cosine(one.row, other.row) })).sort((a, b) => b.value - a.value);
      return h("div", { class: "sheet" }, picture(one, `${at + 1}: ${one.name}`),
        ...others.slice(0, NEAREST).map((other) => {
          const same = one.identity !== undefined && other.identity === one.identity;
          return picture(other, `${shown(other.value)}${same ? " same" : ""}`, same);
        }));
    })];
  }
}

function picture(one, caption, same = false) {
  return h("figure", { class: same ? "same" : null },
    h("img", { src: one.url, alt: one.name, width: SHOWN, height: SHOWN }), h("figcaption", {}, caption));
}

function release(one) {
  if (one.url.startsWith("blob:")) URL.revokeObjectURL(one.url);
}

// Fills an element with the panel; rejects if the student does not run here.
export async function mount(element, settings) {
  if (!settings.width || !settings.height) throw new Error("the recipe does not tell the size of its input");
  document.head.append(h("link", { rel: "stylesheet", href: new URL("panel.css", import.meta.url).href }));
  try {
    await new Panel(element, settings).start();
  } catch (error) {
    element.replaceChildren();
    throw error;
  }
}
