// From a picture to a network's input, as zoo reads pictures (pipeline/data/decoding.py and images.py): upright,
// transparency on white, colours as they are stored, resized by Pillow's antialiased bilinear filter.

const PIXELS = 2 ** 26; // more than any camera's picture; its copy takes 256 MiB
const BITS = 22; // of a weight's fraction, as in Pillow's Resample.c

// RGBA of a picture, a Blob. Rejects with a reason in words.
export async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("the browser can't decode it as a picture");
  }
  try {
    const { width, height } = bitmap;
    if (width * height > PIXELS) throw new Error(`it has ${width}×${height} pixels, more than this panel takes`);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    bitmap.close();
  }
}

// For each of `size` pixels, the first of the pixels that it is made of, and their weights as integers.
function weights(from, size) {
  const scale = from / size, filter = Math.max(scale, 1);
  return Array.from({ length: size }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - filter + 0.5));
    const last = Math.min(from, Math.trunc(centre + filter + 0.5));
    const found = Array.from({ length: last - first }, (_, x) =>
      Math.max(0, 1 - Math.abs((x + first - centre + 0.5) * (1 / filter))));
    const sum = found.reduce((total, weight) => total + weight, 0);
    return { first, found: found.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** BITS)) };
  });
}

// One direction: `lines` lines of `from` pixels become lines of `size` pixels. `step` and `line` are distances in
// values between pixels and between lines, before and after.
function squeeze(source, target, from, size, lines, step, line) {
  const table = weights(from, size);
  for (let at = 0; at < size; at++) {
    const { first, found } = table[at];
    for (let y = 0; y < lines; y++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** (BITS - 1), place = y * line[0] + first * step[0] + channel;
        for (const weight of found) {
          sum += source[place] * weight;
          place += step[0];
        }
        target[y * line[1] + at * step[1] + channel] = sum >> BITS;
      }
    }
  }
}

// RGB, uint8, of RGBA: equal to `PIL.Image.resize((width, height), BILINEAR)`, pixel by pixel. Only where Pillow 13 begins
// with the height, for some tall pictures, a value may differ by 1.
export function resize({ data, width: from, height: lines }, width, height) {
  const wide = new Uint8Array(width * lines * 3);
  squeeze(data, wide, from, width, lines, [4, 3], [4 * from, 3 * width]);
  if (height === lines) return wide;
  const small = new Uint8Array(width * height * 3);
  squeeze(wide, small, lines, height, width, [3 * width, 3 * width], [3, 3]);
  return small;
}
