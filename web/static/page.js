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
  return event.target.closest("input:not([type=checkbox]), textarea, select, dialog") !== null;
}

// corrections: shown at once, saved in order, and set back where the server refuses them
const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const work = document.querySelector(".work");
const one = document.querySelector(".one");
const every = () => (one ? [one] : tiles());
const picked = () => every().filter((tile) => tile.querySelector(".pick:checked"));
const undoable = []; // {batch, before: Map of tile -> state} of this page
let queue = Promise.resolve();
let waiting = 0;
const labels = work ? ask("labels").then((found) => found.labels) : null;

function say(words, isBad = false) {
  const line = work.querySelector(".done");
  line.textContent = words;
  line.classList.toggle("bad", isBad);
}

async function ask(path, body) {
  const options = body && {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-CSRF-Token": meta("csrf") },
  };
  const answer = await fetch(`/api/v1/${path}`, options || {});
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || `the server answered ${answer.status}`);
  return found;
}

function save(job) {
  waiting += 1;
  queue = queue.then(job).catch((error) => say(error.message, true)).finally(() => { waiting -= 1; });
  return queue;
}
addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

const stateOf = (tile) => ({ label: tile.dataset.label, human: tile.dataset.human });

function show(tile, { label, human }) {
  tile.dataset.label = label;
  tile.dataset.human = human;
  const line = tile.querySelector(".label");
  line.textContent = "";
  const parts = label ? label.split("/") : [];
  parts.forEach((part, index) => {
    const isLast = index === parts.length - 1;
    const word = document.createElement(isLast ? "b" : "span");
    word.textContent = part;
    line.append(word);
    if (isLast) return;
    const slash = document.createElement("span");
    slash.className = "slash";
    slash.textContent = "/";
    line.append(slash, document.createElement("wbr"));
  });
  if (!label) line.textContent = "no label";
  tile.querySelector(".by-person").hidden = !human;
  tile.querySelector(".unsure").hidden = Boolean(human) || !tile.dataset.unsure;
}

function mark(tile, state, words = "") {
  tile.dataset.state = state;
  const badge = tile.querySelector(".badge.state");
  badge.hidden = !words;
  badge.textContent = words;
}

// `wanted`: pairs of tile and label; null withdraws
async function correct(wanted) {
  const by = await name();
  if (!by || !wanted.length) return;
  const before = new Map();
  for (const [tile, label] of wanted) {
    before.set(tile, stateOf(tile));
    const human = label === null ? "" : "yes";
    show(tile, { label: label === null ? tile.dataset.modelLabel : label, human });
    mark(tile, "saving");
  }
  await save(async () => {
    const choices = wanted.map(([tile, label]) => ({
      id: Number(tile.dataset.id), label, seen: before.get(tile).label || null,
    }));
    let done;
    try {
      done = await ask("corrections", { by, choices });
    } catch (error) {
      for (const [tile, state] of before) {
        show(tile, state);
        mark(tile, "failed", "not saved");
      }
      throw error;
    }
    for (const [tile] of wanted) mark(tile, "saved");
    for (const refusal of done.refused) {
      const tile = every().find((each) => Number(each.dataset.id) === refusal.id);
      show(tile, { label: refusal.found || "", human: refusal.by ? "yes" : "" });
      mark(tile, "refused", refusal.by ? `${refusal.by} was faster` : "has changed");
      before.delete(tile);
    }
    if (done.batch) undoable.push({ batch: done.batch, before });
    const words = `${done.changed} saved`;
    if (done.refused.length) say(`${words}, ${done.refused.length} not: look at them again`, true);
    else say(wanted.length === 1 && wanted[0][1] ? `${words}: ${wanted[0][1]}` : words);
    progress();
  });
}

// what the keys mean: the selection, or else the focused picture
const meant = () => {
  const chosen = picked();
  const here = one || focused();
  return chosen.length ? chosen : here ? [here] : [];
};

function correctMeant(labelOf) {
  const chosen = meant();
  const wanted = chosen.map((tile) => [tile, labelOf(tile)]).filter(([, label]) => label !== "");
  if (!chosen.length) return say("first choose a picture with the arrow keys", true);
  if (!wanted.length) return say("there is no label to choose here", true);
  const wasOne = !picked().length && !one;
  clearPicks();
  if (wasOne) move("right");
  return correct(wanted);
}

const clearPicks = () => picked().forEach((tile) => { tile.querySelector(".pick").checked = false; });

async function undo() {
  const by = await name();
  if (!by) return;
  await save(async () => {
    const known = undoable.pop();
    let batch = known && known.batch;
    if (!batch) {
      const { batches } = await ask(`batches?by=${encodeURIComponent(by)}`);
      const last = batches.find((each) => !each.undoes && each.undone < each.rows);
      if (!last) return say("there is nothing to undo");
      batch = last.batch;
    }
    const done = await ask("undo", { by, batch });
    const refused = new Set(done.refused.map((each) => each.id));
    if (known) {
      for (const [tile, state] of known.before) {
        if (refused.has(Number(tile.dataset.id))) mark(tile, "refused", "changed since");
        else { show(tile, state); mark(tile, "undone"); }
      }
    }
    const kept = done.refused.map((each) => each.path).slice(0, 3).join(", ");
    say(`${done.changed} undone${kept ? `; changed by others since, and kept: ${kept}` : ""}`, Boolean(kept));
    progress();
    if (!known && done.changed) location.reload();
  });
}

let asked = 0;
async function progress() {
  if (!grid) return;
  const mine = (asked += 1);
  const found = await ask(`progress${location.search}`).catch(() => null);
  if (!found || mine !== asked) return;
  const number = (n) => n.toLocaleString("en");
  const lacking = found.products_lacking;
  const more = lacking ? `, ${lacking} more product${lacking === 1 ? "" : "s"} until adapt can start` : "";
  work.querySelector(".progress").textContent =
    `${number(found.corrected)}${found.total === null ? "" : ` of ${number(found.total)}`} corrected, ${number(found.last_hour)} in the last hour${more}`;
}

// dialogs
const closed = (dialog) => new Promise((resolve) => {
  dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
});

function open(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return closed(dialog);
}

function confirmed(question, yes) {
  const dialog = document.querySelector(".confirm");
  dialog.querySelector("h2").textContent = question;
  dialog.querySelector("[value=yes]").textContent = yes;
  return open(dialog).then((answer) => answer === "yes");
}

async function name(again = false) {
  const given = meta("user") || (again ? "" : localStorage.getItem("name"));
  if (given) return given;
  const dialog = document.querySelector(".ask-name");
  const field = dialog.querySelector(".name");
  const here = document.activeElement;
  field.value = localStorage.getItem("name") || "";
  const answer = await open(dialog);
  here?.focus();
  if (answer === "yes" && field.value.trim()) localStorage.setItem("name", field.value.trim());
  showName();
  return answer === "yes" ? localStorage.getItem("name") : null;
}

function showName() {
  const button = work.querySelector(".who");
  button.textContent = meta("user") || localStorage.getItem("name") || "Your name…";
  button.disabled = Boolean(meta("user"));
}

// how well a label fits: 0 if each word begins one of its words, so that "male" is not "female";
// infinite if a word is nowhere in it
function misfit(label, words) {
  const text = label.toLowerCase();
  if (!words.every((word) => text.includes(word))) return Infinity;
  const parts = text.split(/[/_ -]/);
  return words.filter((word) => !parts.some((part) => part.startsWith(word))).length;
}

async function searchLabel(start = "", title = null) {
  let known = [];
  const dialog = document.querySelector(".search-labels");
  const field = dialog.querySelector(".wanted");
  const list = dialog.querySelector("#found-labels");
  const number = meant().length;
  dialog.querySelector("h2").textContent = title || `Label for ${number} picture${number === 1 ? "" : "s"}`;
  let at = 0;
  const options = () => [...list.children];
  const point = () => {
    options().forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    const chosen = options()[at];
    field.setAttribute("aria-activedescendant", chosen ? chosen.id : "");
    chosen?.scrollIntoView({ block: "nearest" });
  };
  const fill = () => {
    const words = field.value.toLowerCase().split(/[\s/]+/).filter(Boolean);
    const found = known.filter((label) => misfit(label, words) < Infinity);
    found.sort((a, b) => misfit(a, words) - misfit(b, words));
    list.replaceChildren(...found.slice(0, 50).map((label, index) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `label-${index}`;
      option.textContent = label;
      option.addEventListener("click", () => dialog.close(label));
      return option;
    }));
    at = 0;
    point();
  };
  field.oninput = fill;
  field.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      at = Math.min(Math.max(at + step, 0), list.children.length - 1);
      point();
    } else if (event.key === "Enter") {
      // who types fast is not slower than the list of labels
      labels.then(() => { if (options()[at]) dialog.close(options()[at].textContent); });
    } else return;
    event.preventDefault();
  };
  field.value = start;
  const here = document.activeElement;
  const answered = open(dialog);
  labels.then((found) => {
    known = found;
    fill();
  }).catch((error) => dialog.close(say(error.message, true)));
  const answer = await answered;
  here?.focus();
  return answer || null;
}

async function relabel(start = "") {
  if (!meant().length) return say("first choose a picture with the arrow keys", true);
  const label = await searchLabel(start);
  if (label) await correctMeant(() => label);
}

async function relabelFilter() {
  const by = await name();
  if (!by) return;
  const where = location.search.slice(1);
  const counted = ask(`count${location.search}`);
  const label = await searchLabel("", "Label for all pictures of this filter");
  if (!label) return;
  const { rows } = await counted;
  const number = rows.toLocaleString("en");
  if (!(await confirmed(`Relabel all ${number} pictures of this filter as ${label}?`, "Relabel"))) return;
  await save(async () => {
    say(`saving ${number} …`);
    const done = await ask("corrections", { by, where, label, expected: rows });
    sessionStorage.setItem("said", `${done.changed.toLocaleString("en")} saved: ${label}`);
  });
  if (sessionStorage.getItem("said")) location.reload();
}

// rejected and quarantined pictures go into the queue again
const pictures = (n) => `${n.toLocaleString("en")} picture${n === 1 ? "" : "s"}`;
const hasFailed = (tile) => ["rejected", "quarantined"].includes(tile.dataset.status);

async function requeueChosen() {
  const chosen = (one ? [one] : picked()).filter(hasFailed);
  if (!chosen.length) return say("first select rejected or quarantined pictures (x)", true);
  if (!(await confirmed(`Label ${pictures(chosen.length)} again?`, "Label again"))) return;
  await save(async () => {
    const done = await ask("requeue", { ids: chosen.map((tile) => Number(tile.dataset.id)) });
    clearPicks();
    for (const tile of chosen) {
      if (done.left.includes(Number(tile.dataset.id))) {
        mark(tile, "refused", "changed since");
        continue;
      }
      tile.dataset.status = "pending";
      const badge = tile.querySelector(".badge.rejected, .badge.quarantined");
      badge.className = "badge";
      badge.textContent = "pending";
      mark(tile, "queued");
    }
    say(`${pictures(done.requeued + done.released)} will be labelled again`);
  });
}

async function requeueFilter() {
  const { counts } = await ask(`stats${location.search}`);
  const failed = counts.filter((each) => ["rejected", "quarantined"].includes(each.status));
  const expected = failed.reduce((sum, each) => sum + each.rows, 0);
  const question = `Label all ${pictures(expected)} of this filter again that are rejected or quarantined?`;
  if (!(await confirmed(question, "Label again"))) return;
  let isDone = false;
  await save(async () => {
    say(`queueing ${pictures(expected)} …`);
    const done = await ask("requeue", { where: location.search.slice(1), expected });
    sessionStorage.setItem("said", `${pictures(done.requeued + done.released)} will be labelled again`);
    isDone = true;
  });
  if (isDone) location.reload();
}

function select(tile, on) {
  const box = tile && tile.querySelector(".pick");
  if (box) box.checked = on === undefined ? !box.checked : on;
  const number = picked().length;
  say(number ? `${number} selected` : "");
}

function extend(step) {
  const all = tiles();
  const from = all.indexOf(focused());
  move(step);
  const to = all.indexOf(focused());
  if (from < 0 || to < 0) return;
  for (let at = Math.min(from, to); at <= Math.max(from, to); at += 1) select(all[at], true);
}

const leafLabel = (number) => (tile) => tile.querySelectorAll("[data-choose]")[number - 1]?.dataset.choose || "";

const ACTS = {
  search: () => relabel(),
  "page-right": () => correct(tiles().filter((t) => t.dataset.label && !t.dataset.human).map((t) => [t, t.dataset.label])),
  filter: relabelFilter,
  again: requeueChosen,
  "filter-again": requeueFilter,
  undo,
  name: () => name(true),
  help: () => open(document.querySelector(".help")),
};
const KEYS = {
  Enter: () => correctMeant((tile) => tile.dataset.label),
  1: () => correctMeant(leafLabel(1)),
  2: () => correctMeant(leafLabel(2)),
  Delete: () => correctMeant((tile) => (tile.dataset.human ? null : "")),
  ".": ACTS["page-right"],
  "/": () => relabel(),
  "?": ACTS.help,
  u: undo,
  x: () => select(focused()),
  Escape: clearPicks,
};

const run = (act) => Promise.resolve(act()).catch((error) => say(error.message, true));

if (work) {
  work.hidden = false;
  showName();
  say(sessionStorage.getItem("said") || "");
  sessionStorage.removeItem("said");
  progress();
  document.addEventListener("click", (event) => {
    const act = event.target.closest("[data-act]");
    const leaf = event.target.closest("[data-choose]");
    const right = event.target.closest(".right");
    const tile = event.target.closest(".tile, .one");
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close("");
    else if (act) run(ACTS[act.dataset.act]);
    else if (leaf) run(() => correct([[tile, leaf.dataset.choose]]));
    else if (right && tile.dataset.label) run(() => correct([[tile, tile.dataset.label]]));
    else if (event.target.closest(".pick")) select(null);
  });
}

async function turn(way) {
  const link = document.querySelector(`[data-key="${way}"]`);
  if (!link) return;
  await queue; // what was corrected here is saved first
  link.click();
}

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = event.target.closest("button, summary, .bar a, aside a, .tools a");
  if (onButton && (event.key === "Enter" || event.key === " ")) return;
  if (grid && ARROWS[event.key]) {
    if (event.shiftKey && work) extend(ARROWS[event.key]);
    else move(ARROWS[event.key]);
  } else if (TURNS[event.key]) {
    turn(TURNS[event.key]);
  } else if (event.key === " " && event.target.closest(".pick")) {
    return;
  } else if (event.key === " " && focused()) {
    queue.then(() => focused().querySelector(".frame").click());
  } else if (work && KEYS[event.key]) {
    if (event.repeat && event.key !== "x") return;
    run(KEYS[event.key]);
  } else if (work && /^[a-z]$/.test(event.key) && meant().length) {
    run(() => relabel(event.key));
  } else return;
  event.preventDefault();
});

// the watch page: the same piece of HTML, whenever it has changed
const live = document.querySelector(".live");
if (live) {
  const state = document.querySelector(".live-state");
  const keyOf = (element) => element && `${element.tagName} ${element.getAttribute("href") || ""} ${element.dataset.crawl || ""} ${element.dataset.reason || ""}`;
  const events = new EventSource("/events");
  events.addEventListener("crawls", (event) => {
    const piece = new DOMParser().parseFromString(event.data, "text/html");
    const key = live.contains(document.activeElement) ? keyOf(document.activeElement) : null;
    live.replaceChildren(...piece.body.childNodes);
    if (key) [...live.querySelectorAll("a, button")].find((each) => keyOf(each) === key)?.focus();
  });
  events.addEventListener("open", () => { state.textContent = ""; });
  events.addEventListener("error", () => { state.textContent = "The server does not answer; these are the last numbers."; });
  addEventListener("pagehide", () => events.close());
  live.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-again]");
    if (!button) return;
    const { again, crawl, reason } = button.dataset;
    button.disabled = true;
    try {
      const done = await ask(again, { crawl, reason });
      state.textContent = `${crawl}: ${done.requeued ?? done.released} pictures will be labelled again`;
    } catch (error) {
      state.textContent = error.message;
    }
    button.disabled = false;
  });
}
