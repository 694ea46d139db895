/** One group of series on the axis of time that all groups share. */
import uPlot from 'uplot';
import { el, framed } from './dom.js';
import type { Span } from './span.js';
import { GUTTER_PX, MARGIN_PX, timeGestures, timeText, timeTouch } from './span.js';
import { colour, columns, extent, labelColour, type Stretches, type TrackData, type TrackMeta } from './traces-meta.js';

const LANE_PX = 30;
/** Lanes of a few, such as sweeps of a cell: what each of them looks like is what they are drawn for. */
const TALL_LANE_PX = 72;
const FEW = 6;
const LINE_PX = 104;
const AXIS_PX = 40;
const MOST_PX = 520;
// Lines rest in the lower part of their lane, and so do the names beside them.
const REST_AT = 0.4;
const LABEL_AT = 0.3;

export interface Said {
  (time: number | null, text: string): void;
}

export class Chart {
  readonly element: HTMLElement;
  readonly #group: string;
  readonly #span: Span;
  readonly #axis: string | null;
  readonly #say: Said;
  readonly #sync: string;
  readonly #ends: (() => void)[] = [];
  readonly #extents = new Map<string, [number, number]>();
  #tracks: readonly TrackMeta[] = [];
  #data = new Map<string, TrackData>();
  #bars: Stretches | null = null;
  #plot: uPlot | null = null;
  #step = 1;

  /** `axis` is the title of the axis of time; null where another chart has it. */
  constructor(group: string, span: Span, axis: string | null, sync: string, say: Said) {
    this.#group = group;
    this.#span = span;
    this.#axis = axis;
    this.#sync = sync;
    this.#say = say;
    this.element = el('div', { class: 'chart', 'data-group': group });
    this.#ends.push(timeGestures(this.element, span), timeTouch(this.element, span));
  }

  get tracks(): readonly TrackMeta[] {
    return this.#tracks;
  }

  get #lanes(): boolean {
    return this.#tracks.length > 1;
  }

  /** Which of its tracks are drawn. */
  choose(tracks: readonly TrackMeta[]): void {
    this.#tracks = tracks;
    this.element.hidden = tracks.length === 0;
    this.#build();
  }

  show(data: ReadonlyMap<string, TrackData>, bars: Stretches | null): void {
    this.#bars = bars;
    for (const track of this.#tracks) {
      const found = data.get(track.name);
      if (!found) continue;
      this.#data.set(track.name, found);
      const now = extent(found);
      const old = this.#extents.get(track.name);
      // The place of a lane is that of all that was seen of it: it does not jump when one zooms.
      if (now) this.#extents.set(track.name, old ? [Math.min(old[0], now[0]), Math.max(old[1], now[1])] : now);
    }
    this.#fill();
  }

  /** Follow the window; the lines that are there are stretched until the new ones come. */
  readonly follow = framed(() => this.#plot?.setScale('x', { min: this.#span.from, max: this.#span.to }));

  resize(): void {
    const width = this.element.clientWidth;
    if (this.#plot && width > GUTTER_PX && (width !== this.#plot.width)) this.#plot.setSize({ width, height: this.#height });
  }

  recolour(): void {
    this.#build();
  }

  destroy(): void {
    for (const end of this.#ends) end();
    this.follow.cancel();
    this.#plot?.destroy();
  }

  get #height(): number {
    const lines = this.#lanes ? Math.min(MOST_PX, this.#tracks.length * (this.#tracks.length <= FEW ? TALL_LANE_PX : LANE_PX) + 16) : LINE_PX;
    return lines + (this.#axis === null ? 0 : AXIS_PX);
  }

  #build(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const width = this.element.clientWidth;
    if (this.#tracks.length === 0 || width <= GUTTER_PX) return;
    const style = getComputedStyle(this.element);
    const ink = style.getPropertyValue('--dim').trim();
    const grid = style.getPropertyValue('--line').trim();
    const [first] = this.#tracks;
    const font = '12px system-ui, "Liberation Sans", sans-serif';
    const title = this.#lanes ? this.#group : first?.title ?? this.#group;
    const unit = first?.unit ?? '';
    const options: uPlot.Options = {
      width,
      height: this.#height,
      padding: [8, MARGIN_PX, this.#axis === null ? 8 : 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, sync: { key: this.#sync }, drag: { x: true, y: false, setScale: false, dist: 4 } },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: { x: { time: false }, y: this.#lanes ? { range: () => [-this.#tracks.length + 0.3, 0.9] } : {} },
      series: [{}, ...this.#tracks.map((track, i): uPlot.Series => ({
        label: track.title, stroke: colour(i), width: 1, points: { size: 4, space: 12 }, spanGaps: false,
      }))],
      axes: [
        this.#axis === null
          ? { show: false }
          : { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid }, size: AXIS_PX, label: this.#axis, labelFont: font, labelSize: 16, labelGap: 0, gap: 3,
            values: (_, ticks) => ticks.map((tick) => tick.toLocaleString('en-US', { maximumFractionDigits: 6 })) },
        {
          stroke: ink, font, size: GUTTER_PX - 18, gap: 6, ticks: { show: false }, grid: { stroke: grid, width: 1, show: !this.#lanes },
          label: this.#lanes && this.#tracks.length < 4 ? '' : titled(title, unit), labelFont: font, labelSize: 18, labelGap: 0,
          ...(this.#lanes ? this.#laneAxis() : { space: 24 }),
        },
      ],
      hooks: {
        drawClear: [(plot) => this.#backdrop(plot)],
        draw: [(plot) => this.#scaleBar(plot, ink)],
        setSelect: [(plot) => this.#selected(plot)],
        setCursor: [(plot) => this.#hover(plot)],
      },
    };
    this.#plot = new uPlot(options, [[], ...this.#tracks.map(() => [])] as unknown as uPlot.AlignedData, this.element);
    this.#fill();
  }

  #laneAxis(): Partial<uPlot.Axis> {
    const every = Math.max(1, Math.ceil((this.#tracks.length * 14) / this.#height));
    return {
      splits: () => this.#tracks.map((_, i) => -i - LABEL_AT).filter((_, i) => i % every === 0),
      values: (_, splits) => splits.map((at) => short(this.#tracks[Math.round(-at - LABEL_AT)]?.title ?? '')),
      filter: (_, splits) => splits,
    };
  }

  #fill(): void {
    const plot = this.#plot;
    if (!plot) return;
    if (this.#lanes) this.#step = this.#laneStep();
    const tables = this.#tracks.map((track, lane): uPlot.AlignedData => {
      const data = this.#data.get(track.name);
      if (!data) return [[], []];
      const [xs, ys] = columns(data);
      if (!this.#lanes) return [xs, ys];
      const base = this.#extents.get(track.name)?.[0] ?? 0;
      return [xs, ys.map((value) => (value === null ? null : -lane - REST_AT + (value - base) / this.#step))];
    });
    plot.setData(uPlot.join(tables), false);
    // Both at once: the scales are those of the window, whatever the data cover.
    plot.batch(() => {
      plot.setScale('x', { min: this.#span.from, max: this.#span.to });
      if (!this.#lanes) this.#scaleY(plot);
    });
  }

  #scaleY(plot: uPlot): void {
    const [track] = this.#tracks;
    const data = track && this.#data.get(track.name);
    const found = data && extent(data);
    if (!found) return;
    const pad = (found[1] - found[0]) * 0.06 || 1;
    plot.setScale('y', { min: found[0] - pad, max: found[1] + pad });
  }

  /** How much one lane holds: most tracks fit into their lane, the liveliest reach into the one above. */
  #laneStep(): number {
    const spans = this.#tracks.map((track) => this.#extents.get(track.name)).filter((found) => found !== undefined)
      .map(([low, high]) => high - low).sort((a, b) => a - b);
    return (spans[Math.ceil((spans.length - 1) * 0.8)] ?? 0) * 1.05 || 1;
  }

  #backdrop(plot: uPlot): void {
    const bars = this.#bars;
    if (!bars) return;
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    ctx.save();
    ctx.globalAlpha = 0.16;
    bars.start.forEach((start, i) => {
      const from = Math.max(left, plot.valToPos(start, 'x', true));
      const to = Math.min(left + width, plot.valToPos(bars.stop[i] ?? start, 'x', true));
      if (to < left || from > left + width) return;
      ctx.fillStyle = labelColour(bars.labels, bars.label[i] ?? '');
      ctx.fillRect(from, top, Math.max(1, to - from), height);
    });
    ctx.restore();
  }

  /** How tall a round value is in the lanes: their axis has names, no numbers. */
  #scaleBar(plot: uPlot, ink: string): void {
    if (!this.#lanes || this.#extents.size === 0) return;
    const { ctx } = plot;
    const { left, top, width } = plot.bbox;
    const dense = uPlot.pxRatio;
    const size = 10 ** Math.floor(Math.log10(this.#step));
    const value = ([5, 2, 1].find((n) => n * size <= this.#step) ?? 1) * size;
    const tall = Math.abs(plot.valToPos(value / this.#step, 'y', true) - plot.valToPos(0, 'y', true));
    const x = left + width - 4 * dense;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = ink;
    ctx.lineWidth = 2 * dense;
    ctx.beginPath();
    ctx.moveTo(x, top + 4 * dense);
    ctx.lineTo(x, top + 4 * dense + tall);
    ctx.stroke();
    ctx.font = `${11 * dense}px system-ui, sans-serif`;
    ctx.textAlign = 'right';
    ctx.textBaseline = 'top';
    ctx.fillText(`${Number(value.toPrecision(2))} ${this.#tracks[0]?.unit ?? ''}`, x - 6 * dense, top + 4 * dense);
    ctx.restore();
  }

  #selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#span.set(from, to);
  }

  #hover(plot: uPlot): void {
    const { left = -1, idx } = plot.cursor;
    // Of the charts that share the cursor, the one under the pointer speaks.
    if (!this.element.matches(':hover') || left < 0 || idx === null || idx === undefined) {
      if (left < 0 && !this.element.matches(':hover')) this.#say(null, '');
      return;
    }
    const time = plot.posToVal(left, 'x');
    const values = this.#tracks.slice(0, 4).map((track) => {
      const value = near(this.#data.get(track.name), time);
      return value === null ? '' : `${short(track.title)} ${Number(value.toPrecision(4))} ${track.unit}`;
    });
    this.#say(time, `${timeText(time, this.#span.length)} s · ${values.filter(Boolean).join(' · ')}`);
  }
}

/** The value nearest to a time: the middle of the extremes of its pixel. */
function near(data: TrackData | undefined, time: number): number | null {
  if (!data || data.t.length === 0) return null;
  let low = 0;
  let high = data.t.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((data.t[middle] ?? 0) <= time) low = middle;
    else high = middle;
  }
  const at = Math.abs((data.t[high] ?? 0) - time) < Math.abs((data.t[low] ?? 0) - time) ? high : low;
  if (data.y) return data.y[at] ?? null;
  const [least, most] = [data.lo?.[at], data.hi?.[at]];
  return least === undefined || least === null || most === undefined || most === null ? null : (least + most) / 2;
}

const LONGEST = 15;

/** What fits beside a chart: the end of a path says more than its beginning. */
const brief = (title: string): string => {
  const text = title.length > LONGEST ? title.split('/').at(-1) ?? title : title;
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
};

/** A title with its unit, where both fit. */
const titled = (title: string, unit: string): string => {
  if (!unit || unit === title) return brief(title);
  const fits = [brief(title), short(title)].map((text) => `${text} (${unit})`).find((text) => text.length <= 18);
  return fits ?? brief(title);
};

/** What tells a track from the others of its group, where there is little room. */
const short = (title: string): string => {
  const text = title.replace(/^(cell|channel|sweep) /, '');
  return text.length > 12 ? `…${text.slice(-11)}` : text;
};
