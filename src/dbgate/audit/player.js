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
  let position = 0, last = 0, running = false, before = 0;
  // Where it stands, in seconds, and the last frame that is shown: several frames may have one time.
  const place = (to, frame = times.findLastIndex((time) => time <= to + 1e-9)) => { position = to; last = frame; };

  const stamp = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const draw = () => {
    let current = -1;
    shown.forEach((frame, i) => {
      const visible = i <= last;
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
    place(Math.min(total, position + ((now - before) / 1000) * Number(speed.value)));
    before = now;
    if (position >= total) running = false;
    draw();
    window.scrollTo(0, document.body.scrollHeight);
    if (running) requestAnimationFrame(tick);
  };
  const toggle = () => {
    running = !running;
    if (running && last === shown.length - 1) place(0);
    before = performance.now();
    draw();
    if (running) requestAnimationFrame(tick);
  };
  const jump = (to, frame) => { running = false; place(Math.min(Math.max(to, 0), total), frame); draw(); };
  const step = (forward) => {
    const to = forward ? statements.find((i) => i > last) : statements.findLast((i) => i < last);
    if (to === undefined) jump(forward ? total : 0);
    else jump(times[to], to);
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
  place(total);
  draw();
})();
