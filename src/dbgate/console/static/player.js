// The player of a recording's page. What it does stands in the page of an export, too.
import { Player } from "./recording.js";

export function addPlayer() {
  const screen = document.querySelector("[data-player]");
  const controls = document.querySelector("[data-controls]");
  if (!screen || !controls) return;
  new Player({
    frames: [...screen.children],
    find: (name) => controls.querySelector(`[data-${name}]`),
    follow: (frame, playing) => (playing ? (screen.scrollTop = screen.scrollHeight) : frame?.scrollIntoView({ block: "nearest" })),
    began: screen.dataset.began,
  });
  controls.hidden = false;
}
