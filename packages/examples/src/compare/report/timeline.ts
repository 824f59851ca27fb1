/** One step as it ran: a track for each device, time from left to right, as SVG that can be stretched. */
import type { profiler } from "@troupe/core";
import type { Timeline } from "@troupe/parallel";
import { scaleLinear } from "d3-scale";
import { escaped, short } from "./html.ts";

const colours: Readonly<Record<profiler.ProfileEventKind, string>> = {
  kernel: "#2f6fb3",
  collective: "#c2541b",
  copy: "#d9a514",
  upload: "#7a5195",
  read: "#3f9c7a",
  compile: "#6b7280",
  wait: "#d5d9de",
};
const rowHeight = 34;
const barHeight = 24;
const axisHeight = 26;

/**
 * Tracks with a slider that stretches them. Positions are percentages, so that only the width has to change and text
 * keeps its shape.
 */
export function tracks(name: string, devices: readonly string[], timeline: Timeline): string {
  const { duration, events } = timeline;
  const height = devices.length * rowHeight + axisHeight;
  const left = (time: number): string => `${short((100 * time) / duration)}%`;
  const bar = (event: profiler.ProfileEvent, row: number): string => {
    const { kind, start, sizes = [], site } = event;
    const what = [event.name, sizes.join("x"), site === undefined ? "" : `in ${site}`, `(${kind})`].filter(Boolean);
    const tip = `<title>${escaped(`${what.join(" ")}: ${micros(event.duration)} at ${micros(start)}`)}</title>`;
    const place = `x="${left(start)}" y="${row * rowHeight}" width="${left(event.duration)}" height="${barHeight}"`;
    return `<rect class="${escaped(kind)}" ${place} fill="${colours[kind]}">${tip}</rect>`;
  };
  const rows = devices.map((device, row) => {
    const ground = `<rect x="0" y="${row * rowHeight}" width="100%" height="${barHeight}" fill="#f3f4f6"/>`;
    const own = events.filter((event) => event.device === device);
    // A wait is a part of another event: on top of it.
    const ordered = [...own.filter(({ kind }) => kind !== "wait"), ...own.filter(({ kind }) => kind === "wait")];
    const bars = ordered.map((event) => bar(event, row));
    return `<g class="track" data-device="${escaped(device)}">${ground}${bars.join("")}</g>`;
  });
  const ticks = scaleLinear([0, duration], [0, 100])
    .ticks(16)
    .filter((tick) => tick < 0.98 * duration)
    .map((tick) => {
      const bottom = devices.length * rowHeight;
      const rule = `<line class="grid" x1="${left(tick)}" x2="${left(tick)}" y1="0" y2="${bottom}"/>`;
      return `${rule}<text x="${left(tick)}" dx="3" y="${bottom + 14}">${micros(tick)}</text>`;
    });
  const labels = devices.map((device) => `<div style="height: ${rowHeight}px">${escaped(device)}</div>`);
  const svg =
    `<svg width="100%" height="${height}" role="img" aria-label="timeline of ${escaped(name)}">` +
    `${ticks.join("")}${rows.join("")}</svg>`;
  return (
    `<div class="timeline" data-strategy="${escaped(name)}">` +
    `<label class="zoom">zoom <input type="range" min="0" max="6" step="0.1" value="0"></label>` +
    `<div class="rows"><div class="devices">${labels.join("")}</div><div class="scroll">${svg}</div></div></div>`
  );
}

/** Which colour is which kind of work. */
export function kindLegend(): string {
  const items = Object.entries(colours).map(
    ([kind, colour]) => `<li><span class="swatch" style="background: ${colour}"></span>${kind}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

/** What the sliders do: twice the width for each whole number, around the middle of what is seen. */
export const zoomScript = `
for (const timeline of document.querySelectorAll(".timeline")) {
  const scroll = timeline.querySelector(".scroll");
  const drawing = scroll.querySelector("svg");
  timeline.querySelector("input").addEventListener("input", (event) => {
    const middle = (scroll.scrollLeft + scroll.clientWidth / 2) / scroll.scrollWidth;
    drawing.style.width = 100 * 2 ** Number(event.target.value) + "%";
    scroll.scrollLeft = middle * scroll.scrollWidth - scroll.clientWidth / 2;
  });
}`;

function micros(time: number): string {
  return time >= 1000 ? `${Number((time / 1000).toPrecision(4))} ms` : `${Number(time.toPrecision(3))} us`;
}
