// Plays a recording in a browser: in the page of an export, and in the console. Without scripts all of it is shown.
const MAX_IDLE_S = 2, SKIP_S = 5, MIN_SPEED = 1 / 64, MAX_SPEED = 1024;
const JUMPS = { d: "denial", a: "approval", w: "write", e: "error", f: "fault" };

export class Player {
  // `frames` are elements with data-at (seconds) and data-marks; `find` gives the controls by name; `follow` scrolls to the last one shown.
  constructor({ frames, find, follow, began }) {
    Object.assign(this, { frames, find, follow, began: Date.parse(began) });
    this.marks = frames.map((frame) => (frame.dataset.marks ?? "").split(" "));
    this.rate = 1;
    this.running = this.exact = false;
    this.layOut();
    this.place(this.total);
    find("play").addEventListener("click", () => this.toggle());
    find("seek").addEventListener("input", () => this.jump(Number(find("seek").value)));
    find("next").addEventListener("click", () => this.goTo("statement", true));
    find("back").addEventListener("click", () => this.goTo("statement", false));
    find("speed").addEventListener("change", () => this.setRate(Number(find("speed").value)));
    find("search").addEventListener("keydown", (event) => {
      if (event.key === "Escape") find("search").blur();
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.search(find("search").value, !event.shiftKey);
    });
    document.addEventListener("keydown", (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (event.target.closest?.("input, select, textarea, dialog, [contenteditable]")) return;
      if (event.key === " " && event.target.closest?.("button, a, summary")) return;
      if (this.press(event.key)) event.preventDefault();
    });
    this.draw();
  }

  press(key) {
    const keys = {
      " ": () => this.toggle(),
      ArrowRight: () => this.skip(SKIP_S),
      ArrowLeft: () => this.skip(-SKIP_S),
      Home: () => this.jump(0),
      End: () => this.jump(this.total),
      n: () => this.goTo("statement", true),
      p: () => this.goTo("statement", false),
      "]": () => this.goTo("statement", true),
      "[": () => this.goTo("statement", false),
      ">": () => this.setRate(this.rate * 2),
      "<": () => this.setRate(this.rate / 2),
      i: () => this.toggleExact(),
      "/": () => this.find("search").focus(),
    };
    const mark = JUMPS[key.toLowerCase()];
    if (Object.hasOwn(keys, key)) keys[key]();
    else if (/^[0-9]$/.test(key)) this.jump((this.total * Number(key)) / 10);
    else if (mark) this.goTo(mark, key === key.toLowerCase());
    else return false;
    return true;
  }

  // The page's own time: the recording's, with every pause cut to MAX_IDLE_S, or exact.
  layOut() {
    const limit = this.exact ? Infinity : MAX_IDLE_S;
    this.total = 0;
    this.times = this.frames.map((frame, i) => {
      const gap = i ? Number(frame.dataset.at) - Number(this.frames[i - 1].dataset.at) : 0;
      this.total += Math.min(Math.max(gap, 0), limit);
      return this.total;
    });
    this.find("seek").max = String(this.total);
    this.find("seek").step = "any";
  }

  // Where it stands, in seconds, and the last frame that is shown: several frames may have one time.
  place(position, last = this.times.findLastIndex((time) => time <= position + 1e-9)) {
    this.position = position;
    this.last = last;
  }

  draw() {
    let current = -1;
    this.frames.forEach((frame, i) => {
      frame.classList.toggle("later", i > this.last);
      frame.classList.remove("current");
      if (i <= this.last && this.marks[i].includes("statement")) current = i;
    });
    if (current >= 0) this.frames[current].classList.add("current");
    this.find("seek").value = String(this.position);
    this.find("clock").textContent = `${stamp(this.position)} / ${stamp(this.total)}${this.recorded()}`;
    this.find("play").textContent = this.running ? "Pause" : "Play";
    if (this.frames.length) this.frames[0].parentElement.dataset.state = this.running ? "playing" : "still";
  }

  // What the recording's clock showed.
  recorded() {
    const at = new Date(this.began + Number(this.frames[Math.max(this.last, 0)]?.dataset.at) * 1000);
    return Number.isNaN(at.getTime()) ? "" : ` · ${at.toISOString().slice(11, 19)} UTC`;
  }

  tick(now) {
    if (!this.running) return;
    this.place(Math.min(this.total, this.position + ((now - this.before) / 1000) * this.rate));
    this.before = now;
    if (this.position >= this.total) this.running = false;
    this.draw();
    this.follow(this.frames[this.last], true);
    if (this.running) requestAnimationFrame((then) => this.tick(then));
  }

  toggle() {
    this.running = !this.running;
    if (this.running && this.last === this.frames.length - 1) this.place(0);
    this.before = performance.now();
    this.draw();
    if (this.running) requestAnimationFrame((then) => this.tick(then));
  }

  jump(to, last) {
    this.running = false;
    this.place(Math.min(Math.max(to, 0), this.total), last);
    this.draw();
    this.follow(this.frames[this.last], false);
  }

  skip(by) {
    const running = this.running;
    this.jump(this.position + by);
    if (running && this.position < this.total) this.toggle();
  }

  // To the next or previous frame with a mark, and what belongs to it: the frames up to the next mark at the same moment.
  goTo(mark, forward) {
    const here = this.here();
    const places = this.frames.map((_, i) => i).filter((i) => this.marks[i].includes(mark));
    const to = forward ? places.find((i) => i > here) : places.findLast((i) => i < here);
    if (to !== undefined) this.land(to);
    else if (mark === "statement") this.jump(forward ? this.total : 0);
  }

  search(needle, forward) {
    if (!needle) return;
    const here = this.here();
    const wanted = needle.toLowerCase();
    const count = this.frames.length;
    for (let step = 1; step <= count; step += 1) {
      const i = (here + (forward ? step : count - step)) % count;
      if (!this.frames[i].textContent.toLowerCase().includes(wanted)) continue;
      this.land(i);
      this.find("search").dataset.found = "yes";
      return;
    }
    this.find("search").dataset.found = "no";
  }

  land(i) {
    this.jump(this.times[this.end(i)], this.end(i));
    this.landed = i;
    this.frames[i].scrollIntoView({ block: "nearest" });
  }

  // The frame that was gone to, while it is still what is shown last with what belongs to it; else the last one.
  here() {
    return this.landed !== undefined && this.end(this.landed) === this.last ? this.landed : this.last;
  }

  end(i) {
    let last = i;
    while (last + 1 < this.frames.length && !this.frames[last + 1].dataset.marks && this.frames[last + 1].dataset.at === this.frames[i].dataset.at) last += 1;
    return last;
  }

  setRate(rate) {
    this.rate = Math.min(Math.max(rate, MIN_SPEED), MAX_SPEED);
    const speed = this.find("speed");
    if (![...speed.options].some((option) => Number(option.value) === this.rate)) speed.add(new Option(`${this.rate}×`, String(this.rate)));
    speed.value = String(this.rate);
  }

  toggleExact() {
    this.exact = !this.exact;
    this.layOut();
    this.place(this.times[Math.max(this.last, 0)] ?? 0, this.last);
    this.draw();
  }
}

function stamp(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
