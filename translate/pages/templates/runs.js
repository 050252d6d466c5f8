"use strict";
// A table that is sorted by a click on the head of a column, or by Enter on it.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, index) => {
    const cell = row.cells[index];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (head.classList.contains("fixed")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const [x, y] = [value(a, index), value(b, index)];
        if (x === "" || y === "") return (x === "") - (y === "");  // what is missing comes last
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", {numeric: true});
        return down ? -order : order;
      };
      body.replaceChildren(...[...body.rows].sort(compare));
    });
  });
}
