// Moments in the reader's own time zone, and deadlines that count down.
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return s < 600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function local(moment, now) {
  const age = (now - moment) / 1000;
  if (age >= 0 && age < 60) return "just now";
  if (age >= 0 && age < 3600) return `${Math.floor(age / 60)} min ago`;
  return moment.toDateString() === now.toDateString() ? hour.format(moment) : day.format(moment);
}

export function showTimes(root = document) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[data-at], time[data-until]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    element.title ||= `${day.format(moment)} · ${element.textContent}`;
    const left = (moment - now) / 1000;
    const isUntil = "until" in element.dataset;
    const text = !isUntil ? local(moment, now) : left > 0 ? `${element.dataset.until} ${span(left)}` : "no more";
    if (element.textContent !== text) element.textContent = text;
  }
}

export function watchTimes() {
  showTimes();
  setInterval(() => document.visibilityState === "visible" && showTimes(), 1000);
  document.addEventListener("visibilitychange", () => showTimes());
}
