// The page works without this file, except for corrections. It has no dependencies and no build.
"use strict";

const grid = document.querySelector(".grid");
const filters = document.querySelector(".filters");

// on a phone the pictures come first
if (filters && matchMedia("(max-width: 50rem)").matches) filters.open = false;

// facets that were not counted in time
async function loadLater(section) {
  const answer = await fetch(section.dataset.later, { headers: { Accept: "text/html" } });
  if (!answer.ok) {
    section.querySelector(".later").textContent = "took too long";
    return;
  }
  const piece = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = piece.querySelector(".facet");
  if (found) section.replaceWith(found);
}
for (const section of document.querySelectorAll(".facet[data-later]")) {
  loadLater(section).catch(() => {});
}

// the grid by keyboard: arrows move, [ and ] turn the page
const tiles = () => (grid ? [...grid.querySelectorAll(".tile")] : []);
const focused = () => document.activeElement && document.activeElement.closest(".tile");

function columns(all) {
  const top = all[0].offsetTop;
  const next = all.findIndex((tile) => tile.offsetTop > top);
  return next < 0 ? all.length : next;
}

function focusTile(tile) {
  tile.querySelector(".frame").focus();
  tile.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = tiles();
  if (!all.length) return;
  const here = all.indexOf(focused());
  const wide = columns(all);
  const there = here < 0 ? 0 : here + { left: -1, right: 1, up: -wide, down: wide }[step];
  if (there >= 0 && there < all.length) focusTile(all[there]);
}

const ARROWS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
const TURNS = { "[": "previous", "]": "next" };

function isTyping(event) {
  return event.target.closest("input, textarea, select, dialog") !== null;
}

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (grid && ARROWS[event.key]) {
    move(ARROWS[event.key]);
    event.preventDefault();
  } else if (TURNS[event.key]) {
    const link = document.querySelector(`[data-key="${TURNS[event.key]}"]`);
    if (link) link.click();
  }
});
