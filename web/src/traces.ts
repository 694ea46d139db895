/** The view of series over time: lines by group, stretches and events on one axis, cells on their image, responses. */
import { Aligned } from './aligned.js';
import { busOf, type Bus } from './bus.js';
import { Chart } from './chart.js';
import { el, framed, grouped, onScheme, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { Rois } from './rois.js';
import { GUTTER_PX, MARGIN_PX, Span, timeText } from './span.js';
import { SpanList } from './span-list.js';
import type { State, View } from './state.js';
import { Strip } from './strip.js';
import { groupsOf, type Points, type Stretches, type TrackData, type TrackMeta, type TracesMeta } from './traces-meta.js';

const WAIT_MS = 60;
const MOST_PX = 4096;
const MOST_SWITCHES = 5;
const SHARED_AXIS = 'time (s)';

/** Show the series that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let traces: Traces | null = null;
  const start = async (): Promise<void> => {
    const meta = (await (await get('meta.json', { signal: end.signal })).json()) as TracesMeta;
    if (!end.signal.aborted) traces = new Traces(root, get, state, meta, end.signal);
  };
  start().catch((error: unknown) => {
    if (aborted(error)) return;
    root.append(el('p', { class: 'notice', role: 'status', text: `The traces cannot be shown: ${reason(error)}.` }));
  });
  return {
    destroy() {
      end.abort();
      traces?.destroy();
    },
  };
}

class Traces {
  readonly #root: HTMLElement;
  readonly #get: Get;
  readonly #state: State;
  readonly #meta: TracesMeta;
  readonly #bus: Bus;
  readonly #span: Span;
  readonly #element = el('div', { class: 'traces' });
  readonly #charts: Chart[] = [];
  readonly #plots = el('div', { class: 'plots', tabindex: 0, role: 'group', 'aria-label': 'Traces. Arrow keys move along time, plus and minus zoom, zero shows all' });
  readonly #strip: Strip;
  readonly #where = el('output', { class: 'where' });
  readonly #cursor = el('span', { class: 'cursor' });
  readonly #notice = el('p', { class: 'notice', role: 'status', hidden: true });
  readonly #rois: Rois | null;
  readonly #aligned: Aligned | null;
  readonly #list: SpanList;
  readonly #ends: (() => void)[] = [];
  readonly #groups: Map<string, TrackMeta[]>;
  #hidden: Set<string>;
  #picked: Set<string> | null;
  #chosen: number[];
  #data = new Map<string, TrackData>();
  #asked = new Map<string, string>();
  #ask: AbortController | null = null;
  #timer = 0;

  constructor(root: HTMLElement, get: Get, state: State, meta: TracesMeta, signal: AbortSignal) {
    this.#root = root;
    this.#get = get;
    this.#state = state;
    this.#meta = meta;
    this.#bus = busOf(root);
    this.#span = new Span([meta.from_s, meta.to_s], meta.longest_s, state, meta.axis === SHARED_AXIS ? this.#bus : null);
    this.#groups = groupsOf(meta.tracks);
    const names = new Set(meta.tracks.map(({ name }) => name));
    const told = state.get('tracks')?.split(',').filter((name) => names.has(name)) ?? null;
    this.#picked = told === null ? null : new Set(told);
    this.#hidden = new Set(state.get('hide')?.split(',') ?? []);
    this.#chosen = (state.get('rois')?.split(',').map(Number) ?? []).filter((id) => meta.rois?.ids.includes(id));
    const say = (_: number | null, text: string): void => void (this.#cursor.textContent = text);
    this.#strip = new Strip(meta.intervals, meta.events, this.#span, say);
    this.#list = new SpanList(meta.intervals, this.#span, get);
    this.#rois = meta.rois && new Rois(meta.rois, get, signal, (id) => this.#pick(id));
    const around = meta.intervals.length + meta.events.length > 0 && meta.tracks.length > 0 && meta.longest_s === null;
    this.#aligned = around ? new Aligned(meta.intervals, meta.events, get, state) : null;
    this.#charted(say);
    this.#build();
    this.#follow();
    this.#choose();
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#ask?.abort();
    for (const end of this.#ends) end();
    for (const chart of this.#charts) chart.destroy();
    this.#strip.destroy();
    this.#aligned?.destroy();
    this.#span.destroy();
  }

  // --- building ---------------------------------------------------------------------------------

  #charted(say: (time: number | null, text: string) => void): void {
    const sync = `time-${Math.random().toString(36).slice(2)}`;
    const last = [...this.#groups.keys()].at(-1);
    for (const group of this.#groups.keys()) this.#charts.push(new Chart(group, this.#span, group === last ? this.#meta.axis : null, sync, say));
  }

  #build(): void {
    const button = (text: string, title: string, onclick: () => void): HTMLElement => el('button', { type: 'button', title, text, 'aria-label': title, onclick });
    const tools = el('div', { class: 'tools', role: 'toolbar', 'aria-label': 'What is shown' },
      el('div', { class: 'group' },
        button('◀', 'Back (left arrow)', () => this.#span.pan(-0.5)),
        button('▶', 'On (right arrow)', () => this.#span.pan(0.5)),
        button('+', 'Zoom in (plus)', () => this.#span.zoom(2)),
        button('−', 'Zoom out (minus)', () => this.#span.zoom(0.5)),
        button('All', 'Show all (0)', () => this.#span.all())),
      el('div', { class: 'group' }, ...this.#switches()));
    this.#plots.append(this.#strip.element, ...this.#charts.map(({ element }) => element));
    const foot = el('div', { class: 'foot' }, this.#where, this.#cursor);
    const side = el('div', { class: 'beside' }, ...(this.#rois ? [this.#rois.element] : []), this.#list.element);
    const main = el('div', { class: 'time' }, tools, this.#notice, this.#plots, foot, ...(this.#aligned ? [this.#aligned.element] : []));
    this.#element.append(main, ...(this.#rois || !this.#list.element.hidden ? [side] : []));
    this.#ends.push(stage(this.#root, this.#element));
  }

  /** A switch for each group, and a list of its tracks where it has several. */
  #switches(): HTMLElement[] {
    const made: HTMLElement[] = [];
    for (const [group, tracks] of this.#groups) {
      const box = el('input', {
        type: 'checkbox', checked: !this.#hidden.has(group),
        onchange: () => {
          if (box.checked) this.#hidden.delete(group);
          else this.#hidden.add(group);
          this.#state.set('hide', [...this.#hidden].join() || null);
          this.#choose();
        },
      });
      if (this.#groups.size > 1) made.push(el('label', {}, box, ` ${group}`));
      if (tracks.length > 1) made.push(this.#menu(group, tracks));
    }
    if (this.#groups.size <= MOST_SWITCHES) return made;
    return [el('details', { class: 'pop' }, el('summary', { class: 'button', text: `${this.#groups.size} groups` }), el('div', { class: 'switches' }, ...made))];
  }

  #menu(group: string, tracks: readonly TrackMeta[]): HTMLElement {
    const list = el('div', { class: 'checks' });
    const menu = el('details', { class: 'pop' }, el('summary', { class: 'button', text: `${grouped(tracks.length)} tracks` }), el('div', { class: 'checks-box' }, list));
    menu.querySelector('summary')?.setAttribute('aria-label', `${grouped(tracks.length)} tracks of ${group}`);
    menu.addEventListener('toggle', (event) => {
      event.stopPropagation();
      if (!menu.open) return;
      // Made when it is looked at: a probe has hundreds.
      const shown = new Set(this.#shown(group).map(({ name }) => name));
      list.replaceChildren(...tracks.map((track) => {
        const box = el('input', { type: 'checkbox', checked: shown.has(track.name), onchange: () => this.#toggle(track.name, box.checked) });
        return el('label', {}, box, ` ${track.title}`);
      }));
    });
    menu.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') menu.open = false;
    });
    return menu;
  }

  #follow(): void {
    this.#span.on(() => {
      for (const chart of this.#charts) chart.follow();
      this.#moved();
      this.#later();
    });
    this.#moved();
    const keys = (event: KeyboardEvent): void => {
      if (event.target !== this.#plots) return;
      this.#strip.element.dispatchEvent(new KeyboardEvent('keydown', { key: event.key, cancelable: true }));
      if (/^(Arrow(Left|Right)|Page|Home|End|[-+=0]$)/.test(event.key) && !event.ctrlKey && !event.metaKey) event.preventDefault();
    };
    this.#plots.addEventListener('keydown', keys);
    let width = this.#plots.clientWidth;
    const watch = new ResizeObserver(framed(() => {
      if (this.#plots.clientWidth === width) return;
      width = this.#plots.clientWidth;
      this.#strip.draw();
      for (const chart of this.#charts) chart.resize();
      this.#later();
    }));
    watch.observe(this.#plots);
    this.#ends.push(
      () => watch.disconnect(),
      this.#bus.on('roi', ({ id }) => {
        if (this.#meta.rois?.ids.includes(Number(id)) && !this.#chosen.includes(Number(id))) this.#pick(Number(id));
      }),
      onScheme(() => {
        for (const chart of this.#charts) chart.recolour();
        this.#strip.draw();
        this.#aligned?.recolour();
      }));
  }

  // --- choosing ---------------------------------------------------------------------------------

  #shown(group: string): TrackMeta[] {
    const tracks = this.#groups.get(group) ?? [];
    const rois = this.#meta.rois;
    if (this.#chosen.length && rois && tracks.some(({ name }) => rois.tracks.includes(name))) {
      const wanted = this.#chosen.map((id) => rois.tracks[rois.ids.indexOf(id)]);
      // In the order they were chosen: so a trace has the colour of its cell.
      return wanted.map((name) => tracks.find((track) => track.name === name)).filter((track) => track !== undefined);
    }
    return tracks.filter(({ name, shown }) => this.#picked?.has(name) ?? shown);
  }

  #choose(): void {
    for (const [i, group] of [...this.#groups.keys()].entries())
      this.#charts[i]?.choose(this.#hidden.has(group) ? [] : this.#shown(group));
    this.#rois?.show(this.#chosen);
    const first = this.#charts.flatMap(({ tracks }) => tracks)[0];
    this.#aligned?.show(first ? { query: `track=${encodeURIComponent(first.name)}`, title: first.title } : null);
    void this.#load();
  }

  #pick(id: number): void {
    const rois = this.#meta.rois;
    if (!rois) return;
    if (!id) this.#chosen = [];
    else this.#chosen = this.#chosen.includes(id) ? this.#chosen.filter((other) => other !== id) : [...this.#chosen, id];
    this.#state.set('rois', this.#chosen.join() || null);
    this.#choose();
    if (this.#chosen.includes(id)) this.#bus.emit('roi', { id, tracks: [rois.tracks[rois.ids.indexOf(id)] ?? ''] });
  }

  #toggle(name: string, on: boolean): void {
    const all = this.#meta.tracks;
    const picked = this.#picked ?? new Set(all.filter(({ shown }) => shown).map((track) => track.name));
    for (const id of this.#chosen) picked.add(this.#meta.rois?.tracks[this.#meta.rois.ids.indexOf(id)] ?? '');
    if (on) picked.add(name);
    else picked.delete(name);
    this.#picked = picked;
    this.#chosen = [];
    this.#state.set('rois', null);
    this.#state.set('tracks', all.filter((track) => picked.has(track.name)).map((track) => track.name).join());
    this.#choose();
  }

  // --- data -------------------------------------------------------------------------------------

  #moved(): void {
    const { from, to, length } = this.#span;
    const unit = this.#meta.axis.match(/\((.*)\)/)?.[1] ?? '';
    this.#where.textContent = `${timeText(from, length)} to ${timeText(to, length)} ${unit}`;
    this.#strip.draw();
    this.#list.show();
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#load(), WAIT_MS) as unknown as number;
  }

  get #query(): string {
    const wide = Math.max(100, this.#plots.clientWidth - GUTTER_PX - MARGIN_PX) * Math.min(devicePixelRatio || 1, 2);
    return `from=${this.#span.from}&to=${this.#span.to}&px=${Math.min(MOST_PX, Math.round(wide))}`;
  }

  /** Ask for what the window shows and is not here yet; what was asked before is no longer wanted. */
  async #load(): Promise<void> {
    this.#ask?.abort();
    const ask = (this.#ask = new AbortController());
    const query = this.#query;
    const stretches = new Map<string, Stretches>();
    const points = new Map<string, Points>();
    const failed: string[] = [];
    const one = async (path: string, title: string, take: (answer: unknown) => void): Promise<void> => {
      if (this.#asked.get(path) === query) return;
      try {
        take(await (await this.#get(`${path}?${query}`, { signal: ask.signal })).json());
        this.#asked.set(path, query);
      } catch (error) {
        if (!aborted(error)) failed.push(`${title} (${reason(error)})`);
      }
    };
    const { intervals, events } = this.#meta;
    await Promise.all([
      ...intervals.map(({ name, title }) => one(`intervals/${name}.json`, title, (found) => stretches.set(name, found as Stretches))),
      ...events.map(({ name, title }) => one(`events/${name}.json`, title, (found) => points.set(name, found as Points))),
      ...this.#charts.flatMap(({ tracks }) => tracks).map(({ name, title }) =>
        one(`track/${name}.json`, title, (found) => this.#data.set(name, found as TrackData))),
    ]);
    if (ask.signal.aborted) return;
    this.#strip.show(stretches, points);
    const [first] = intervals;
    const bars = first ? stretches.get(first.name) ?? this.#bars : null;
    this.#bars = bars;
    for (const chart of this.#charts) chart.show(this.#data, bars);
    this.#notice.hidden = failed.length === 0;
    this.#notice.textContent = `Cannot be read: ${failed.slice(0, 4).join(', ')}.`;
    this.#element.dataset['query'] = query;
  }

  #bars: Stretches | null = null;
}
