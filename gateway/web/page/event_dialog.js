// One event, whole: everything that was scanned can be seen to its last character, as text.

import { get, segment } from "./api.js";
import { h, scanned } from "./dom.js";
import { tell } from "./session.js";
import { words } from "./format.js";

const WHOLE_MAX = 200000;

export const kindOf = (event) => words(String(event?.type ?? "").replace(/^dockline\.|\.v1$/g, ""));

/** The text of an event's data carrier, or what stands for it. */
export function codeOf(data) {
  const { evidence, item, measurement, voids, document, reason } = data ?? {};
  return (
    evidence?.raw ??
    evidence?.raw_base64 ??
    item?.epc ??
    item?.code ??
    item?.gtin ??
    (measurement && `${measurement.name} ${measurement.value}`) ??
    voids ??
    data?.message ??
    document?.id ??
    reason ??
    ""
  );
}

export const isKeyed = (data) => data?.evidence?.symbology === "]Z0";

/** Show an event by its id or sequence. */
export async function showEvent(id) {
  let found;
  try {
    found = await get(`/v1/events/${segment(id)}`);
  } catch (failure) {
    await tell("Event", h("p", {}, `${failure.message} ${failure.hint}`));
    return;
  }
  const { event, seq } = found;
  const code = codeOf(event?.data);
  await tell(event ? `${kindOf(event)}, sequence ${seq}` : `Sequence ${seq}, damaged`, [
    code && [
      h("h3", {}, "Scanned"),
      h("div.whole", { tabindex: 0, "aria-label": "The whole code" }, scanned(code, { max: WHOLE_MAX })),
    ],
    h("h3", {}, "Event"),
    h(
      "div.whole",
      { tabindex: 0, "aria-label": "The event as JSON" },
      scanned(JSON.stringify(event ?? found, null, 2), { max: WHOLE_MAX, lines: true }),
    ),
  ]);
}
