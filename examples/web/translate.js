// Pictures through a model that `translate export` wrote, in a browser (and wherever there is `ImageData`).

import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web";

import { conditions, readCard, toDepth, toSource } from "./model.js";

/** A model at an address, or of the bytes of its file: its session, and the card in its file. */
export async function open(model) {
  const bytes = model instanceof Uint8Array ? model : new Uint8Array(await (await fetch(model)).arrayBuffer());
  const card = readCard(bytes);
  return { card, session: await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
}

/** The picture of an image file as `ImageData`: upright, its colours those of the screen's standard, on white. */
export async function read(file, card) {
  const bitmap = await createImageBitmap(file);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  if (!card || card.source.channels % 2) {
    context.fillStyle = `rgb(${card?.source.background ?? [255, 255, 255]})`; // what the model was trained on
    context.fillRect(0, 0, bitmap.width, bitmap.height);
  }
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** `ImageData` to `ImageData`; `asked` may have `label`, `text`, `z` and `seed`. */
export async function translate({ card, session }, { data, width, height }, asked = {}) {
  const inputs = { image: toSource({ data, width, height, channels: 4 }, card.source) };
  Object.assign(inputs, conditions(card, asked, Tokenizer));
  const feeds = {};
  for (const [name, { type, data, dims }] of Object.entries(inputs)) feeds[name] = new ort.Tensor(type, data, dims);
  const { translated } = await session.run(feeds);

  const [, high, wide, channels] = translated.dims;
  if (channels > 4) throw new Error(`the outputs are ${channels} bands, and a screen shows three`);
  const { data: values, type } = translated;
  const made = new ImageData(wide, high);
  for (let i = 0; i < wide * high; i++) {
    for (let c = 0; c < 3; c++) {
      made.data[4 * i + c] = toDepth(values[channels * i + (channels > 2 ? c : 0)], type, "uint8");
    }
    made.data[4 * i + 3] = channels % 2 ? 255 : toDepth(values[channels * (i + 1) - 1], type, "uint8");
  }
  return made;
}
