// Sample pages one at a time, chosen by the slider; without this script all of them are shown.
for (const film of document.querySelectorAll(".film")) {
  const pages = [...film.querySelectorAll("figure")];
  const slider = film.querySelector("input");
  const show = () => {
    const chosen = Number(slider.value);
    pages.forEach((page, index) => { page.hidden = index !== chosen; });
    const text = `${Number(pages[chosen].dataset.step).toLocaleString("en")}`;
    film.querySelector("output").textContent = text;
    slider.setAttribute("aria-valuetext", `step ${text}`);
  };
  film.querySelector(".control").hidden = pages.length < 2;
  film.classList.toggle("on", pages.length > 1);
  slider.addEventListener("input", show);
  show();
}
