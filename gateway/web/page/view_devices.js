// Devices: who speaks, who knocks, what to write down to admit or to replace one, and what one says right now.

import { get, query, segment } from "./api.js";
import { announce, empty, field, h, keyed, put, say, scanned, set } from "./dom.js";
import { codeOf, kindOf, showEvent } from "./event_dialog.js";
import { clock, count, duration, plural, since } from "./format.js";
import { onNews, state } from "./stream.js";
import { deviceTone, said, word } from "./tones.js";

export const title = "Devices";
const LOOK_MS = 4000;
const WATCHED_MAX = 30;
/** Of those that knock, the latest are shown at once: a hundred strangers must not push the devices off the page. */
const KNOCKS_SHOWN = 3;

/** Of the devices: at a large site those in trouble come first, the others are counted until somebody looks for one. */
const DEVICES_SHOWN = 100;
const TROUBLE = ["error", "attention"];

export function open(root, [id]) {
  return id ? openOne(root, id) : openAll(root);
}

function openAll(root) {
  const note = h("p.note", { role: "status" });
  const knocking = h("section", { hidden: true }, h("h2", {}, "Knocking"));
  const knocks = h("div.stack");
  const busyWith = new Set(); // whom a person works on, they stay
  knocks.addEventListener("focusin", (event) => busyWith.add(event.target.closest("article")?.dataset.device));
  let areAllShown = false;
  const all = h("button.quiet", {
    type: "button",
    hidden: true,
    onclick: () => {
      areAllShown = true;
      look();
    },
  });
  put(
    knocking,
    h(
      "p.small.muted",
      {},
      "These devices spoke and are not configured: what they say is refused. ",
      "To admit one, a technician puts its lines into the configuration and applies it.",
    ),
    h("br"),
    knocks,
    all,
  );
  const list = h("ul.list.grid.devices.panel", { "aria-label": "Devices" });
  const wanted = h("input", { type: "search", autocomplete: "off", placeholder: "id or station" });
  const others = h("p.small.muted");
  let found = [];
  const showList = () => {
    const text = wanted.value.trim().toLowerCase();
    const fitting = found.filter((one) => !text || `${one.id} ${one.station}`.toLowerCase().includes(text));
    const isLong = fitting.length > DEVICES_SHOWN;
    if (isLong) fitting.sort((one, other) => place(one) - place(other)); // stable: else as in the file
    keyed(list, fitting.slice(0, DEVICES_SHOWN), (one) => one.id, deviceRow);
    const hidden = fitting.slice(DEVICES_SHOWN);
    const ill = hidden.filter((one) => place(one) < TROUBLE.length).length;
    say(others, isLong ? `and ${count(hidden.length)} more, ${count(ill)} of them in trouble: look for an id or a station` : "");
  };
  wanted.addEventListener("input", showList);
  put(
    root,
    h("div.head", {}, h("h1", {}, "Devices"), note),
    knocking,
    h("section", {}, h("h2", {}, "Configured and heard"), field("Find", wanted), h("br"), list, others),
  );
  let isGone = false;
  const look = async () => {
    try {
      const told = await get("/v1/devices");
      if (isGone) return;
      knocking.hidden = !told.knocking.length;
      keyed(
        knocks,
        told.knocking.filter((one, place) => areAllShown || place < KNOCKS_SHOWN || busyWith.has(one.device)),
        (one) => one.device,
        (one) => knock(one, told),
      );
      all.hidden = areAllShown || told.knocking.length <= KNOCKS_SHOWN;
      say(all, `Show all ${told.knocking.length} that knock`);
      const links = new Map(told.links.map((link) => [link.device, link]));
      found = told.devices.map((one) => ({ ...one, link: links.get(one.id) }));
      showList();
      note.className = "note";
      say(
        note,
        [
          plural(found.length, "device", "devices"),
          told.knocking.length ? `${told.knocking.length} knocking` : null,
          told.knocking_unlisted ? `and ${told.knocking_unlisted} readings of further unknown ones` : null,
        ]
          .filter(Boolean)
          .join(", "),
      );
    } catch (failure) {
      note.className = "note error-ink";
      say(note, `${failure.message} ${failure.hint}`);
    }
  };
  look();
  const timer = setInterval(look, LOOK_MS);
  return () => {
    isGone = true;
    clearInterval(timer);
  };
}

/** How ill a device is, the worst first. */
function place(one) {
  const at = one.id.endsWith("*") ? -1 : TROUBLE.indexOf(deviceTone(one.state));
  return at < 0 ? TROUBLE.length : at;
}

function deviceRow(first) {
  const tone = h("span.tone");
  const about = h("span.wide.small.muted");
  const when = h("span.small.number");
  const isPattern = first.id.endsWith("*");
  const name = isPattern
    ? h("span", {}, first.id, h("span.small.muted", {}, " a pattern"))
    : h("a", { href: `#/devices/${encodeURIComponent(first.id)}` }, first.id);
  return {
    node: h("li", {}, h("span", {}, name), tone, about, when),
    update: (one) => {
      tone.className = `tone ${isPattern ? "none" : deviceTone(one.state)}`;
      say(tone, isPattern ? "admits" : one.state);
      say(
        about,
        [
          one.station,
          one.driver,
          one.numbered === false ? "does not number its messages" : null,
          one.link?.last_error,
          one.link?.last_error && one.link?.hint,
        ]
          .filter(Boolean)
          .join(" · "),
      );
      say(
        when,
        isPattern
          ? ""
          : one.last_reading_age_s === null
            ? "not heard yet"
            : `${plural(one.readings, "reading", "readings")}, ${duration(one.last_reading_age_s)} ago`,
      );
    },
  };
}

function knock(first, told) {
  const about = h("p.small.muted");
  const lines = h("pre.lines", { tabindex: 0, "aria-label": `Lines that admit ${first.device}` });
  const station = h(
    "select",
    {},
    told.stations.map((id) => h("option", { value: id }, id)),
  );
  const write = () => say(lines, first.admit.replace(/^station = .*$/m, `station = "${station.value}"`));
  const node = h("article.panel.box", { "data-device": first.device }, h("h3", {}, scanned(first.device, { max: 64 })), about);
  if (first.admit) {
    station.value = /^station = "([^"]*)"/m.exec(first.admit)?.[1] ?? told.stations[0];
    station.addEventListener("change", write);
    write();
    put(node, field("Station it belongs to", station), lines, apply(told, lines));
  } else
    put(
      node,
      h(
        "p",
        {},
        "Its name can never be the id of a device: lower-case letters, digits and hyphens, at most 63. ",
        "Give it another name in its own settings.",
      ),
    );
  return {
    node,
    update: (one) =>
      set(
        about,
        `${plural(one.readings, "reading", "readings")} refused, the last `,
        since(one.last_ms),
        ", the first ",
        since(one.first_ms),
      ),
  };
}

/** How lines become effective, with a button that copies them. */
function apply(told, lines) {
  const copy = h(
    "button.quiet",
    {
      type: "button",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(lines.textContent);
          announce("The lines are copied.");
          say(copy, "Copied");
        } catch {
          getSelection().selectAllChildren(lines);
          say(copy, "Selected: copy them with the keyboard");
        }
        setTimeout(() => say(copy, "Copy"), 3000);
      },
    },
    "Copy",
  );
  return h(
    "div.row",
    {},
    copy,
    h(
      "span.small.muted",
      {},
      "into ",
      h("code", {}, told.config),
      ", then ",
      h("code", {}, "dockline check"),
      " and ",
      h("code", {}, told.apply),
    ),
  );
}

function openOne(root, id) {
  const tone = h("span.tone");
  const facts = h("dl.facts");
  const list = h("ul.list.grid.scans.panel", { "aria-label": "Last readings, the newest first" });
  const nothing = h("div.panel", {}, empty("It has not said anything yet. Scan something."));
  const replace = h("div.panel.box");
  put(
    root,
    h("div.head", {}, h("h1", {}, id), tone, h("a.note", { href: "#/devices" }, "all devices")),
    h("div.panel.box", {}, facts),
    h("section", {}, h("h2", {}, "Watch: what it says"), list, nothing),
    h("section", {}, h("h2", {}, "Replace it"), replace),
  );
  let before = [];
  const show = () => {
    const one = state.status?.devices.find((device) => device.id === id);
    if (one) {
      tone.className = `tone ${deviceTone(one.state)}`;
      say(tone, one.state);
      factsOf(facts, one);
    }
    const live = state.scans.filter((scan) => scan.device === id);
    const known = new Set(live.flatMap((scan) => scan.events));
    const shown = [
      ...live.map((scan) => ({ key: `n${scan.number}`, atMs: scan.at_ms, scan })),
      ...before
        .filter((entry) => !known.has(entry.event?.id))
        .map((entry) => ({ key: `s${entry.seq}`, atMs: Date.parse(entry.event?.time), entry })),
    ]
      .sort((one, other) => other.atMs - one.atMs)
      .slice(0, WATCHED_MAX);
    keyed(list, shown, (item) => item.key, reading);
    list.hidden = !shown.length;
    nothing.hidden = shown.length > 0;
  };
  const fetchAll = async () => {
    try {
      before = (await get(query("/v1/events", { device: id, limit: WATCHED_MAX }))).events;
      show();
      replacing(replace, await get(`/v1/devices/${segment(id)}`));
    } catch (failure) {
      set(replace, h("p", {}, `${failure.message} ${failure.hint}`));
    }
  };
  show();
  fetchAll();
  return onNews(show);
}

function factsOf(node, one) {
  const found = [
    ["Station", one.station ?? "a shared link"],
    ["Driver", one.driver],
    ["Readings", count(one.readings)],
    ["Last heard", one.last_reading_age_s === null ? "not since the start" : `${duration(one.last_reading_age_s)} ago`],
    [
      "Messages",
      one.numbered === null
        ? null
        : one.numbered
          ? "numbered: sent again they are recognised"
          : "not numbered: sent again they are stored twice and flagged",
    ],
    ["Trouble", one.reason],
    ["What to do", one.hint],
    ["Next attempt", one.next_attempt_in_s ? `in ${duration(one.next_attempt_in_s)}` : null],
  ].filter(([, value]) => value !== null && value !== undefined);
  set(
    node,
    found.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

function reading({ scan, entry }) {
  const fixed = (node) => ({ node, update: () => {} });
  if (scan) {
    return fixed(
      h(
        "li",
        {},
        h("span.number.small", {}, clock(scan.at_ms)),
        h(`span.tone.${scan.tone}`, {}, word(scan)),
        h("span.small.muted", {}, scan.symbology ?? scan.kind),
        h(
          "span.wide",
          {},
          scanned(scan.code, { length: scan.length }),
          said(scan) && h("span.small.muted", {}, " ", scanned(said(scan), { max: 200, tag: "bdi" })),
        ),
        h("span"),
      ),
    );
  }
  const { event, seq } = entry;
  return fixed(
    h(
      "li",
      {},
      h("span.number.small", {}, clock(Date.parse(event?.time))),
      h("span", {}, kindOf(event)),
      h("span.small.muted", {}, event?.data.evidence?.symbology ?? event?.data.state ?? ""),
      h("span.wide", {}, scanned(codeOf(event?.data))),
      h(
        "button.link",
        { type: "button", "aria-label": `Show the event with sequence ${seq}`, onclick: () => showEvent(seq) },
        "show",
      ),
    ),
  );
}

function replacing(node, told) {
  const lines = h("pre.lines", { tabindex: 0, "aria-label": "Lines that identify it" }, told.lines);
  const isPattern = told.entry !== told.id;
  set(
    node,
    h(
      "ol.stack",
      {},
      h(
        "li",
        {},
        isPattern
          ? [
              `It is admitted by the pattern ${told.entry}: a new device needs an id of its own that fits it, and `,
              "nothing changes here. Give it a token, or a user for the listener, of that name.",
            ]
          : "Plug the new one in. It keeps the id of the old one, so documents, history and counts go on.",
      ),
      !isPattern &&
        h(
          "li",
          {},
          "These lines say where it is. ",
          told.url ? "Change the address when the new one has another:" : "Nothing in them belongs to the old device:",
          lines,
          told.free_ports.length > 0 &&
            h(
              "p",
              {},
              "Plugged in here and used by no device: ",
              told.free_ports.map((port) => h("div", {}, h("code", {}, `url = "serial://${port}"`))),
            ),
        ),
      !isPattern && h("li", {}, "Write them ", apply(told, lines)),
      !isPattern && h("li", {}, "Scan something and see it above."),
    ),
  );
}
