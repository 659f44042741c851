// Plays a recording at its own pace; pauses are cut to two seconds. Without scripts all of it is shown.
const MAX_IDLE_S = 2;

export function addPlayer() {
  const screen = document.querySelector("[data-player]");
  const controls = document.querySelector("[data-controls]");
  if (!screen || !controls) return;
  new Player([...screen.children], screen, (name) => controls.querySelector(`[data-${name}]`));
  controls.hidden = false;
}

class Player {
  constructor(shown, screen, find) {
    this.shown = shown;
    this.screen = screen;
    [this.play, this.seek, this.speed, this.clock] = ["play", "seek", "speed", "clock"].map(find);
    this.total = 0;
    this.times = shown.map((frame, i) => {
      const gap = i ? Number(frame.dataset.at) - Number(shown[i - 1].dataset.at) : 0;
      this.total += Math.min(Math.max(gap, 0), MAX_IDLE_S);
      return this.total;
    });
    this.marks = this.times.map((_, i) => i).filter((i) => shown[i].classList.contains("f-statement"));
    this.place(this.total);
    this.running = false;
    this.seek.max = String(this.total);
    this.seek.step = "any";
    this.play.addEventListener("click", () => this.toggle());
    this.seek.addEventListener("input", () => this.jump(Number(this.seek.value)));
    find("next").addEventListener("click", () => this.step(true));
    find("back").addEventListener("click", () => this.step(false));
    document.addEventListener("keydown", (event) => {
      if (event.target.closest("input, select, button, a, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
      const does = { " ": () => this.toggle(), n: () => this.step(true), p: () => this.step(false) }[event.key];
      if (does) {
        event.preventDefault();
        does();
      }
    });
    this.draw();
  }

  // Where it stands, in seconds, and the last frame that is shown: several frames may have one time.
  place(position, last = this.times.findLastIndex((time) => time <= position + 1e-9)) {
    this.position = position;
    this.last = last;
  }

  draw() {
    let current = -1;
    let last = null;
    this.shown.forEach((frame, i) => {
      const visible = i <= this.last;
      frame.classList.toggle("later", !visible);
      frame.classList.remove("current");
      if (visible) last = frame;
      if (visible && frame.classList.contains("f-statement")) current = i;
    });
    if (current >= 0) this.shown[current].classList.add("current");
    this.seek.value = String(this.position);
    this.clock.textContent = `${stamp(this.position)} / ${stamp(this.total)}`;
    this.play.textContent = this.running ? "Pause" : "Play";
    this.screen.dataset.state = this.running ? "playing" : "still";
    return last;
  }

  tick(now) {
    if (!this.running) return;
    this.place(Math.min(this.total, this.position + ((now - this.before) / 1000) * Number(this.speed.value)));
    this.before = now;
    if (this.position >= this.total) this.running = false;
    this.draw();
    this.screen.scrollTop = this.screen.scrollHeight;
    if (this.running) requestAnimationFrame((then) => this.tick(then));
  }

  toggle() {
    this.running = !this.running;
    if (this.running && this.last === this.shown.length - 1) this.place(0);
    this.before = performance.now();
    this.draw();
    if (this.running) requestAnimationFrame((then) => this.tick(then));
  }

  jump(to, last) {
    this.running = false;
    this.place(Math.min(Math.max(to, 0), this.total), last);
    this.draw()?.scrollIntoView({ block: "nearest" });
  }

  step(forward) {
    const to = forward ? this.marks.find((mark) => mark > this.last) : this.marks.findLast((mark) => mark < this.last);
    if (to === undefined) this.jump(forward ? this.total : 0);
    else this.jump(this.times[to], to);
  }
}

function stamp(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
