// Starts the player of an exported page.
const controls = document.querySelector("[data-controls]");
const main = document.querySelector("main");
new Player({
  frames: [...main.querySelectorAll("pre")],
  find: (name) => controls.querySelector(`[data-${name}]`),
  follow: (frame, playing) => (playing ? window.scrollTo(0, document.body.scrollHeight) : frame?.scrollIntoView({ block: "nearest" })),
  began: main.dataset.began,
});
controls.hidden = false;
