// A picture through a model that `translate export` wrote: node translate.mjs MODEL.onnx IN OUT

import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";

const [model, source, target] = process.argv.slice(2);
if (!target) {
  console.error("usage: node translate.mjs MODEL.onnx IN OUT");
  process.exit(2);
}
const session = await InferenceSession.create(model);

const picture = sharp(source).autoOrient().flatten({ background: "white" }).toColourspace("srgb");
const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true }); // RGB RGB RGB ..., row by row
const image = new Tensor("uint8", data, [1, info.height, info.width, info.channels]);

const { translated } = await session.run({ image });
const [, height, width, channels] = translated.dims;
const made = sharp(translated.data, { raw: { width, height, channels } });
await made.toColourspace(channels === 1 ? "b-w" : "srgb").toFile(target);
