/** Rows of stretches and of events above the lines, on the same axis of time. */
import { type Said } from './chart.js';
import { el, fitCanvas } from './dom.js';
import { GUTTER_PX, MARGIN_PX, partOf, timeGestures, timeText, timeTouch, type Span } from './span.js';
import { labelColour, type NamedMeta, type Points, type Stretches } from './traces-meta.js';

const ROW_PX = 20;

export class Strip {
  readonly element = el('div', { class: 'strip' });
  readonly #canvas = el('canvas', { role: 'img' });
  readonly #span: Span;
  readonly #intervals: readonly NamedMeta[];
  readonly #events: readonly NamedMeta[];
  readonly #ends: (() => void)[];
  readonly #say: Said;
  #stretches = new Map<string, Stretches>();
  #points = new Map<string, Points>();

  constructor(intervals: readonly NamedMeta[], events: readonly NamedMeta[], span: Span, say: Said) {
    this.#intervals = intervals;
    this.#events = events;
    this.#span = span;
    this.#say = say;
    const rows = intervals.length + events.length;
    this.element.hidden = rows === 0;
    this.#canvas.style.height = `${rows * ROW_PX + 4}px`;
    this.#canvas.setAttribute('aria-label', [...intervals, ...events].map(({ title }) => title).join(', '));
    this.element.append(this.#canvas);
    const part = partOf(this.#canvas);
    this.#ends = [timeGestures(this.element, span), timeTouch(this.element, span)];
    this.#canvas.addEventListener('pointermove', (event) => this.#hover(event, part));
    this.#canvas.addEventListener('pointerleave', () => this.#say(null, ''));
    this.#canvas.addEventListener('click', (event) => this.#go(event, part));
  }

  show(stretches: ReadonlyMap<string, Stretches>, points: ReadonlyMap<string, Points>): void {
    for (const [name, found] of stretches) this.#stretches.set(name, found);
    for (const [name, found] of points) this.#points.set(name, found);
    this.draw();
  }

  draw(): void {
    const to = this.#canvas.getContext('2d');
    if (!to || !this.#canvas.clientWidth) return;
    fitCanvas(this.#canvas);
    const dense = this.#canvas.width / this.#canvas.clientWidth;
    const style = getComputedStyle(this.#canvas);
    to.setTransform(dense, 0, 0, dense, 0, 0);
    to.clearRect(0, 0, this.#canvas.clientWidth, this.#canvas.clientHeight);
    const right = this.#canvas.clientWidth - MARGIN_PX;
    const x = (time: number): number => GUTTER_PX + ((time - this.#span.from) / this.#span.length) * (right - GUTTER_PX);
    to.font = '12px system-ui, "Liberation Sans", sans-serif';
    to.textBaseline = 'middle';
    [...this.#intervals, ...this.#events].forEach(({ name, title }, row) => {
      const top = row * ROW_PX + 2;
      to.fillStyle = style.getPropertyValue('--dim');
      to.textAlign = 'right';
      to.fillText(title.length > 14 ? `${title.slice(0, 13)}…` : title, GUTTER_PX - 8, top + ROW_PX / 2);
      to.save();
      to.beginPath();
      to.rect(GUTTER_PX, top, right - GUTTER_PX, ROW_PX);
      to.clip();
      const stretches = row < this.#intervals.length ? this.#stretches.get(name) : undefined;
      if (stretches) bars(to, stretches, x, top, style.getPropertyValue('--bg'));
      const points = row < this.#intervals.length ? undefined : this.#points.get(name);
      if (points) {
        to.fillStyle = style.getPropertyValue('--fg');
        for (const time of points.t) to.fillRect(x(time) - 0.5, top + 4, 1.25, ROW_PX - 8);
      }
      to.restore();
    });
  }

  /** The stretch under a place, the shortest where there are several. */
  #under(event: MouseEvent, part: (x: number) => number): { text: string; from: number; to: number } | null {
    const row = Math.floor((event.clientY - this.#canvas.getBoundingClientRect().top - 2) / ROW_PX);
    const meta = this.#intervals[row];
    const found = meta && this.#stretches.get(meta.name);
    if (!found) return null;
    const time = this.#span.from + part(event.clientX) * this.#span.length;
    const slack = this.#span.length / 400;
    let best: { text: string; from: number; to: number } | null = null;
    found.start.forEach((from, i) => {
      const to = found.stop[i] ?? from;
      if (time < from - slack || time > to + slack || (best && to - from >= best.to - best.from)) return;
      best = { text: `${meta.title}: ${found.label[i] ?? ''}`, from, to };
    });
    return best;
  }

  #hover(event: PointerEvent, part: (x: number) => number): void {
    const time = this.#span.from + part(event.clientX) * this.#span.length;
    const found = this.#under(event, part);
    const length = this.#span.length;
    const text = found ? `${found.text}, ${timeText(found.from, length)} to ${timeText(found.to, length)} s` : `${timeText(time, length)} s`;
    this.#say(time, text);
    this.#canvas.style.cursor = found ? 'pointer' : '';
  }

  /** A click on a stretch shows it with some time around it. */
  #go(event: MouseEvent, part: (x: number) => number): void {
    const found = this.#under(event, part);
    if (!found) return;
    const around = Math.max(1, (found.to - found.from) / 2);
    this.#span.set(found.from - around, found.to + around);
  }

  destroy(): void {
    for (const end of this.#ends) end();
  }
}

function bars(to: CanvasRenderingContext2D, found: Stretches, x: (time: number) => number, top: number, ground: string): void {
  found.start.forEach((start, i) => {
    const label = found.label[i] ?? '';
    const left = x(start);
    const width = Math.max(1.5, x(found.stop[i] ?? start) - left);
    to.fillStyle = labelColour(found.labels, label);
    to.globalAlpha = 0.85;
    to.fillRect(left, top + 3, width, ROW_PX - 6);
    to.globalAlpha = 1;
    const from = Math.max(left, GUTTER_PX);
    const seen = left + width - from;
    if (seen < 26 || to.measureText(label).width > seen - 8) return;
    to.textAlign = 'left';
    to.fillStyle = ground;
    to.fillText(label, from + 4, top + ROW_PX / 2 + 0.5);
  });
}
