// Pictures through a model that `translate export` wrote, in a browser (and wherever there is `ImageData`).

import * as ort from "onnxruntime-web";

/** A model at an address, or of the bytes of its file. */
export function open(model) {
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
}

/** The picture of an image file on white, as `ImageData`: upright, its colours those of the screen's standard. */
export async function read(file) {
  const bitmap = await createImageBitmap(file);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** `ImageData` to `ImageData`, by a model of colour pictures. */
export async function translate(session, { data, width, height }) {
  const rgb = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < rgb.length; from++) {
    if (from % 4 < 3) rgb[to++] = data[from];
  }
  const image = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
  const { translated } = await session.run({ image });

  const [, high, wide, channels] = translated.dims;
  const made = new ImageData(wide, high);
  for (let i = 0; i < wide * high; i++) {
    for (let c = 0; c < 3; c++) made.data[4 * i + c] = translated.data[channels * i + Math.min(c, channels - 1)];
    made.data[4 * i + 3] = 255;
  }
  return made;
}
