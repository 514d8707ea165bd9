// What an answer is called on a screen. The three tones are those of docs/handhelds.md: form, word and colour differ.

import { s } from "./dom.js";
import { words } from "./format.js";

export const LEGEND = {
  good: "Good: it counts",
  attention: "Attention: stored, but look",
  error: "Error: it does not count",
};

/** The word for a scan, as large as it may become. */
export function word(scan) {
  if (scan.result === "refused") return "Refused";
  if (scan.result === "not_stored") return "Not stored";
  if (scan.kind === "unreadable") return "Unreadable";
  if (scan.tone === "attention") return "Look here";
  if (scan.result === "duplicate") return "Here already";
  if (scan.result === "repeat_read") return "Seen already";
  return scan.events.length ? "Stored" : "Noted";
}

/** What there is to say about a scan beside the word; null when there is nothing. */
export function said(scan) {
  const remarks = scan.exceptions.map((one) => one.message || words(one.code));
  if (remarks.length) return remarks.join(" · ");
  if (scan.result === "not_stored") return "It could not be stored. Scan it again.";
  if (scan.reason) return scan.reason;
  if (scan.redelivered) return "It was sent again; it counts once.";
  return null;
}

/** The form of a tone: a disc with a tick, a triangle with a mark, a square with a cross. */
export function glyph(tone) {
  const ink = {
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 9,
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  };
  const svg = s("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" });
  if (tone === "good")
    svg.append(s("circle", { cx: 50, cy: 50, r: 44, ...ink }), s("path", { d: "M29 52l15 15 28-33", ...ink }));
  else if (tone === "attention")
    svg.append(s("path", { d: "M50 8 96 90H4z", ...ink }), s("path", { d: "M50 36v24M50 74v1", ...ink }));
  else if (tone === "error")
    svg.append(
      s("rect", { x: 7, y: 7, width: 86, height: 86, rx: 10, ...ink }),
      s("path", { d: "M32 32l36 36M68 32 32 68", ...ink }),
    );
  else svg.append(s("circle", { cx: 50, cy: 50, r: 44, ...ink, "stroke-dasharray": "8 18" }));
  return svg;
}

const LINK_TONES = {
  up: "good",
  heard: "good",
  opening: "none",
  "not heard": "none",
  disabled: "none",
  stopped: "none",
  silent: "attention",
  degraded: "attention",
};

/** How a device or upstream is, as a tone. */
export const deviceTone = (state) => LINK_TONES[state] ?? "error";
export const upstreamTone = (one) => {
  if (one.imbalance || !one.configured) return "error";
  return { delivering: "good", idle: "good", starting: "none" }[one.health] ?? "attention";
};
