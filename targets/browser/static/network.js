// One network in a worker of its own (embedder.js), as promises.

// Pages that require trusted types have to permit this name.
const trusted = globalThis.trustedTypes?.createPolicy("zoo-network", { createScriptURL: (url) => url });
const WORKER = new URL("embedder.js", import.meta.url).href;

export class Network {
  #worker;
  #waiting = new Map();
  #last = 0;

  // Loads a model: an ONNX file's URL, or its content as ArrayBuffer, which is moved away. Rejects with the reason if
  // the runtime refuses it. `threads` then tells how many there are: one, unless the page is cross-origin isolated.
  static async load(model, threads) {
    const network = new Network();
    try {
      const moved = model instanceof ArrayBuffer ? [model] : [];
      const { threads: used } = await network.#ask({ model, threads }, moved);
      network.threads = used;
    } catch (error) {
      network.close();
      throw error;
    }
    return network;
  }

  constructor() {
    this.#worker = new Worker(trusted ? trusted.createScriptURL(WORKER) : WORKER);
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error === undefined) resolve(data);
      else reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(new Error(event.message || "the worker does not start"));
    };
  }

  // Embeds N images: uint8 RGB as ArrayBuffer, which is moved away, and [N, height, width, 3]. Gives
  // {embeddings: ArrayBuffer of float32, dimension, ms: time of the runtime, callMs: time of the whole call}.
  async embed(pixels, shape) {
    const begun = performance.now();
    const answer = await this.#ask({ pixels, shape }, [pixels]);
    return { ...answer, callMs: performance.now() - begun };
  }

  close() {
    this.#worker.terminate();
    this.#fail(new Error("the network was closed"));
  }

  #ask(question, moved) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...question }, moved);
    });
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
