"use strict";
// Reading values off a chart, with the pointer or with the arrow keys.
for (const figure of document.querySelectorAll("figure.chart")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const drawing = figure.querySelector("svg[role=img]");
  const cursor = drawing.querySelector(".cursor");
  const readout = figure.querySelector("output");
  const [left, right, width] = [52, 546, 560];
  const steps = [...new Set(data.lines.flatMap((line) => line.points.map(([step]) => step)))].sort((a, b) => a - b);
  let at = -1;
  const place = (step) => data.last === data.first ? (left + right) / 2
    : left + (step - data.first) / (data.last - data.first) * (right - left);
  const show = (index) => {
    at = index;
    const step = steps[at];
    const said = data.lines.map(({name, points}) => {
      const near = points.reduce((a, b) => Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a);
      return `${name} ${near[1]}`;
    });
    cursor.setAttribute("transform", `translate(${place(step).toFixed(1)} 0)`);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = `step ${step.toLocaleString("en")}: ${said.join(", ")}`;
  };
  const hide = () => {
    at = -1;
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = "";
  };
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * width;
    show(steps.reduce((best, step, index) =>
      Math.abs(place(step) - x) < Math.abs(place(steps[best]) - x) ? index : best, 0));
  });
  drawing.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const last = steps.length - 1;
    const to = {ArrowLeft: at < 0 ? last : Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last}[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(to);
  });
}
