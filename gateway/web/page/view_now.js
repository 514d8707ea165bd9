// Now: does it work, and where not? Stations first, then what they hang on.

import { empty, h, keyed, put, s, say, scanned, set } from "./dom.js";
import { autonomy, bytes, count, duration, plural, since, words } from "./format.js";
import { onNews, state } from "./stream.js";
import { deviceTone, said, upstreamTone, word } from "./tones.js";

export const title = "Now";
const TONES = [
  ["good", "good"],
  ["attention", "attention"],
  ["error", "errors"],
];

export function open(root) {
  const headline = h("p.note", { role: "status" });
  const notices = h("div.notices");
  const figures = h("dl.figures");
  const stations = h("div.cards");
  const devices = h("ul.list.grid.devices.panel");
  const upstreams = h("ul.list.grid.upstreams.panel");
  const more = h("p.small.muted");
  put(
    root,
    h("div.head", {}, h("h1", {}, "Now"), headline),
    notices,
    figures,
    h("section", {}, h("h2", {}, "Stations"), stations),
    h("section", {}, h("h2", {}, "Upstreams"), upstreams),
    h("section", {}, h("h2", {}, "Devices"), devices, more),
  );
  const update = (message) => {
    if (message.stations || !stations.firstChild) {
      const found = [...state.stations.values()];
      if (found.length) keyed(stations, found, (one) => one.id, stationCard);
      else set(stations, empty(state.status ? "No station is configured." : "Waiting for the gateway …"));
    }
    if (state.status) showStatus(state.status);
  };
  const showStatus = (status) => {
    const trouble = status.alarms_total;
    const waiting = status.exceptions.open;
    say(
      headline,
      !status.ready
        ? `Scans are not taken: ${status.not_ready_because}`
        : trouble
          ? `Scans are taken. ${plural(trouble, "thing needs", "things need")} a look.`
          : waiting
            ? `Scans are taken. ${plural(waiting, "exception is", "exceptions are")} not resolved.`
            : "All is well: scans are taken and nothing waits for anybody.",
    );
    headline.className = `note ${!status.ready ? "error-ink" : trouble || waiting ? "attention-ink" : "good-ink"}`;
    keyed(
      notices,
      [...status.alarms, ...status.alarms_more.map(likewise)],
      (one) => `${one.code} ${one.subject}`,
      alarm,
    );
    showFigures(figures, status);
    keyed(upstreams, status.upstreams, (one) => one.name, upstreamRow);
    keyed(devices, status.devices, (one) => one.id, deviceRow);
    const hidden = status.devices_total - status.devices.length;
    say(more, hidden > 0 ? `and ${plural(hidden, "further device", "further devices")} that are well` : "");
  };
  update({});
  return onNews(update);
}

function stationCard(first) {
  const tone = h("span.tone");
  const when = h("span.small");
  const code = h("div");
  const message = h("p.said");
  const tally = h("div");
  const bar = h("progress.bar", { max: 1, value: 0, "aria-label": "Counted of expected" });
  const hour = h("p.small.muted.number");
  const spark = h("div");
  const activity = h("span.pill");
  const node = h(
    "article.station.panel",
    { "aria-labelledby": `station-${first.id}` },
    h(
      "div.spread",
      {},
      h("h3", { id: `station-${first.id}` }, h("a", { href: `#/station/${encodeURIComponent(first.id)}` }, first.id)),
      activity,
    ),
    h("div.spread", {}, tone, when),
    code,
    message,
    tally,
    bar,
    spark,
    hour,
  );
  const update = (one) => {
    const { last } = one;
    node.className = `station panel ${last?.tone ?? ""}`;
    say(activity, one.activity ?? "no activity");
    tone.className = `tone ${last?.tone ?? "none"}`;
    say(tone, last ? word(last) : "No scan yet");
    set(when, last && since(last.at_ms));
    set(
      code,
      last && scanned(last.code, { length: last.length, max: 60 }),
      last?.keyed && [" ", h("span.pill", {}, "typed")],
    );
    say(message, (last && said(last)) ?? "");
    message.hidden = !message.textContent;
    showTally(tally, bar, one.tally);
    set(spark, one.hour.minutes.length ? sparkline(one.hour.minutes) : null);
    say(hour, `Last hour: ${TONES.map(([name, text]) => `${count(one.hour[name])} ${text}`).join(" · ")}`);
  };
  return { node, update };
}

function showTally(node, bar, tally) {
  const total = tally?.expected === null || tally?.expected === undefined ? null : Number(tally.expected);
  bar.hidden = total === null || tally.observed === null;
  if (!tally) {
    set(node);
    return;
  }
  if (!bar.hidden) {
    bar.max = total || 1;
    bar.value = Math.min(Number(tally.observed), total);
  }
  const counted = tally.is_blind
    ? "counted blind"
    : tally.observed === null
      ? ""
      : total === null
        ? `${tally.observed} counted`
        : `${tally.observed} of ${tally.expected}`;
  set(
    node,
    h(
      "div.spread",
      {},
      h(
        "span.small",
        {},
        scanned(tally.document, { max: 40 }),
        tally.exceptions
          ? h("span.attention-ink", {}, ` ${plural(tally.exceptions, "exception", "exceptions")}`)
          : null,
      ),
      h("span.number", {}, counted),
    ),
  );
}

function sparkline(minutes) {
  const top = Math.max(...minutes, 4);
  const svg = s("svg.spark", {
    viewBox: `0 0 ${minutes.length * 4} 30`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `Scans in each of the last ${minutes.length} minutes, ${Math.max(...minutes)} at most`,
  });
  minutes.forEach((value, at) => {
    if (value) svg.append(s("rect", { x: at * 4, y: 30 - (29 * value) / top, width: 3, height: (29 * value) / top }));
  });
  return svg;
}

function showFigures(node, status) {
  const pending = Math.max(0, ...status.upstreams.map((one) => one.pending));
  const lags = status.upstreams.map((one) => one.lag_s).filter((one) => one !== null);
  const { storage, exceptions } = status;
  const share = Math.round((100 * storage.bytes_used) / (storage.bytes_max || 1));
  const found = [
    [
      "Queue depth",
      count(pending),
      pending ? "events wait for an upstream" : "nothing waits",
      pending > 10000 ? "attention" : "",
    ],
    [
      "Event lag",
      lags.length ? duration(Math.max(...lags)) : "–",
      "age of the oldest event that waits",
      Math.max(0, ...lags) > 600 ? "attention" : "",
    ],
    [
      "Autonomy",
      autonomy(storage.autonomy_hours),
      storage.autonomy_hours === null ? "while nothing comes in" : "of room without any upstream",
      storage.autonomy_hours !== null && storage.autonomy_hours < 24 ? "attention" : "",
    ],
    [
      "Storage",
      `${share} %`,
      `${bytes(storage.bytes_used)} used, ${bytes(storage.disk_free)} free on the disk`,
      storage.full_reason ? "error" : storage.level === "pressed" ? "attention" : "",
    ],
    [
      "Exceptions",
      count(exceptions.open),
      exceptions.overdue ? `${count(exceptions.overdue)} overdue` : "none overdue",
      exceptions.overdue ? "error" : "",
    ],
    ["Accepted", count(status.accepted), `events since the start, ${duration(status.uptime_s)} ago`, ""],
  ];
  keyed(
    node,
    found,
    (one) => one[0],
    ([label]) => {
      const value = h("span");
      const note = h("span.small.muted");
      const dd = h("dd", {}, value, note);
      return {
        node: h("div.figure.panel", {}, h("dt", {}, label), dd),
        update: ([, text, about, tone]) => {
          say(value, text);
          say(note, about);
          value.className = tone ? `${tone}-ink` : "";
        },
      };
    },
  );
}

/** Many that are alike (a switch lost its power) are one notice, not a screen of them before the stations. */
function likewise({ code, count: number, subjects }) {
  const rest = number - subjects.length;
  const message = subjects.join(", ") + (rest > 0 ? ` and ${count(rest)} more` : "");
  return { code, subject: `${count(number)} more`, message, hint: null };
}

function alarm() {
  const head = h("strong");
  const text = h("p");
  const hint = h("p.small");
  const node = h("div.notice", { role: "group" }, head, text, hint);
  return {
    node,
    update: (one) => {
      node.className = `notice ${/unbalanced|full$|faulty|down$/.test(one.code) ? "error" : ""}`;
      say(head, `${words(one.code)}: ${one.subject}`);
      say(text, one.message);
      say(hint, one.hint ?? "");
    },
  };
}

function deviceRow(first) {
  const tone = h("span.tone");
  const about = h("span.wide.small.muted");
  const when = h("span.small");
  const node = h(
    "li",
    {},
    h("span", {}, h("a", { href: `#/devices/${encodeURIComponent(first.id)}` }, first.id)),
    tone,
    about,
    when,
  );
  return {
    node,
    update: (one) => {
      tone.className = `tone ${deviceTone(one.state)}`;
      say(tone, one.state);
      const trouble = deviceTone(one.state) === "good" ? null : one.reason;
      say(about, [one.station, one.driver, trouble, trouble && one.hint].filter(Boolean).join(" · "));
      say(when, one.last_reading_age_s === null ? "not heard yet" : `${duration(one.last_reading_age_s)} ago`);
    },
  };
}

function upstreamRow(first) {
  const tone = h("span.tone");
  const about = h("span.wide.small.muted.number");
  return {
    node: h(
      "li",
      {},
      h("span", {}, first.name, first.required ? null : h("span.small.muted", {}, " optional")),
      tone,
      about,
    ),
    update: (one) => {
      tone.className = `tone ${upstreamTone(one)}`;
      say(tone, words(one.health));
      const quarantine = one.quarantined
        ? h("a.error-ink", { href: "#/quarantine" }, `${count(one.quarantined)} in quarantine`)
        : null;
      set(
        about,
        [
          `${count(one.delivered)} delivered`,
          `${count(one.pending)} pending`,
          one.discarded ? `${count(one.discarded)} discarded` : null,
          one.lag_s ? `lag ${duration(one.lag_s)}` : null,
          one.failures ? `${plural(one.failures, "failure", "failures")} since the last answer` : null,
          one.next_attempt_in_s !== null ? `next attempt in ${duration(one.next_attempt_in_s)}` : null,
          one.imbalance ? `the books do not balance by ${one.imbalance}` : null,
        ]
          .filter(Boolean)
          .join(" · "),
        quarantine && " · ",
        quarantine,
      );
    },
  };
}
