// What the gateway tells while the page is open. One connection; it comes back by itself, and while nobody looks at the
// page it is let go: a browser has six for one address, and an operator may have more tabs than that.

import { setNow } from "./format.js";

export const state = { stations: new Map(), scans: [], status: null, isOnline: false, failure: null };
const SCANS_KEPT = 300;
const QUIET_MS = 12000;
const RETRY_MS = 3000;

const listeners = new Set();
let source = null;
let heardAt = 0;
let retry = null;

/** Call `listener(what)` at each news, `what` being the message; returns how to stop. */
export function onNews(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(message) {
  for (const listener of [...listeners]) listener(message);
}

function take(message) {
  heardAt = performance.now();
  setNow(message.now_ms);
  if (message.whole) {
    state.stations.clear();
    state.scans = [];
  }
  for (const station of message.stations ?? []) state.stations.set(station.id, station);
  if (message.scans) state.scans = [...message.scans, ...state.scans].slice(0, SCANS_KEPT);
  if (message.status) state.status = message.status;
  state.isOnline = true;
  state.failure = null;
  tell(message);
}

function lose(reason) {
  const was = state.isOnline || state.failure !== reason;
  state.isOnline = false;
  state.failure = reason;
  if (was) tell({});
}

/** Open the stream; does nothing when it is open. */
export function connect() {
  clearTimeout(retry);
  if (source || document.hidden) return;
  heardAt = performance.now();
  source = new EventSource("/v1/stream");
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => {
    lose("no connection");
    // A refusal (nobody signed in, too many pages) closes it for good; a lost connection is taken up by the browser.
    if (source && source.readyState === EventSource.CLOSED) again();
  };
}

export function disconnect() {
  source?.close();
  source = null;
}

function again() {
  disconnect();
  clearTimeout(retry);
  retry = setTimeout(connect, RETRY_MS);
}

/** Begin anew, as somebody else. */
export function reconnect() {
  disconnect();
  connect();
}

setInterval(() => {
  // The gateway speaks every two seconds: a connection that is dead without knowing it is noticed here.
  if (source && !document.hidden && performance.now() - heardAt > QUIET_MS) {
    lose("no connection");
    again();
  }
}, 2000);

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
addEventListener("online", reconnect);
