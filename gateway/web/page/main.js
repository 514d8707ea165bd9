// The frame around the views: which one is open, who is signed in, whether the gateway is heard.

import { announce, empty, h, put, say, set } from "./dom.js";
import { onSession, refresh, session, signIn, signOut } from "./session.js";
import { connect, onNews, reconnect, state } from "./stream.js";
import * as devices from "./view_devices.js";
import * as exceptions from "./view_exceptions.js";
import * as history from "./view_history.js";
import * as now from "./view_now.js";
import * as operator from "./view_operator.js";
import * as quarantine from "./view_quarantine.js";
import * as scans from "./view_scans.js";

const VIEWS = { now, exceptions, scans, quarantine, history, devices };
const main = document.getElementById("main");
const nav = document.getElementById("nav");
const links = new Map();
let close = null;

for (const [name, view] of Object.entries(VIEWS)) {
  const badge = h("span.count", { hidden: true });
  const link = h("a", { href: `#/${name}` }, view.title, badge);
  links.set(name, { link, badge });
  put(nav, link);
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

function open() {
  close?.();
  close = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  const [, name = "", ...rest] = location.hash.split("/").map(decodeURIComponent);
  const view = name === "station" ? operator : (VIEWS[name] ?? now);
  document.body.classList.toggle("alone", view === operator);
  for (const [key, { link }] of links) {
    if (VIEWS[key] === view) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  }
  document.title = `${view.title}${rest[0] ? ` ${rest[0]}` : ""} · Dockline`;
  set(main);
  close = view.open(main, rest) ?? null;
  scrollTo(0, 0);
}

addEventListener("hashchange", () => {
  open();
  main.focus({ preventScroll: true });
  announce(document.title);
});

const pill = document.getElementById("link");
let wasOnline = null;

function badge(name, number, isError) {
  const { badge: node } = links.get(name);
  node.hidden = !number;
  say(node, number > 99 ? "99+" : String(number ?? ""));
  node.classList.toggle("error", Boolean(isError));
  node.setAttribute("aria-label", `${number} waiting`);
}

onNews(() => {
  const { status, isOnline } = state;
  pill.className = `pill ${isOnline ? "good" : "error"}`;
  say(pill, isOnline ? "Live" : "No connection");
  if (wasOnline !== null && wasOnline !== isOnline)
    announce(isOnline ? "The gateway is heard again." : "No connection to the gateway.", { now: !isOnline });
  wasOnline = isOnline;
  if (!status) return;
  say(document.getElementById("where"), `${status.site} · ${status.gateway}`);
  badge("exceptions", status.exceptions.open, status.exceptions.overdue);
  badge(
    "quarantine",
    status.upstreams.reduce((sum, one) => sum + one.quarantined, 0),
    true,
  );
  badge("devices", status.knocking, false);
});

const sign = document.getElementById("sign");
sign.addEventListener("click", async () => {
  if (session.csrf) await signOut();
  else await signIn();
});

let role;
onSession(() => {
  say(sign, session.csrf ? `Sign out ${session.name}` : "Sign in");
  sign.title = session.role ? `The role is “${session.role}”` : "Nobody is signed in";
  const couldLook = Boolean(role);
  role = session.role;
  // Who signs in to do something stays where that is done.
  if (couldLook && role) return;
  if (!role) {
    close?.();
    close = null;
    document.body.classList.remove("alone");
    set(
      main,
      h("h1", {}, "Sign in to look"),
      empty("This gateway shows nothing without a token."),
      h("button", { onclick: () => signIn() }, "Sign in"),
    );
    return;
  }
  reconnect();
  open();
});

try {
  await refresh();
} catch (failure) {
  set(main, empty(`${failure.message} ${failure.hint}`));
  setTimeout(() => location.reload(), 5000);
}
connect();
