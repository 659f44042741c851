// What scripts add to pages that work without them. Nothing here makes markup: text is set as text, and
// fresh regions come from the server, parsed by the browser as a document of its own.
import { watchTimes } from "./times.js";
import { openDialogs } from "./dialogs.js";
import { followEvents } from "./live.js";
import { listenForKeys } from "./keys.js";
import { addPlayer } from "./player.js";

function addCopyButtons() {
  for (const block of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard || block.querySelector(".copy")) continue;
    const text = block.textContent;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    });
    block.append(button);
  }
}

// A form is sent once, however often its button is pressed.
addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

watchTimes();
openDialogs();
listenForKeys();
addCopyButtons();
addPlayer();
followEvents(document.body.dataset.events);
document.documentElement.dataset.ready = "yes";
