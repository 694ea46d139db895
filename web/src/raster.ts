/** The view of spikes: a picture of all units on the axis of time, a table of them, responses of the one chosen. */
import { Aligned } from './aligned.js';
import { busOf, type Bus } from './bus.js';
import { COLOUR_MAPS } from './colours.js';
import { choose, clamp, el, framed, grouped, labelled, onScheme, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { ordered, readCounts, type RasterMeta, type Spikes, type Units } from './raster-meta.js';
import { RasterPicture } from './raster-picture.js';
import { Span, timeGestures, timeText, timeTouch } from './span.js';
import type { State, View } from './state.js';
import type { Stretches } from './traces-meta.js';
import { UnitTable } from './unit-table.js';

const WAIT_MS = 60;
const MOST_PX = 4096;
const STORED = '';
/** Columns whose values name groups of neighbours, the best first. */
const GROUPS = ['structure', 'probe', 'structure_acronym', 'group', 'location', 'quality'];

/** Show the spikes that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let raster: Raster | null = null;
  const start = async (): Promise<void> => {
    const [meta, units] = await Promise.all([get('meta.json', { signal: end.signal }), get('units.json', { signal: end.signal })]);
    const told = (await meta.json()) as RasterMeta;
    const table = (await units.json()) as Units;
    if (!end.signal.aborted) raster = new Raster(root, get, state, told, table);
  };
  start().catch((error: unknown) => {
    if (aborted(error)) return;
    root.append(el('p', { class: 'notice', role: 'status', text: `The spikes cannot be shown: ${reason(error)}.` }));
  });
  return {
    destroy() {
      end.abort();
      raster?.destroy();
    },
  };
}

class Raster {
  readonly #get: Get;
  readonly #state: State;
  readonly #meta: RasterMeta;
  readonly #units: Units;
  readonly #bus: Bus;
  readonly #span: Span;
  readonly #picture: RasterPicture;
  readonly #table: UnitTable;
  readonly #aligned: Aligned | null;
  readonly #where = el('output', { class: 'where' });
  readonly #cursor = el('span', { class: 'cursor' });
  readonly #notice = el('p', { class: 'notice', role: 'status', hidden: true });
  readonly #element = el('div', { class: 'raster' });
  readonly #rubber = el('div', { class: 'rubber', hidden: true });
  readonly #ends: (() => void)[] = [];
  #list: HTMLSelectElement | null = null;
  #order: number[] = [];
  #column: string;
  #down: boolean;
  #map: string;
  #gain: number;
  #chosen: number | null;
  #ask: AbortController | null = null;
  #timer = 0;

  constructor(root: HTMLElement, get: Get, state: State, meta: RasterMeta, units: Units) {
    this.#get = get;
    this.#state = state;
    this.#meta = meta;
    this.#units = units;
    this.#bus = busOf(root);
    this.#span = new Span([meta.from_s, meta.to_s], null, state, this.#bus);
    const column = (state.get('order') ?? STORED).replace(/^-/, '');
    this.#down = state.get('order')?.startsWith('-') ?? false;
    this.#column = units.columns.some(({ name }) => name === column) ? column : STORED;
    const map = state.get('map') ?? '';
    this.#map = COLOUR_MAPS.includes(map) ? map : 'viridis';
    this.#gain = clamp(Number(state.get('gain')) || 1, 0.25, 8);
    this.#chosen = this.#row(state.get('unit'));
    this.#picture = new RasterPicture(this.#span, meta.units);
    this.#picture.canvas.setAttribute('aria-label',
      `Spikes of ${meta.units} units over time. Left and right arrows move along time, up and down change the unit, plus and minus zoom, zero shows all`);
    this.#table = new UnitTable(units, {
      choose: (unit) => this.#pick(unit === this.#chosen ? null : unit),
      order: (name, down) => this.#sort(name, down),
    });
    this.#aligned = meta.intervals.length + meta.events.length > 0 ? new Aligned(meta.intervals, meta.events, get, state) : null;
    this.#build(root);
    this.#listen();
    this.#sort(this.#column, this.#down);
    this.#pick(this.#chosen, false);
    this.#moved();
    void this.#load();
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#ask?.abort();
    for (const end of this.#ends) end();
    this.#aligned?.destroy();
    this.#span.destroy();
  }

  #row(id: string | null): number | null {
    const at = this.#units.columns.findIndex(({ name }) => name === 'id');
    const row = id === null ? -1 : this.#units.rows.findIndex((cells) => String(cells[at]) === id);
    return row < 0 ? null : row;
  }

  #id(row: number): string | number {
    const at = this.#units.columns.findIndex(({ name }) => name === 'id');
    const id = this.#units.rows[row]?.[at];
    return typeof id === 'number' || typeof id === 'string' ? id : row;
  }

  #build(root: HTMLElement): void {
    const button = (text: string, title: string, onclick: () => void): HTMLElement => el('button', { type: 'button', title, text, 'aria-label': title, onclick });
    this.#list = choose([[STORED, 'depth along the probe'] as const, ...this.#units.columns.map(({ name }) => [name, name.replaceAll('_', ' ')] as const)], this.#column, (name) => this.#sort(name, this.#down));
    if (!this.#units.columns.some(({ name }) => name === 'depth_um')) this.#list.options[0]!.textContent = 'as stored';
    const gain = el('input', {
      type: 'range', min: -2, max: 3, step: 0.25, value: Math.log2(this.#gain), 'aria-label': 'Contrast',
      oninput: () => {
        this.#gain = 2 ** gain.valueAsNumber;
        this.#state.set('gain', this.#gain === 1 ? null : this.#gain.toFixed(2));
        this.#arrange();
      },
    });
    const map = choose(COLOUR_MAPS, this.#map, (name) => {
      this.#map = name;
      this.#state.set('map', name === 'viridis' ? null : name);
      this.#arrange();
    });
    const tools = el('div', { class: 'tools', role: 'toolbar', 'aria-label': 'How spikes are shown' },
      el('div', { class: 'group' },
        button('◀', 'Back (left arrow)', () => this.#span.pan(-0.5)),
        button('▶', 'On (right arrow)', () => this.#span.pan(0.5)),
        button('+', 'Zoom in (plus)', () => this.#span.zoom(2)),
        button('−', 'Zoom out (minus)', () => this.#span.zoom(0.5)),
        button('All', 'Show all (0)', () => this.#span.all())),
      el('div', { class: 'group' },
        labelled('Order', this.#list), button('⇅', 'Turn the order round', () => this.#sort(this.#column, !this.#down)),
        labelled('Colours', map), labelled('Contrast', gain)));
    const main = el('div', { class: 'time' }, tools, this.#notice,
      el('div', { class: 'view' }, this.#picture.canvas, this.#rubber),
      el('div', { class: 'foot' }, this.#where, this.#cursor),
      ...(this.#aligned ? [this.#aligned.element] : []));
    this.#element.append(main, el('div', { class: 'beside' }, el('h3', { text: `${grouped(this.#meta.units)} units` }), this.#table.element));
    this.#ends.push(stage(root, this.#element));
  }

  #listen(): void {
    const { canvas } = this.#picture;
    this.#ends.push(timeGestures(canvas, this.#span), timeTouch(canvas, this.#span));
    this.#span.on(() => {
      this.#moved();
      this.#picture.draw();
      this.#later();
    });
    canvas.addEventListener('keydown', (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const place = this.#chosen === null ? (step > 0 ? -1 : this.#order.length) : this.#order.indexOf(this.#chosen);
      this.#pick(this.#order[clamp(place + step, 0, this.#order.length - 1)] ?? null);
    });
    this.#drags(canvas);
    canvas.addEventListener('pointermove', (event) => this.#hover(event));
    canvas.addEventListener('pointerleave', () => (this.#cursor.textContent = ''));
    const watch = new ResizeObserver(framed(() => {
      this.#picture.draw();
      this.#later();
    }));
    watch.observe(canvas);
    this.#ends.push(
      () => watch.disconnect(),
      this.#bus.on('unit', ({ id }) => {
        const row = this.#row(String(id));
        if (row !== null && row !== this.#chosen) this.#pick(row);
      }),
      onScheme(() => {
        this.#picture.draw();
        this.#aligned?.recolour();
      }));
  }

  /** A mouse drags over the time to be shown; a click chooses a unit. */
  #drags(canvas: HTMLCanvasElement): void {
    let from: number | null = null;
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      from = event.clientX;
      if (event.pointerType === 'mouse') canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (from === null || event.pointerType !== 'mouse') return;
      const box = canvas.getBoundingClientRect();
      this.#rubber.hidden = Math.abs(event.clientX - from) < 5;
      this.#rubber.style.left = `${Math.min(from, event.clientX) - box.left}px`;
      this.#rubber.style.width = `${Math.abs(event.clientX - from)}px`;
    });
    canvas.addEventListener('pointerup', (event) => {
      if (from === null) return;
      const [a, b] = [this.#picture.part(from), this.#picture.part(event.clientX)];
      const far = Math.abs(event.clientX - from) >= 5;
      from = null;
      this.#rubber.hidden = true;
      if (far && event.pointerType === 'mouse') {
        const at = (where: number): number => this.#span.from + where * this.#span.length;
        this.#span.set(at(Math.min(a, b)), at(Math.max(a, b)));
      } else if (!far) {
        const unit = this.#picture.unit(event.clientY);
        this.#pick(unit === this.#chosen ? null : unit);
      }
    });
    canvas.addEventListener('pointercancel', () => {
      from = null;
      this.#rubber.hidden = true;
    });
  }

  #hover(event: PointerEvent): void {
    const unit = this.#picture.unit(event.clientY);
    if (unit === null) return void (this.#cursor.textContent = '');
    const time = this.#span.from + this.#picture.part(event.clientX) * this.#span.length;
    const count = this.#picture.count(unit, time);
    const rate = count === null || !this.#picture.binWidth ? '' : ` · ${Number((count / this.#picture.binWidth).toPrecision(3))} spikes/s`;
    this.#cursor.textContent = `${timeText(time, this.#span.length)} s · unit ${this.#id(unit)}${rate}`;
  }

  #sort(column: string, down: boolean): void {
    this.#column = column;
    this.#down = down;
    if (this.#list) this.#list.value = column;
    this.#state.set('order', column === STORED && !down ? null : `${down ? '-' : ''}${column}`);
    this.#order = ordered(this.#units, column, down);
    this.#table.show(this.#order, column, down, this.#chosen);
    this.#arrange();
  }

  #pick(row: number | null, tell = true): void {
    this.#chosen = row;
    this.#state.set('unit', row === null ? null : String(this.#id(row)));
    this.#table.mark(row);
    this.#arrange();
    const first = row ?? this.#order[0] ?? null;
    this.#aligned?.show(first === null ? null : { query: `row=${first}`, title: `unit ${this.#id(first)}` });
    if (tell && row !== null) this.#bus.emit('unit', { id: this.#id(row) });
  }

  #arrange(): void {
    this.#picture.arrange({ order: this.#order, map: this.#map, gain: this.#gain, chosen: this.#chosen, groups: this.#runs() });
  }

  /** Neighbours of one structure, of one probe: by the column of the order where it has words. */
  #runs(): { name: string; from: number; to: number }[] {
    const names = this.#units.columns.map(({ name }) => name);
    const column = this.#units.columns.find(({ name, numeric }) => name === this.#column && !numeric)?.name
      ?? (this.#column === STORED ? GROUPS.find((name) => names.includes(name)) : undefined);
    const at = names.indexOf(column ?? '');
    if (at < 0) return [];
    const runs: { name: string; from: number; to: number }[] = [];
    this.#order.forEach((unit, row) => {
      const name = String(this.#units.rows[unit]?.[at] ?? '') || 'none';
      const last = runs.at(-1);
      if (last?.name === name) last.to = row + 1;
      else runs.push({ name, from: row, to: row + 1 });
    });
    return runs.length > this.#order.length / 2 && this.#order.length > 40 ? [] : runs;
  }

  #moved(): void {
    const { from, to, length } = this.#span;
    this.#where.textContent = `${timeText(from, length)} to ${timeText(to, length)} s`;
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#load(), WAIT_MS) as unknown as number;
  }

  /** Ask for the counts of the window; from close, for the spikes too. */
  async #load(): Promise<void> {
    this.#ask?.abort();
    const ask = (this.#ask = new AbortController());
    const options = { signal: ask.signal };
    const px = Math.min(MOST_PX, Math.round(this.#picture.width * Math.min(devicePixelRatio || 1, 2)));
    const window = `from=${this.#span.from}&to=${this.#span.to}`;
    const close = this.#span.length <= this.#meta.close_s;
    const [first] = this.#meta.intervals;
    try {
      const [counts, spikes, bars] = await Promise.all([
        this.#get(`view.bin?${window}&px=${px}`, options).then((answer) => answer.arrayBuffer()).then(readCounts),
        close ? this.#get(`spikes.json?${window}`, options).then((answer) => answer.json() as Promise<Spikes>) : null,
        close && first ? this.#get(`intervals/${first.name}.json?${window}&px=${px}`, options).then((answer) => answer.json() as Promise<Stretches>).catch(() => null) : null,
      ]);
      if (ask.signal.aborted) return;
      this.#picture.show(counts, spikes, bars);
      this.#notice.hidden = true;
      this.#element.dataset['shown'] = spikes && !spikes.many ? 'spikes' : 'counts';
      this.#element.dataset['query'] = window;
    } catch (error) {
      if (aborted(error)) return;
      this.#notice.hidden = false;
      this.#notice.textContent = `The spikes cannot be read: ${reason(error)}.`;
    }
  }
}
