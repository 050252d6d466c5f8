// A picture through a model that `translate export` wrote.

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import { Tokenizer } from "@huggingface/tokenizers";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";

import { conditions, readCard, toSource } from "../web/model.js";

const text = { type: "string" };
const options = { label: text, text, z: text, seed: text };
const { values: asked, positionals } = parseArgs({ allowPositionals: true, options });
const [model, source, target] = positionals;
if (!target) {
  console.error("usage: node translate.mjs MODEL.onnx IN OUT [--label NAME] [--text WORDS] [--z NUMBER,NUMBER,...] [--seed NUMBER]");
  process.exit(2);
}
const card = readCard(await readFile(model));
const session = await InferenceSession.create(model);

const deep = (await sharp(source).metadata()).depth === "ushort";
const picture = sharp(source).autoOrient().toColourspace(deep ? "rgb16" : "srgb").raw({ depth: deep ? "ushort" : "uchar" });
const { data: bytes, info } = await picture.toBuffer({ resolveWithObject: true }); // RGB RGB RGB ..., row by row
const data = deep ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2) : new Uint8Array(bytes);

const condition = conditions(card, { ...asked, z: asked.z?.split(",").map(Number) }, Tokenizer);
const inputs = { image: toSource({ ...info, data }, card.source), ...condition };
const feeds = Object.fromEntries(Object.entries(inputs).map(([name, i]) => [name, new Tensor(i.type, i.data, i.dims)]));
const { translated } = await session.run(feeds);

const [, height, width, channels] = translated.dims;
if (translated.type === "float32" || channels > 4) throw new Error("the outputs are no pictures that sharp can write");
const made = sharp(translated.data, { raw: { width, height, channels } });
const spaces = translated.type === "uint16" ? ["grey16", "rgb16"] : ["b-w", "srgb"];
await made.toColourspace(spaces[channels < 3 ? 0 : 1]).toFile(target);
