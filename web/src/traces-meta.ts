/** What the server tells of series over time, and what it answers. Times in s. */

export interface TrackMeta {
  name: string;
  title: string;
  unit: string;
  group: string;
  shown: boolean;
}

export interface NamedMeta {
  name: string;
  title: string;
  table?: string;
}

export interface RoiMeta {
  width_px: number;
  height_px: number;
  ids: number[];
  tracks: string[];
}

export interface TracesMeta {
  title: string;
  from_s: number;
  to_s: number;
  axis: string;
  longest_s: number | null;
  tracks: TrackMeta[];
  intervals: NamedMeta[];
  events: NamedMeta[];
  rois: RoiMeta | null;
}

/** Extremes of each pixel, or the samples themselves. */
export interface TrackData {
  t: number[];
  y?: (number | null)[];
  lo?: (number | null)[];
  hi?: (number | null)[];
}

export interface Stretches {
  start: number[];
  stop: number[];
  label: string[];
  labels: string[];
  total: number;
}

export interface Points {
  t: number[];
  total: number;
}

/** Colours of middling brightness: they are read on black and on white. */
export const PALETTE = ['#4c8dd6', '#d9822b', '#2fa36b', '#a76bd1', '#d1566b', '#8a8f3c', '#1f9e9e', '#c46a9b', '#7d8fd6', '#b08a4a'];
export const GRAY = '#808890';

export const colour = (index: number): string => PALETTE[index % PALETTE.length] ?? GRAY;

/** The colour of a label: gray for what is nothing, else by its place among all. */
export function labelColour(labels: readonly string[], label: string): string {
  if (/^(omitted|spontaneous|aborted|gray|grey)/i.test(label)) return GRAY;
  return colour(Math.max(0, labels.indexOf(label)));
}

/** Groups in the order they come in, with their tracks. */
export function groupsOf(tracks: readonly TrackMeta[]): Map<string, TrackMeta[]> {
  const groups = new Map<string, TrackMeta[]>();
  for (const track of tracks) groups.set(track.group, [...(groups.get(track.group) ?? []), track]);
  return groups;
}

/** As columns of points: each pixel's extremes beside each other, so that their line fills it. */
export function columns(data: TrackData): [number[], (number | null)[]] {
  if (data.y) return [data.t, data.y];
  const { t, lo = [], hi = [] } = data;
  let step = Infinity;
  for (let i = 1; i < t.length; i++) step = Math.min(step, (t[i] ?? 0) - (t[i - 1] ?? 0));
  const shift = Number.isFinite(step) ? step / 4 : 0;
  const xs: number[] = [];
  const ys: (number | null)[] = [];
  for (let i = 0; i < t.length; i++) {
    const at = t[i] ?? 0;
    xs.push(at - shift, at + shift);
    ys.push(lo[i] ?? null, hi[i] ?? null);
  }
  return [xs, ys];
}

/** Least and greatest value, or null where there is none. */
export function extent(data: TrackData): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const value of data.y ?? data.lo ?? []) if (value !== null && value < low) low = value;
  for (const value of data.y ?? data.hi ?? []) if (value !== null && value > high) high = value;
  return low <= high ? [low, high] : null;
}
