// Calls an operation from its page of the reference, and shows the answer as it comes.  Nothing is kept.
"use strict";

const SHOWN_MAX = 200_000; // characters

function asked(form) {
  const query = new URLSearchParams();
  const headers = new Headers();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-in]")) {
    const { in: where, name } = field.dataset;
    if (where === "path") path = path.replace(`{${name}}`, field.value.split("/").map(encodeURIComponent).join("/"));
    else if (field.value === "") continue;
    else if (where === "query") query.append(name, field.value);
    else headers.set(name, field.value);
  }
  const key = document.getElementById("key").value;
  if (key && form.dataset.key) headers.set(form.dataset.key, form.dataset.key === "authorization" ? `Bearer ${key}` : key);
  const body = form.querySelector("[data-media]");
  if (body && body.value) headers.set("content-type", body.dataset.media === "*/*" ? "text/plain" : body.dataset.media);
  const search = query.toString();
  const sent = { method: form.dataset.verb, headers, body: body && body.value ? body.value : undefined };
  return [search ? `${path}?${search}` : path, sent];
}

function readable(text, kind) {
  if (!kind.includes("json") || kind.includes("ndjson")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function show(answer, shown) {
  const kind = answer.headers.get("content-type") || "";
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = answer.body ? answer.body.getReader() : null; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    if (text.length > SHOWN_MAX) {
      await reader.cancel();
      text = `${text.slice(0, SHOWN_MAX)}\n…`;
      break;
    }
    shown.textContent = text;
  }
  shown.textContent = readable(text, kind);
}

async function send(form) {
  const status = form.querySelector("[role=status]");
  const shown = form.querySelector("pre");
  const stop = form.querySelector("[data-stop]");
  const stopping = new AbortController();
  stop.onclick = () => stopping.abort();
  stop.disabled = false;
  status.textContent = "…";
  shown.textContent = "";
  shown.hidden = false;
  try {
    const [url, request] = asked(form);
    const answer = await fetch(url, { ...request, signal: stopping.signal, redirect: "manual" });
    status.textContent = answer.type === "opaqueredirect" ? "a redirect" : `${answer.status} ${answer.statusText}`;
    await show(answer, shown);
  } catch (error) {
    status.textContent = stopping.signal.aborted ? `${status.textContent} stopped` : String(error);
  }
  stop.disabled = true;
}

document.getElementById("credentials").hidden = false;
for (const form of document.querySelectorAll("form.try")) form.hidden = false;
document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.target.matches("form.try")) send(event.target);
});
