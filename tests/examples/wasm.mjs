// The browser's client without a browser: node wasm.mjs CLIENT JOB, a JSON file [[model, height, width, rgba, out, asked], ...]
// `rgba` and `out` are files of bytes, four a pixel. One process for all, since the runtime takes a second to start.

import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};

const [client, job] = process.argv.slice(2);
const { open, translate } = await import(pathToFileURL(client));
const opened = {};
for (const [model, height, width, rgba, out, asked] of JSON.parse(await readFile(job, "utf8"))) {
  opened[model] ??= await open(new Uint8Array(await readFile(model)));
  const { data } = await translate(opened[model], { data: await readFile(rgba), width, height }, asked);
  await writeFile(out, data);
}
