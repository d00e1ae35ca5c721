// The server: one request at a time, and streams that come back after an interruption.

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 15000;

let token = sessionStorage.getItem("oarlock-token") ?? "";
let asking = null;

/** Whether requests have to carry a token, which a plain link cannot. */
export function guarded() {
  return token !== "";
}

/** The response of a request; throws an Error with what the server says is wrong. */
export async function ask(path, options = {}) {
  const used = token;
  const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) {
    if (used === token) await askToken(used !== "");
    return ask(path, options);
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw Object.assign(new Error(said?.message ?? `${response.status} ${response.statusText}`), { status: response.status });
}

function askToken(again) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const field = document.getElementById("token-field");
    if (again) document.getElementById("token-why").textContent = "That is not the token of this server.";
    field.value = "";
    dialog.oncancel = (event) => event.preventDefault();
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      token = field.value.trim();
      sessionStorage.setItem("oarlock-token", token);
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

/**
 * Follow a stream of server-sent events until the function that this returns is called. `begin` is called whenever it
 * begins anew, `hear` with each message; where `hear` returns true there is nothing more to come, nor where the stream
 * comes to its end and `ends` says that it has one. `fail` is told what the server will not do. Nobody is looking at a
 * tab that is hidden, so it follows nothing.
 */
export function follow(path, { begin = () => {}, hear, fail = () => {}, ends = false }) {
  let abort = null;
  let timer = 0;
  let pause = FIRST_PAUSE;
  let over = false;

  async function run() {
    const mine = (abort = new AbortController());
    try {
      const response = await ask(path, { headers: { Accept: "text/event-stream" }, signal: mine.signal });
      begin();
      told("");
      for await (const message of events(response.body)) {
        pause = FIRST_PAUSE;
        if (message.error) throw Object.assign(new Error(message.error.message), { status: message.error.http_code });
        if (hear(message.result)) return stop();
      }
      if (ends && !mine.signal.aborted) return stop();
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status >= 400 && error.status < 500) {
        fail(error);
        return stop();
      }
    }
    if (mine.signal.aborted) return;
    told("Connection lost, trying again");
    timer = setTimeout(run, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  function look() {
    clearTimeout(timer);
    abort?.abort();
    if (!over && !document.hidden) run();
  }

  function stop() {
    over = true;
    document.removeEventListener("visibilitychange", look);
    look();
  }

  document.addEventListener("visibilitychange", look);
  look();
  return stop;
}

function told(text) {
  document.getElementById("connection").textContent = text;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}
