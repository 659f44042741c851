// The keyboard: rows are real links, so that moving is moving the focus, and Enter does what it always does.
import { open } from "./dialogs.js";

const PLACES = { i: "/", m: "/mine", h: "/history", s: "/sessions" };
const ACTIONS = { a: "approve", d: "deny", w: "withdraw", r: "revoke" };
let goes = false;

export function listenForKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    if (press(event.key)) event.preventDefault();
  });
}

function press(key) {
  if (goes) {
    goes = false;
    const link = PLACES[key] && document.querySelector(`.main-nav a[href="${PLACES[key]}"]`);
    if (link) link.click();
    return Boolean(link);
  }
  if (key === "g") {
    goes = true;
    return true;
  }
  if (key === "j" || key === "k") return move(key === "j" ? 1 : -1);
  if (key === "?") return open("help");
  if (key in ACTIONS) return act(key);
  return false;
}

function move(step) {
  const links = [...document.querySelectorAll("[data-row] [data-open]")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next].focus();
  links[next].closest("[data-row]").scrollIntoView({ block: "nearest" });
  return true;
}

// On a request's page the action's own button; in a list the page that asks, for the row with the focus.
function act(key) {
  const button = document.querySelector(`[data-key="${key}"]`);
  if (button) {
    button.click();
    return true;
  }
  const row = document.activeElement?.closest("[data-row]");
  if (!row?.dataset.may?.split(" ").includes(ACTIONS[key])) return false;
  location.assign(`${row.querySelector("[data-open]").href}/${ACTIONS[key]}`);
  return true;
}
