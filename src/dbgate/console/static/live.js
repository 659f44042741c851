// Keeps the page up to date: the stream says that something happened, and the page's regions are fetched anew.
// `html[data-live]` tells where it stands: open, waiting (for the connection to come back) or over (signed out).
import { showTimes } from "./times.js";

const SETTLE_MS = 120;
let timer = 0;
let running = false;
let again = false;

export function followEvents(url) {
  if (!url || !document.querySelector("[data-region]")) return;
  const source = new EventSource(url);
  let first = true;
  source.addEventListener("hello", () => {
    stand("open", "live");
    // What happened while the connection was away was not told.
    if (!first) refreshSoon();
    first = false;
  });
  source.addEventListener("news", refreshSoon);
  source.addEventListener("over", () => {
    source.close();
    over();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) refreshSoon();
    stand("waiting", "reconnecting");
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

function stand(state, words) {
  document.documentElement.dataset.live = state;
  const shown = document.querySelector("[data-live][role]");
  if (shown && shown.textContent !== words) shown.textContent = words;
}

function over() {
  stand("over", "signed out");
  document.querySelector("[data-over]").hidden = false;
}

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, SETTLE_MS);
}

function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  const call = new XMLHttpRequest();
  call.open("GET", location.href);
  call.responseType = "document";
  call.setRequestHeader("X-Dbgate-Background", "1");
  call.addEventListener("loadend", () => {
    running = false;
    if (call.status === 401) over();
    else if (call.status === 200 && call.response) replaceRegions(call.response);
    if (again) {
      again = false;
      refreshSoon();
    }
  });
  call.send();
}

function replaceRegions(fresh) {
  for (const old of document.querySelectorAll("[data-region]")) {
    const next = fresh.querySelector(`[data-region="${CSS.escape(old.dataset.region)}"]`);
    if (!next || old.querySelector("dialog[open]")) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const row = focused?.closest("[data-id]")?.dataset.id;
    const key = focused?.dataset.key;
    old.replaceWith(document.adoptNode(next));
    showTimes(next);
    if (row) next.querySelector(`[data-id="${CSS.escape(row)}"] [data-open]`)?.focus();
    else if (key) next.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }
  document.title = fresh.title;
  const said = document.querySelector("[data-say]");
  const announce = document.querySelector("[data-announce]");
  if (said && announce && announce.textContent !== said.textContent) announce.textContent = said.textContent;
}
