"use strict";
// A blind choice between two outputs of each picture. Order and sides are drawn by the browser's own generator.
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const below = (n) => {  // a random integer from 0 to n - 1, every one as likely
  const limit = Math.floor(2 ** 32 / n) * n;
  for (;;) {
    const [drawn] = crypto.getRandomValues(new Uint32Array(1));
    if (drawn < limit) return drawn % n;
  }
};
const order = data.items.map((_, index) => index);
for (let i = order.length - 1; i > 0; i--) {
  const j = below(i + 1);
  [order[i], order[j]] = [order[j], order[i]];
}
const trials = order.map((item) => ({item: data.items[item], left: below(2)}));  // `left`: which run is on the left
const choices = [];  // of each trial so far: the run that was chosen, or null for no difference

function wilson(successes, count) {  // the score interval of a share, 95 %
  const z = 1.959964, share = successes / count;
  const middle = share + z * z / (2 * count);
  const reach = z * Math.sqrt(share * (1 - share) / count + z * z / (4 * count * count));
  return [(middle - reach) / (1 + z * z / count), (middle + reach) / (1 + z * z / count)];
}

function result() {
  const chosen = [0, 1].map((run) => choices.filter((choice) => choice === run).length);
  const decided = chosen[0] + chosen[1];
  return {
    runs: data.runs,
    chosen,
    no_difference: choices.length - decided,
    share_of_first: decided ? chosen[0] / decided : null,
    interval: decided ? wilson(chosen[0], decided) : null,
    choices: choices.map((choice, index) => ({
      picture: trials[index].item.name,
      left: data.runs[trials[index].left],
      chosen: choice === null ? null : data.runs[choice],
    })),
  };
}

function row(words, count) {
  const line = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
  head.scope = "row";
  head.textContent = words;
  cell.className = "n";
  cell.textContent = count;
  line.append(head, cell);
  return line;
}

function showResult() {
  const found = result(), percent = (share) => `${Math.round(share * 100)} %`;
  const first = found.share_of_first === null || found.share_of_first >= 0.5;
  const [low, high] = found.interval ? (first ? found.interval : found.interval.map((x) => 1 - x).reverse()) : [0, 1];
  const share = first ? found.share_of_first : 1 - found.share_of_first;
  const name = data.runs[first ? 0 : 1];
  element("verdict").textContent = found.interval === null ? "No difference was seen in any picture."
    : low > 0.5 ? `${name} was chosen in ${percent(share)} of the pictures with a difference: it is preferred.`
    : `${name} was chosen in ${percent(share)} of the pictures with a difference: too few to prefer either.`;
  element("meaning").textContent = found.interval === null ? ""
    : `The share is between ${percent(low)} and ${percent(high)} with 95 % confidence (Wilson), for one viewer and pictures like these.`;
  element("counts").replaceChildren(row(data.runs[0], found.chosen[0]), row(data.runs[1], found.chosen[1]),
    row("no difference", found.no_difference));
  element("json").value = JSON.stringify(found, null, 1);
}

function show() {
  const done = choices.length, all = trials.length, over = done === all;
  document.querySelector("progress").value = all ? done / all : 1;
  element("at").textContent = over ? `${all} pictures done` : `picture ${done + 1} of ${all}`;
  element("choosing").hidden = over;
  element("asked").hidden = over;
  element("result").hidden = !over;
  for (const button of document.querySelectorAll("[data-key=Backspace]")) button.disabled = done === 0;
  if (over) {
    showResult();
    element("result").focus();
    return;
  }
  const {item, left} = trials[done];
  const pictures = {source: item.source, left: item.outputs[left], right: item.outputs[1 - left]};
  for (const [id, uri] of Object.entries(pictures)) {
    element(id).src = uri;
    element(id).classList.toggle("small", item.small);
  }
}

function act(key) {
  const over = choices.length === trials.length;
  if (key === "Backspace") choices.pop();
  else if (over) return false;
  else if (key === "ArrowDown") choices.push(null);
  else if (key === "ArrowLeft") choices.push(trials[choices.length].left);
  else if (key === "ArrowRight") choices.push(1 - trials[choices.length].left);
  else return false;
  show();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey || event.target === element("json")) return;
  if (act(event.key)) event.preventDefault();
});
for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => act(button.dataset.key));
element("copy").addEventListener("click", async () => {
  element("json").select();
  try {
    await navigator.clipboard.writeText(element("json").value);
    element("copy").textContent = "copied";
  } catch {
    element("copy").textContent = "selected: press Ctrl-C";  // a page from a file may not be allowed to
  }
});
element("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([element("json").value], {type: "application/json"}));
  link.download = "choices.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
show();
