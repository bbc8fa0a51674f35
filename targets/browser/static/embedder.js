"use strict";
// A worker that holds one network and embeds images with it. Both the measuring page (measure.js) and the panel of a
// release's page (zoo site) use it, so what is measured is what a visitor runs.
//
// It is sent {id, model: URL or ArrayBuffer, threads}, once, and then {id, pixels: ArrayBuffer, shape: [N, H, W, 3]}
// with uint8 RGB. It answers {id, threads}, or {id, embeddings: ArrayBuffer, dimension, ms} with float32 rows and the
// time that the runtime took; or {id, error}.

importScripts("ort/ort.wasm.min.js");
ort.env.wasm.wasmPaths = new URL("ort/", self.location.href).href;
ort.env.logLevel = "error";

let session;

async function load(model, threads) {
  // Threads share memory, which browsers permit on cross-origin isolated pages only.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  let content = model;
  if (typeof model === "string") {
    const response = await fetch(model);
    if (!response.ok) throw new Error(`${model}: HTTP status ${response.status}`);
    content = await response.arrayBuffer();
  }
  session = await ort.InferenceSession.create(new Uint8Array(content), { executionProviders: ["wasm"] });
  return [{ threads: ort.env.wasm.numThreads }, []];
}

async function embed(pixels, shape) {
  const images = new ort.Tensor("uint8", new Uint8Array(pixels), shape);
  const begun = performance.now();
  const outputs = await session.run({ [session.inputNames[0]]: images });
  const ms = performance.now() - begun;
  const found = outputs[session.outputNames[0]];
  if (found.type !== "float32" || found.dims.length !== 2 || found.dims[0] !== shape[0])
    throw new Error(`the network returns ${found.type} ${found.dims.join("×")} for ${shape[0]} images`);
  const rows = found.data.byteLength === found.data.buffer.byteLength ? found.data : found.data.slice();
  return [{ embeddings: rows.buffer, dimension: found.dims[1], ms }, [rows.buffer]];
}

self.onmessage = async ({ data }) => {
  try {
    const [answer, moved] = data.model ? await load(data.model, data.threads) : await embed(data.pixels, data.shape);
    self.postMessage({ id: data.id, ...answer }, moved);
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
