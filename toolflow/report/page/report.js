// Draws the charts of the page, and lets the slider move the figures of the cascade.
"use strict";

(() => {
  const options = { actions: false, renderer: "svg", tooltip: { theme: "page" } };
  const views = {};
  const drawn = [...document.querySelectorAll("[data-chart]")].map(async (place) => {
    const name = place.dataset.chart;
    const spec = document.querySelector(`[data-spec="${name}"]`);
    views[name] = (await vegaEmbed(place, JSON.parse(spec.textContent), options)).view;
  });

  const rows = JSON.parse(document.getElementById("thresholds").textContent);
  const slider = document.getElementById("threshold");

  function show() {
    const row = rows[slider.value];
    for (const place of document.querySelectorAll("[data-read]")) {
      const name = place.dataset.read;
      place.textContent = name === "chosen" ? (row.chosen ? "built" : "") : row[name];
    }
    slider.setAttribute("aria-valuetext", `threshold ${row.threshold}, ${row.forwarded} forwarded`);
    if (views.cascade) views.cascade.signal("at", Number(slider.value)).runAsync();
  }

  if (slider) {
    slider.addEventListener("input", show);
    show();
  }
  // Charts are drawn at the width of the screen: a printed page is narrower.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
  Promise.all(drawn).then(() => (document.body.dataset.drawn = drawn.length));
})();
