// How figures and times are written. Ages are kept fresh by one timer for the whole page.

import { h, say } from "./dom.js";

let skewMs = 0;

/** Note what time the gateway has: ages are by its clock, not by this computer's. */
export function setNow(gatewayMs) {
  skewMs = gatewayMs - Date.now();
}

export const nowMs = () => Date.now() + skewMs;

/** Seconds as a person says them: 4 s, 3 min, 5 h, 2 days. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 48 * 3600)
    return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(whole / 86400)} days`;
}

const ago = (ms) => {
  const seconds = (nowMs() - ms) / 1000;
  return seconds < 2 ? "now" : `${duration(seconds)} ago`;
};

/** An element that says how long ago a moment was, and goes on saying it. */
export function since(ms) {
  const moment = new Date(ms);
  return h("time.ago.muted", { datetime: moment.toISOString(), "data-ms": ms, title: stamp(ms) }, ago(ms));
}

setInterval(() => {
  for (const node of document.querySelectorAll("time.ago")) say(node, ago(Number(node.dataset.ms)));
}, 1000);

/** The time of day, of this computer: 14:05:09. A warehouse counts to 24. */
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export const minute = (ms) => clock(ms).slice(0, 5);

/** Day and time: 2026-11-30 14:05:09. */
export function stamp(moment) {
  const date = new Date(moment);
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date)}`;
}

export const count = (value) => (value === null || value === undefined ? "–" : Number(value).toLocaleString("en"));

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value < 10 && at ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** Hours of room left, as a figure and what it stands for. */
export function autonomy(hours) {
  if (hours === null || hours === undefined) return "–";
  return hours >= 72 ? `${Math.round(hours / 24)} days` : `${Math.round(hours)} h`;
}

export const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

export const words = (code) => String(code ?? "").replaceAll("_", " ");
