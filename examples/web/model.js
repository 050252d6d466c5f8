// What a client has to know of a model that `translate export` wrote, all of which is in its file. Needs no package.

const WHITE = { uint8: 255, uint16: 65535, float32: 1 };
const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };

/** The card in the bytes of an .onnx file: `source` and `target` pictures, and the `conditions` it takes. */
export function readCard(bytes) {
  const text = metadata(bytes).translate;
  if (!text) throw new Error("this file was not made by translate export");
  const card = JSON.parse(text);
  if (!card.source) throw new Error("the model makes pictures of noise and takes none: use translate sample");
  return card;
}

/**
 * What the model takes for a picture: `{ type, data, dims }`, for a tensor.
 *
 * `data` is a Uint8Array, Uint16Array or Float32Array (white is 255, 65535 or 1) of one channel or three, which the
 * second or fourth makes transparent.
 */
export function toSource({ data, width, height, channels }, source) {
  const found = Object.keys(ARRAYS).find((type) => data instanceof ARRAYS[type]) ?? "uint8"; // or clamped
  const { channels: wanted, dtype, kind, background } = source;
  if (wanted > 4) throw new Error(`the model takes ${wanted} channels, and this is a picture`);
  const fullScale = source.low === 0 && source.high === WHITE[dtype];
  if (found !== dtype && (kind === "labels" || !fullScale)) {
    throw new Error(`the picture is ${found}, the model was trained on ${dtype} values of its own: convert it first`);
  }
  const white = WHITE[found];
  const whole = (value) => (found === "float32" ? value : Math.round(value));
  const under = background.map((value) => (value * white) / 255);
  const made = new ARRAYS[dtype](width * height * wanted);
  const bands = wanted > 2 ? 3 : 1;
  for (let pixel = 0, to = 0; to < made.length; pixel++) {
    const from = pixel * channels;
    let colour = channels > 2 ? [data[from], data[from + 1], data[from + 2]] : Array(3).fill(data[from]);
    const opacity = channels % 2 ? white : data[from + channels - 1];
    if (wanted % 2 === 0) {
      if (opacity === 0) colour = [0, 0, 0];
    } else if (kind === "labels") {
      if (opacity < white / 2) colour = background;
    } else if (opacity < white) {
      colour = colour.map((value, c) => whole((opacity / white) * value + (1 - opacity / white) * under[c]));
    }
    if (bands === 1) colour = [gray(colour, found, kind)];
    for (let c = 0; c < bands; c++) made[to++] = toDepth(colour[c], found, dtype);
    if (wanted % 2 === 0) made[to++] = toDepth(opacity, found, dtype);
  }
  return { type: dtype, data: made, dims: [1, height, width, wanted] };
}

/** A value of full scale at another depth. */
export function toDepth(value, from, to) {
  if (from === to) return value;
  if (from === "uint8" && to === "uint16") return value * 257;
  const share = value / WHITE[from];
  return to === "float32" ? share : Math.round(Math.min(Math.max(share, 0), 1) * WHITE[to]);
}

/** Rec. 601, as in training. */
function gray([r, g, b], type, kind) {
  if (r === g && g === b) return r;
  if (kind === "labels") throw new Error("the picture is a label map in colour, those of the model are gray");
  if (type === "float32") return 0.299 * r + 0.587 * g + 0.114 * b;
  return Math.floor((19595 * r + 38470 * g + 7471 * b + 32768) / 65536);
}

/**
 * The condition of one picture: the model's inputs `label`, `tokens`, `z` and `seed` where it has them,
 * `{ type, data, dims }` each.
 *
 * `asked` may have `label` (a name), `text`, `z` (numbers) and `seed` (of noise planes); what is not asked for is no
 * label, no text, the middle of the codes and noise 0. `Tokenizer` is that of the package @huggingface/tokenizers, for a model of words.
 */
export function conditions(card, asked = {}, Tokenizer) {
  const { labels, several, text, z, required, seeds = [] } = card.conditions;
  const takes = { label: labels.length > 0, text: text !== null, z: z > 0, seed: seeds.includes("noise") };
  for (const name of Object.keys(asked)) {
    if (asked[name] !== undefined && !takes[name]) throw new Error(`this model has no input ${name}`);
  }
  if (required && asked.label === undefined && !asked.text?.trim()) {
    throw new Error(`this model needs ${takes.label ? `a label: one of ${labels.join(", ")}` : "a text"}`);
  }
  const inputs = {};
  if (takes.label) {
    const data = new Float32Array(labels.length);
    for (const name of named(asked.label, labels, several)) {
      const place = labels.findIndex((label) => label.normalize("NFC") === name.normalize("NFC"));
      if (place < 0) throw new Error(`the model knows no label "${name}": it knows ${labels.join(", ")}`);
      data[place] = 1;
    }
    inputs.label = { type: "float32", data, dims: [1, labels.length] };
  }
  if (takes.text) {
    const data = new BigInt64Array(text.length).fill(BigInt(text.pad));
    const words = asked.text ?? "";
    const ids = words.trim() ? new Tokenizer(JSON.parse(text.tokenizer), {}).encode(words).ids : [];
    ids.slice(0, text.length).forEach((id, place) => (data[place] = BigInt(id)));
    inputs.tokens = { type: "int64", data, dims: [1, text.length] };
  }
  if (takes.z) {
    const data = Float32Array.from(asked.z ?? Array(z).fill(0));
    if (data.length !== z || !data.every(Number.isFinite)) throw new Error(`this model takes ${z} finite numbers as z`);
    inputs.z = { type: "float32", data, dims: [1, z] };
  }
  if (takes.seed) inputs.seed = { type: "int64", data: BigInt64Array.of(BigInt(asked.seed ?? 0)), dims: [1, 1] };
  return inputs;
}

/** The labels in a text: one, or several with commas between them where pictures may have several. */
function named(label, labels, several) {
  if (label === undefined) return [];
  if (labels.includes(label) || !several) return [label];
  return label.split(",").map((part) => part.trim()).filter(Boolean);
}

/** The texts in the header of an .onnx file, which is a protocol buffer: field 14 has entries of a key and a value. */
function metadata(bytes) {
  const found = {};
  for (const entry of fields(bytes, 14)) {
    const [key] = fields(entry, 1);
    const [value] = fields(entry, 2);
    found[new TextDecoder().decode(key)] = new TextDecoder().decode(value);
  }
  return found;
}

/** The contents of all fields of one number that have a length. */
function* fields(bytes, wanted) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("this is no complete .onnx file");
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag % 8;
    if (kind === 0) {
      number();
      continue;
    }
    if (![1, 2, 5].includes(kind)) throw new Error("this is no complete .onnx file");
    const length = kind === 2 ? number() : kind === 1 ? 8 : 4;
    if (at + length > bytes.length) throw new Error("this is no complete .onnx file");
    if (kind === 2 && Math.floor(tag / 8) === wanted) yield bytes.subarray(at, at + length);
    at += length;
  }
}
