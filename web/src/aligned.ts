/** Responses to events: a signal, or the spikes of a unit, around each of them and on the mean. Times in s. */
import uPlot from 'uplot';
import { choose, clamp, el, framed, labelled } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { numbers, type State } from './state.js';
import { colour, GRAY, type NamedMeta, type Stretches } from './traces-meta.js';

interface Found {
  t: number[];
  mean: (number | null)[];
  sem?: (number | null)[];
  trials?: (number | null)[][];
  spikes?: number[];
  event?: number[];
  at: number[];
  n: number;
  unit: string;
  title: string;
}

/** What responds: a track or a unit, as the query names it. */
export interface Subject {
  query: string;
  title: string;
}

const HEIGHT_PX = 230;
const START: readonly [number, number] = [1, 2];

export class Aligned {
  readonly element = el('section', { class: 'aligned' });
  readonly #get: Get;
  readonly #state: State;
  readonly #place = el('div', { class: 'chart' });
  readonly #said = el('p', { class: 'said', role: 'status' });
  readonly #labels: HTMLSelectElement;
  readonly #title = el('h3', { text: 'Responses' });
  readonly #watch: ResizeObserver;
  readonly #intervals: ReadonlySet<string>;
  readonly #first: string;
  #events: string;
  #label: string;
  #around: [number, number];
  #subject: Subject | null = null;
  #ask: AbortController | null = null;
  #found: Found | null = null;
  #plot: uPlot | null = null;

  constructor(intervals: readonly NamedMeta[], events: readonly NamedMeta[], get: Get, state: State) {
    this.#get = get;
    this.#state = state;
    this.#intervals = new Set(intervals.map(({ name }) => name));
    // What was changed, then what was earned, says more than each presentation.
    const all = [...intervals, ...events];
    const first = all.find(({ name }) => name === 'changes') ?? events.find(({ name }) => name === 'rewards') ?? all[0];
    const told = state.get('align');
    this.#events = all.some(({ name }) => name === told) ? told ?? '' : first?.name ?? '';
    this.#label = state.get('label') ?? '';
    const [before = START[0], after = START[1]] = numbers(state.get('around'), 2)?.map((n) => clamp(n, 0, 600)) ?? [];
    this.#around = [before, after];
    this.#first = first?.name ?? '';
    const list = choose(all.map(({ name, title }) => [name, title] as const), this.#events, (name) => {
      this.#events = name;
      this.#label = '';
      void this.#ready();
    });
    this.#labels = choose([['', 'all']], '', (label) => {
      this.#label = label;
      void this.#load();
    });
    const number = (which: 0 | 1, text: string): HTMLElement => {
      const input: HTMLInputElement = el('input', {
        type: 'number', min: 0, max: 600, step: 0.5, value: this.#around[which], 'aria-label': `Seconds ${text}`,
        onchange: () => {
          this.#around[which] = Math.max(0, input.valueAsNumber || 0);
          void this.#load();
        },
      });
      return labelled(text, input);
    };
    this.element.append(
      this.#title,
      el('div', { class: 'group' }, labelled('Around', list), labelled('of', this.#labels), number(0, 'before (s)'), number(1, 'after (s)')),
      this.#place, this.#said);
    this.#watch = new ResizeObserver(framed(() => this.#draw()));
    this.#watch.observe(this.#place);
    void this.#ready();
  }

  /** Show the responses of another one. */
  show(subject: Subject | null): void {
    if (subject?.query === this.#subject?.query) return;
    this.#subject = subject;
    void this.#load();
  }

  recolour(): void {
    this.#draw();
  }

  destroy(): void {
    this.#ask?.abort();
    this.#watch.disconnect();
    this.#plot?.destroy();
  }

  /** Which labels the events have, then the responses. */
  async #ready(): Promise<void> {
    const labels: string[] = [];
    if (this.#intervals.has(this.#events)) {
      try {
        const found = (await (await this.#get(`intervals/${this.#events}.json?px=1`)).json()) as Stretches;
        labels.push(...found.labels);
      } catch {
        // Without labels, all of them are meant.
      }
    }
    this.#labels.replaceChildren(...['', ...labels].map((label) => el('option', { value: label, text: label || 'all', selected: label === this.#label })));
    (this.#labels.parentElement as HTMLElement).hidden = labels.length < 2;
    if (!labels.includes(this.#label)) this.#label = '';
    await this.#load();
  }

  async #load(): Promise<void> {
    this.#ask?.abort();
    const subject = this.#subject;
    this.#title.textContent = subject ? `Responses of ${subject.title}` : 'Responses';
    if (!subject || !this.#events) return;
    this.#state.set('align', this.#events === this.#first ? null : this.#events);
    this.#state.set('label', this.#label || null);
    this.#state.set('around', this.#around.join() === START.join() ? null : this.#around.join());
    const [before, after] = this.#around;
    const ask = (this.#ask = new AbortController());
    const query = `${subject.query}&events=${encodeURIComponent(this.#events)}&label=${encodeURIComponent(this.#label)}&before=${before}&after=${after}`;
    try {
      this.#found = (await (await this.#get(`aligned.json?${query}`, { signal: ask.signal })).json()) as Found;
      this.#said.textContent = this.#found.n ? `Mean of ${this.#found.n.toLocaleString('en-US')} events${this.#found.sem ? ' with its standard error; thin lines are single ones' : ''}.` : 'There are no such events.';
      this.#draw();
      this.element.dataset['events'] = String(this.#found.n);
    } catch (error) {
      if (aborted(error)) return;
      this.#found = null;
      this.#said.textContent = `No responses: ${reason(error)}.`;
      this.#draw();
    }
  }

  #draw(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const found = this.#found;
    const width = this.#place.clientWidth;
    if (!found?.n || found.mean.length === 0 || width < 120) return;
    const style = getComputedStyle(this.element);
    const ink = style.getPropertyValue('--dim').trim();
    const grid = style.getPropertyValue('--line').trim();
    const font = '12px system-ui, "Liberation Sans", sans-serif';
    const { mean, sem = [], trials = [] } = found;
    const shifted = (sign: number): (number | null)[] => mean.map((value, i) => (value === null ? null : value + sign * (sem[i] ?? 0)));
    const band = sem.length > 0;
    const thin = Math.max(0.1, Math.min(0.5, 8 / Math.max(1, trials.length)));
    const faint = `${GRAY}${Math.round(thin * 255).toString(16).padStart(2, '0')}`;
    const series: uPlot.Series[] = [
      {},
      ...trials.map((): uPlot.Series => ({ stroke: faint, width: 1, points: { show: false } })),
      ...(band ? [{ stroke: 'transparent', points: { show: false } }, { stroke: 'transparent', points: { show: false } }] : []),
      { stroke: colour(0), width: 2.5, points: { show: false }, ...(found.spikes ? { paths: uPlot.paths.stepped?.({ align: 0 as 1 }) ?? null } : {}) } as uPlot.Series,
    ];
    const data = [found.t, ...trials, ...(band ? [shifted(1), shifted(-1)] : []), mean];
    const dots = found.spikes ? this.#dots(found, ink) : () => undefined;
    this.#plot = new uPlot({
      width, height: HEIGHT_PX, legend: { show: false }, padding: [10, 12, 0, 0],
      cursor: { points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [-this.#around[0], this.#around[1]] }, ...(found.spikes ? { y: { range: (_: uPlot, low: number, high: number): [number, number] => [Math.min(0, low), Math.max(high * 2, 1)] } } : {}) },
      series,
      ...(band ? { bands: [{ series: [trials.length + 1, trials.length + 2] as [number, number], fill: `${colour(0)}55` }] } : {}),
      axes: [
        { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid }, size: 40, label: 'time after the event (s)', labelFont: font, labelSize: 16, labelGap: 0, gap: 3 },
        { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false }, size: 64, label: found.unit, labelFont: font, labelSize: 18, labelGap: 0 },
      ],
      hooks: { draw: [(plot) => zero(plot, ink), dots] },
    }, data as unknown as uPlot.AlignedData, this.#place);
  }

  /** The single spikes above the rate: one row for each event. */
  #dots(found: Found, ink: string): (plot: uPlot) => void {
    return (plot) => {
      const { ctx } = plot;
      const { top, height } = plot.bbox;
      const rows = Math.max(1, found.at.length);
      const tall = Math.max(1, (height * 0.48) / rows);
      ctx.save();
      ctx.fillStyle = ink;
      found.spikes?.forEach((time, i) => {
        const x = plot.valToPos(time, 'x', true);
        ctx.fillRect(x - 0.5, top + (found.event?.[i] ?? 0) * tall, Math.max(1, uPlot.pxRatio), Math.max(1, tall * 0.85));
      });
      ctx.restore();
    };
  }
}

function zero(plot: uPlot, ink: string): void {
  const { ctx } = plot;
  const x = Math.round(plot.valToPos(0, 'x', true));
  ctx.save();
  ctx.strokeStyle = ink;
  ctx.setLineDash([4 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
  ctx.beginPath();
  ctx.moveTo(x, plot.bbox.top);
  ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
  ctx.stroke();
  ctx.restore();
}
