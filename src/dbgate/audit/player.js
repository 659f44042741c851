"use strict";
(() => {
  const MAX_IDLE_S = 2;
  const shown = [...document.querySelectorAll("main > pre")];
  const find = (id) => document.getElementById(id);
  const play = find("play"), seek = find("seek"), speed = find("speed"), clock = find("clock");
  // The page's own time: the recording's, with every pause cut to MAX_IDLE_S.
  const times = [];
  let total = 0;
  shown.forEach((frame, i) => {
    const gap = i ? Number(frame.dataset.at) - Number(shown[i - 1].dataset.at) : 0;
    total += Math.min(Math.max(gap, 0), MAX_IDLE_S);
    times.push(total);
  });
  const statements = shown.map((frame, i) => i).filter((i) => shown[i].classList.contains("statement"));
  let position = total, running = false, before = 0;

  const stamp = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const draw = () => {
    let current = -1;
    shown.forEach((frame, i) => {
      const visible = times[i] <= position + 1e-9;
      frame.classList.toggle("later", !visible);
      frame.classList.remove("current");
      if (visible && frame.classList.contains("statement")) current = i;
    });
    if (current >= 0) shown[current].classList.add("current");
    seek.value = String(position);
    clock.textContent = `${stamp(position)} / ${stamp(total)}`;
    play.textContent = running ? "Pause" : "Play";
  };
  const tick = (now) => {
    if (!running) return;
    position = Math.min(total, position + ((now - before) / 1000) * Number(speed.value));
    before = now;
    if (position >= total) running = false;
    draw();
    window.scrollTo(0, document.body.scrollHeight);
    if (running) requestAnimationFrame(tick);
  };
  const toggle = () => {
    running = !running;
    if (running && position >= total) position = 0;
    before = performance.now();
    draw();
    if (running) requestAnimationFrame(tick);
  };
  const jump = (to) => { running = false; position = Math.min(Math.max(to, 0), total); draw(); };
  const step = (forward) => {
    const marks = statements.map((i) => times[i]);
    const to = forward ? marks.find((t) => t > position + 1e-6) : marks.filter((t) => t < position - 1e-6).pop();
    jump(to === undefined ? (forward ? total : 0) : to);
  };

  seek.max = String(total);
  seek.step = "any";
  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => jump(Number(seek.value)));
  find("next").addEventListener("click", () => step(true));
  find("back").addEventListener("click", () => step(false));
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body) return;
    if (event.key === " ") { event.preventDefault(); toggle(); }
    if (event.key === "n") step(true);
    if (event.key === "p") step(false);
  });
  document.querySelector("nav").hidden = false;
  draw();
})();
