/** Stretches of time as a list, trials above all: choosing one shows its time. */
import { choose, el, labelled } from './dom.js';
import { type Get } from './get.js';
import { timeText, type Span } from './span.js';
import type { NamedMeta, Stretches } from './traces-meta.js';

const MOST_ROWS = 2000;
const MOST_PX = 8192;

export class SpanList {
  readonly element = el('section', { class: 'spans', 'aria-label': 'Go to a time' });
  readonly #span: Span;
  readonly #get: Get;
  readonly #body = el('tbody');
  readonly #said = el('p', { class: 'said' });
  #found: Stretches | null = null;

  constructor(intervals: readonly NamedMeta[], span: Span, get: Get) {
    this.#span = span;
    this.#get = get;
    const first = intervals.find(({ name }) => name === 'trials') ?? intervals[0];
    this.element.hidden = first === undefined;
    if (!first) return;
    const list = choose(intervals.map(({ name, title }) => [name, title] as const), first.name, (name) => void this.#load(name));
    this.element.append(
      el('div', { class: 'group' }, el('h3', { text: 'Go to' }), labelled('', list)),
      el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Stretches of time' },
        el('table', {},
          el('thead', {}, el('tr', {}, ...['#', 'start (s)', 'length (s)', 'what'].map((text) => el('th', { scope: 'col', text })))), this.#body)),
      this.#said);
    list.setAttribute('aria-label', 'Which stretches of time');
    void this.#load(first.name);
  }

  /** Mark those that are on screen. */
  show(): void {
    const found = this.#found;
    if (!found) return;
    [...this.#body.rows].forEach((row, i) => {
      const [from, to] = [found.start[i] ?? 0, found.stop[i] ?? 0];
      row.classList.toggle('seen', from >= this.#span.from && to <= this.#span.to && !this.#span.isStart);
    });
  }

  async #load(name: string): Promise<void> {
    const [from, to] = this.#span.whole;
    try {
      const answer = await this.#get(`intervals/${name}.json?from=${from}&to=${to}&px=${MOST_PX}`, { priority: 'low' });
      this.#found = (await answer.json()) as Stretches;
    } catch {
      this.#said.textContent = 'They cannot be read.';
      return;
    }
    const { start, stop, label } = this.#found;
    this.#body.replaceChildren(...start.slice(0, MOST_ROWS).map((at, i) => {
      const end = stop[i] ?? at;
      const go = el('button', {
        type: 'button', class: 'link', text: String(i + 1), 'aria-label': `Show ${label[i] ?? ''} ${i + 1}`,
        onclick: () => this.#go(at, end),
      });
      const row = el('tr', {}, el('td', {}, go), el('td', { class: 'number', text: timeText(at, 100) }), el('td', { class: 'number', text: (end - at).toFixed(2) }), el('td', { text: label[i] ?? '' }));
      row.addEventListener('click', (event) => {
        if (event.target !== go) this.#go(at, end);
      });
      return row;
    }));
    this.#said.textContent = start.length > MOST_ROWS ? `The first ${MOST_ROWS.toLocaleString('en-US')} of ${start.length.toLocaleString('en-US')}.` : '';
    this.show();
  }

  #go(from: number, to: number): void {
    const around = Math.max(1, (to - from) / 2);
    this.#span.set(from - around, to + around);
  }
}
