(() => {
  "use strict";
  const pictures = document.querySelector("[data-pictures]");
  const swipe = document.querySelector("[data-swipe]");
  if (pictures && swipe) {
    const range = swipe.querySelector("input");
    const layers = { before: swipe.querySelector(".before"), after: swipe.querySelector(".after") };
    const map = pictures.querySelector(".map img");
    if (map) {
      layers.change = document.createElement("figure");
      layers.change.className = "change";
      const label = document.createElement("figcaption");
      label.textContent = "Change";
      layers.change.append(map.cloneNode(), label);
      swipe.insertBefore(layers.change, range);
    }
    const move = () => {
      swipe.style.setProperty("--split", range.value + "%");
      range.setAttribute("aria-valuetext", `${Math.round(range.value)} % ${swipe.dataset.left}, the rest ${swipe.dataset.right}`);
    };
    const pair = (left, right) => {
      swipe.dataset.left = left;
      swipe.dataset.right = right;
      for (const [name, layer] of Object.entries(layers)) {
        layer.classList.toggle("left", name === left);
        layer.classList.toggle("right", name === right);
      }
      move();
    };
    document.documentElement.classList.add("js");
    range.addEventListener("input", move);
    for (const button of pictures.querySelectorAll("[name=pair]")) {
      button.addEventListener("change", () => pair(...button.value.split("|")));
    }
    const large = pictures.querySelector("[data-large]");
    large.addEventListener("click", () => {
      large.setAttribute("aria-pressed", String(pictures.classList.toggle("large")));
    });
    pair("before", "after");
  }
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) { part.open = true; folded.push(part); }
  });
  addEventListener("afterprint", () => { for (const part of folded.splice(0)) part.open = false; });
})();
