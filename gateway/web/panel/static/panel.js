// What a page can do beside htmx: clocks that tick, a log that follows its end, a button that copies.  No page needs it.
"use strict";

document.documentElement.dataset.script = ""; // shows what is of use with it only

function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function since(clock, told) {
  // For how many seconds a clock is known to the page.  The server says what it showed when it wrote: the clocks of two
  // machines may differ.
  if (clock.dataset.told !== told) {
    clock.dataset.told = told;
    clock.seen = performance.now();
  }
  return (performance.now() - clock.seen) / 1000;
}

function tick() {
  for (const clock of document.querySelectorAll("[data-elapsed], [data-left]")) {
    const { elapsed, left } = clock.dataset;
    const seconds = elapsed ? Number(elapsed) + since(clock, elapsed) : Number(left) - since(clock, left);
    const text = elapsed ? duration(seconds) : seconds > 0 ? `${duration(seconds)} left` : "Over";
    if (clock.textContent !== text) clock.textContent = text;
  }
}

function reveal() {
  // Where the tabs have no room, the one that is shown is among those that are seen.
  for (const here of document.querySelectorAll(".tabs [aria-current]")) {
    const tabs = here.closest(".tabs");
    tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.clientWidth) / 2;
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
  setTimeout(() => (button.textContent = "Copy"), 2000);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches("[data-submits]")) {
    event.preventDefault();
    const button = event.target.form.querySelector("button");
    if (button.disabled || !event.target.value.trim()) return;
    event.target.form.requestSubmit();
    button.disabled = true; // until the page that answers is there
  }
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
function judge() {
  // What was said of a field as one typed is also said to who does not see its colour.
  for (const wrong of document.querySelectorAll("form[hx-post] .wrong[id]")) {
    const field = document.querySelector(`[aria-describedby="${wrong.id}"]`);
    if (!field) continue;
    if (wrong.textContent) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
}
// A form with `data-checks` says beside each field what it would not take, once one has left it, and from then on as one types.
function check(field) {
  const wrong = document.getElementById(`${field.id}-wrong`);
  if (!wrong) return;
  const { validity, title, validationMessage } = field;
  wrong.textContent = validity.patternMismatch && title ? `${title}.` : validationMessage;
  if (validationMessage) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}
function unread(text) {
  try {
    if (text.trim()) JSON.parse(text);
  } catch (error) {
    return `This is no JSON: ${error.message}.`;
  }
  return "";
}
const isChecked = (field) => field.form?.matches("[data-checks]");
for (const kind of ["input", "change"]) {
  document.addEventListener(kind, (event) => {
    const field = event.target;
    if (!isChecked(field)) return;
    if ("json" in field.dataset) field.setCustomValidity(unread(field.value));
    if (kind === "change" || field.getAttribute("aria-invalid")) check(field);
  });
}
document.addEventListener(
  "invalid",
  (event) => {
    const field = event.target;
    if (!isChecked(field)) return;
    event.preventDefault(); // the browser's own bubble, which is gone in a moment
    check(field);
    if (field === field.form.querySelector(":is(input, select, textarea):invalid")) field.focus();
  },
  true,
);
// Files go ahead of their form, in pieces, so that they may be large and one sees how far they are; without this the
// browser sends them with it.
const PIECE_BYTES = 1024 * 1024;

async function asked(path, body) {
  const kind = body instanceof FormData ? {} : { "content-type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers: kind, body });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail || answer.statusText);
  return said;
}

async function sendFiles(input) {
  const bar = input.parentElement.querySelector("progress");
  const { batch_id } = await asked("/files/init_batch", "{}");
  let sent = 0;
  bar.max = Math.max(1, [...input.files].reduce((sum, file) => sum + file.size, 0));
  bar.hidden = false;
  for (const file of input.files) {
    const total_chunks = Math.ceil(file.size / PIECE_BYTES);
    const filename = file.webkitRelativePath || file.name;
    const { upload_id } = await asked("/files/init", JSON.stringify({ filename, total_chunks, batch_id }));
    for (let number = 0; number < total_chunks; number++) {
      const piece = file.slice(number * PIECE_BYTES, (number + 1) * PIECE_BYTES);
      const body = new FormData();
      body.append("upload_id", upload_id);
      body.append("chunk_number", number);
      body.append("chunk", piece, "chunk");
      await asked("/files/chunk", body);
      bar.value = sent += piece.size;
    }
  }
  const told = document.createElement("input");
  Object.assign(told, { type: "hidden", name: input.name, value: `batches/${batch_id}` });
  input.form.append(told);
  input.disabled = true;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const inputs = [...form.querySelectorAll("input[type=file]:enabled")].filter((input) => input.files.length);
  if (!("sends" in form.dataset) || !inputs.length) return;
  event.preventDefault();
  const button = form.querySelector("button.main");
  if (button.disabled) return;
  button.disabled = true;
  for (const input of inputs) {
    try {
      await sendFiles(input);
    } catch (error) {
      document.getElementById(`${input.id}-wrong`).textContent = `The files could not be sent: ${error.message}`;
      button.disabled = false;
      return;
    }
  }
  form.submit();
});
document.addEventListener("change", () => {
  const told = document.querySelector("[data-chosen]");
  if (told) told.textContent = `${document.querySelectorAll(".tick input:checked").length} chosen:`;
});
document.addEventListener("htmx:after:swap", follow);
document.addEventListener("htmx:after:swap", judge);
// A page that changes by itself says so when it cannot, and asks again every few seconds.
htmx.config.sse = { reconnectMaxDelay: 4000 };
const isAway = (yes) => document.getElementById("away")?.toggleAttribute("hidden", !yes);
document.addEventListener("away", () => isAway(true));
const reloaded = `reloaded ${location.pathname}`;
document.addEventListener("htmx:sse:after:message", (event) => {
  if (event.detail.message.event) return;
  isAway(false);
  sessionStorage.removeItem(reloaded);
});
document.addEventListener("htmx:sse:error", (event) => {
  if ([401, 404].includes(event.detail.status) && !sessionStorage.getItem(reloaded)) {
    sessionStorage.setItem(reloaded, "once"); // where only this part is refused it would never end
    location.reload(); // it leads to the sign-in and back, or says what is gone
  } else isAway(true);
});

async function comeBack() {
  const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
  if (answer && answer.status < 500) location.reload();
  else setTimeout(comeBack, 2000);
}
document.addEventListener("DOMContentLoaded", () => {
  reveal();
  follow();
  tick();
  setInterval(tick, 1000);
  if (document.querySelector("[data-returns]")) setTimeout(comeBack, 2000);
});
