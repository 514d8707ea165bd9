// A plot of minutes: bars or a line, an axis that says what it counts, and a cursor for mouse, finger and keyboard.

import { h, s, say, set } from "./dom.js";
import { minute } from "./format.js";

const MARGIN = { top: 10, right: 6, bottom: 22, left: 52 };
const HEIGHT = 180;
const SLOT_PX = 5;

/** How many minutes stand before the first whole slot: slots begin where a clock's hour does. */
export const lead = (firstMs, size) => (size - ((firstMs / 60000) % size)) % size;

/** Sum up minutes into slots of `size`: `how` is "sum" or "max"; null stays null where nobody looked. */
export function slots(values, size, how, skip = 0) {
  const found = [];
  for (let at = skip; at < values.length; at += size) {
    const part = values.slice(at, at + size).filter((value) => value !== null);
    found.push(part.length ? (how === "sum" ? part.reduce((sum, value) => sum + value, 0) : Math.max(...part)) : null);
  }
  return found;
}

/** The next round number at or above a value, for the top of an axis. */
export function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/** A figure; `update({values, firstMs})` draws it. `write` turns a value into words. */
export function plot({ title, about, how, mark = "bar", tone = "", least = 1, write }) {
  const svg = s("svg", { role: "img", tabindex: 0, "aria-label": title });
  const now = h("span.now", { "aria-live": "polite" });
  const node = h(
    "figure.plot.panel",
    {},
    h("figcaption", {}, h("h3", {}, title), now),
    svg,
    h("p.small.muted", {}, about),
  );
  let data = null;
  let at = null;

  const draw = () => {
    if (!data || !svg.isConnected) return;
    const width = Math.max(240, svg.clientWidth || 240);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    const size = [1, 2, 5, 10, 15, 30, 60].find((step) => (data.values.length / step) * SLOT_PX <= inner.width) ?? 60;
    const skip = lead(data.firstMs, size);
    const values = slots(data.values, size, how, skip);
    const top = roundUp(Math.max(least, ...values));
    const step = inner.width / values.length;
    const y = (value) => MARGIN.top + inner.height * (1 - value / top);
    const timeOf = (index) => data.firstMs + (skip + index * size) * 60000;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    set(
      svg,
      unseen(values, step, inner.height),
      grid(width, top, y, write),
      hours(values, timeOf, step),
      mark === "bar" ? bars(values, step, y, tone) : areas(values, step, y, tone),
    );
    const known = values.filter((value) => value !== null);
    svg.setAttribute("aria-label", `${title}: ${summary(known, write)}. Arrow keys walk through it.`);
    const shown = at === null ? values.length - 1 : Math.min(at, values.length - 1);
    say(now, label(values, shown, size, timeOf, write));
    if (at !== null)
      svg.append(
        s("line.cursor", {
          x1: MARGIN.left + (shown + 0.5) * step,
          x2: MARGIN.left + (shown + 0.5) * step,
          y1: MARGIN.top,
          y2: HEIGHT - MARGIN.bottom,
        }),
      );
    svg.slots = { count: values.length, step };
  };
  const point = (event) => {
    const { count, step } = svg.slots ?? {};
    if (!count) return;
    const scale = Math.max(240, svg.clientWidth) / svg.clientWidth;
    at = Math.min(
      count - 1,
      Math.max(0, Math.floor(((event.clientX - svg.getBoundingClientRect().left) * scale - MARGIN.left) / step)),
    );
    draw();
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => {
    at = null;
    draw();
  });
  svg.addEventListener("keydown", (event) => {
    const last = (svg.slots?.count ?? 1) - 1;
    const to = { ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? last) + 1, Home: 0, End: last, Escape: null }[
      event.key
    ];
    if (to === undefined) return;
    at = to === null ? null : Math.min(last, Math.max(0, to));
    event.preventDefault();
    draw();
  });
  const resized = new ResizeObserver(draw);
  resized.observe(svg);
  return {
    node,
    close: () => resized.disconnect(),
    update: (told) => {
      data = told;
      draw();
    },
  };
}

function summary(known, write) {
  return known.length ? `${write(known.at(-1))} now, ${write(Math.max(...known))} at most` : "nothing was seen yet";
}

function label(values, at, size, timeOf, write) {
  if (at < 0) return "";
  const span = size > 1 ? `, ${size} min` : "";
  return `${minute(timeOf(at))}${span}: ${values[at] === null ? "not seen" : write(values[at])}`;
}

function unseen(values, step, height) {
  const found = [];
  let from = null;
  [...values, 0].forEach((value, at) => {
    if (value === null && from === null) from = at;
    if (value !== null && from !== null) {
      found.push(
        s("rect.unseen-minutes", { x: MARGIN.left + from * step, y: MARGIN.top, width: (at - from) * step, height }),
      );
      if ((at - from) * step > 90)
        found.push(
          s(
            "text",
            { x: MARGIN.left + (from + (at - from) / 2) * step, y: MARGIN.top + height / 2, "text-anchor": "middle" },
            "not seen",
          ),
        );
      from = null;
    }
  });
  return found;
}

function grid(width, top, y, write) {
  return [0, 0.5, 1].map((share) => [
    s("line.axis", { x1: MARGIN.left, x2: width - MARGIN.right, y1: y(top * share), y2: y(top * share) }),
    s("text", { x: MARGIN.left - 6, y: y(top * share) + 4, "text-anchor": "end" }, write(top * share, true)),
  ]);
}

function hours(values, timeOf, step) {
  const found = [];
  const every = values.length * step < 420 ? 6 : 3;
  const span = values.length > 1 ? (timeOf(1) - timeOf(0)) * values.length : 0;
  for (let at = 0; at < values.length; at += 1) {
    const moment = new Date(timeOf(at));
    const isWhole = moment.getMinutes() * 60000 < timeOf(1) - timeOf(0);
    const fits = span > 8 * 3600000 ? moment.getHours() % every === 0 : true;
    const x = MARGIN.left + at * step;
    if (isWhole && fits && x < MARGIN.left + values.length * step - 30) {
      found.push(s("text", { x, y: HEIGHT - 6 }, minute(moment)));
    }
  }
  return found;
}

function bars(values, step, y, tone) {
  const base = y(0);
  return values.map(
    (value, at) =>
      value > 0 &&
      s(`rect.mark${tone && `.${tone}`}`, {
        x: MARGIN.left + at * step + 0.5,
        y: Math.min(y(value), base - 1.5),
        width: Math.max(1, step - 1),
        height: Math.max(1.5, base - y(value)),
        rx: 1,
      }),
  );
}

function areas(values, step, y, tone) {
  const found = [];
  let run = [];
  const flush = () => {
    if (run.length) {
      // Each slot is as wide as it lasts, the last one too.
      const ends = [...run, [run.at(-1)[0] + step, run.at(-1)[1]]];
      const line = ends.map(([x, value]) => `${x.toFixed(1)} ${y(value).toFixed(1)}`).join("L");
      found.push(
        s(`path.mark${tone && `.${tone}`}`, {
          d: `M${run[0][0].toFixed(1)} ${y(0)}L${line}V${y(0)}Z`,
          opacity: 0.8,
        }),
      );
    }
    run = [];
  };
  values.forEach((value, at) => (value === null ? flush() : run.push([MARGIN.left + at * step, value])));
  flush();
  return found;
}
