// What a page can do beside htmx: clocks that tick, a log that follows its end, a button that copies.  No page needs it.
"use strict";

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function tick() {
  // The server says how many seconds it was when it wrote: the clocks of two machines may differ.
  for (const clock of document.querySelectorAll("[data-elapsed]")) {
    if (clock.dataset.told !== clock.dataset.elapsed) {
      clock.dataset.told = clock.dataset.elapsed;
      clock.since = performance.now() - 1000 * Number(clock.dataset.elapsed);
    }
    const text = duration((performance.now() - clock.since) / 1000);
    if (clock.textContent !== text) clock.textContent = text;
  }
}

function follow() {
  const wanted = document.querySelector("[data-follow]");
  const log = document.getElementById("log");
  if (log && "live" in log.dataset && (!wanted || wanted.checked)) log.scrollTop = log.scrollHeight;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
  button.textContent = "Copied";
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("htmx:after:swap", follow);
document.addEventListener("htmx:sse:error", (event) => {
  if (event.detail.status === 401) location.reload(); // it leads to the sign-in, and back
});
document.addEventListener("DOMContentLoaded", () => {
  for (const only of document.querySelectorAll("[data-scripted]")) only.hidden = false;
  follow();
  tick();
  setInterval(tick, 1000);
});
