/** A table: sorted, filtered and turned over on the server, so that a million rows cost what fifty do. */
import { busOf, type Bus } from './bus.js';
import { el, grouped, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import type { State, View } from './state.js';

interface Column {
  name: string;
  field: string;
  numeric: boolean;
  unit?: string;
}

interface Page {
  columns: Column[];
  rows: string[][];
  links: (string | null)[];
  total: number;
  all: number;
  offset: number;
}

const PAGE = 50;
const TYPED_MS = 200;
// So few rows need neither a search nor pages.
const FEW = 8;
const TIMES = '[data-kind="traces"], [data-kind="raster"]';
const STARTS = ['start_time', 'timestamps'];
const STOPS = ['stop_time', 'end_time'];
const AROUND_S = 1;
const SIGNS: Record<string, string> = { '<': '__lt', '<=': '__le', '>': '__gt', '>=': '__ge', '!=': '__ne', '=': '' };

/** What is typed into the filter of a column, as filters of the server: `>5`, `2..7`, `=Vip`, part of a text. */
export function filtersOf({ field, numeric }: Column, text: string): [string, string][] {
  const typed = text.trim();
  if (!typed) return [];
  const [, sign = '', rest = ''] = /^(<=|>=|!=|=|<|>)?\s*(.*)$/s.exec(typed) ?? [];
  if (sign) return rest ? [[field + SIGNS[sign], rest]] : [];
  const span = numeric ? /^(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)$/.exec(typed) : null;
  if (span) return [[`${field}__ge`, span[1] ?? ''], [`${field}__le`, span[2] ?? '']];
  return numeric && Number.isFinite(Number(typed)) ? [[field, typed]] : [[`${field}__ilike`, `*${typed}*`]];
}

/** Show the table that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const table = new Table(root, get, state);
  return { destroy: () => table.destroy() };
}

class Table {
  readonly #root: HTMLElement;
  readonly #bus: Bus;
  readonly #get: Get;
  readonly #state: State;
  readonly #leave: () => void;
  readonly #linked: boolean;
  readonly #frame = el('div', { class: 'rows' });
  readonly #head = el('thead');
  readonly #body = el('tbody');
  readonly #count = el('span', { class: 'dim', role: 'status', 'aria-live': 'polite' });
  readonly #wrong = el('p', { class: 'notice', role: 'status', hidden: true });
  readonly #search: HTMLInputElement;
  readonly #before: HTMLButtonElement;
  readonly #after: HTMLButtonElement;
  #columns: Column[] = [];
  #under = new AbortController();
  #timer = 0;

  constructor(root: HTMLElement, get: Get, state: State) {
    this.#root = root;
    this.#bus = busOf(root);
    this.#get = get;
    this.#state = state;
    // Beside a page of ours, addresses are pages; in a notebook they are not.
    this.#linked = root.dataset['base'] !== undefined;
    const title = root.dataset['title'] ?? 'Rows';
    this.#search = el('input', {
      type: 'search', placeholder: 'Search all columns', 'aria-label': `Search ${title}`, value: state.get('q') ?? '',
      oninput: () => this.#typed('q', this.#search.value),
    });
    this.#before = el('button', { type: 'button', class: 'button', text: 'Previous', onclick: () => this.#turn(-1) });
    this.#after = el('button', { type: 'button', class: 'button', text: 'Next', onclick: () => this.#turn(1) });
    const clear = el('button', { type: 'button', class: 'button', text: 'Clear', title: 'Show all rows', onclick: () => this.#clear() });
    this.#frame.append(
      el('div', { class: 'group', role: 'group', 'aria-label': `${title}: search and pages` },
        this.#search, clear, this.#count, this.#before, this.#after),
      this.#wrong,
      el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `${title}: rows` },
        el('table', {}, this.#head, this.#body)));
    this.#leave = stage(root, this.#frame);
    void this.#load();
  }

  destroy(): void {
    this.#under.abort();
    clearTimeout(this.#timer);
    this.#leave();
  }

  get #offset(): number {
    return Math.max(0, Math.floor(Number(this.#state.get('offset')) || 0));
  }

  #query(): string {
    const query = new URLSearchParams({ offset: String(this.#offset), limit: String(PAGE) });
    for (const name of ['q', 'sort', 'desc']) {
      const value = this.#state.get(name);
      if (value) query.set(name, value);
    }
    for (const column of this.#columns)
      for (const [name, value] of filtersOf(column, this.#state.get(`f.${column.field}`) ?? '')) query.set(name, value);
    return query.toString();
  }

  async #load(): Promise<void> {
    this.#under.abort();
    this.#under = new AbortController();
    const { signal } = this.#under;
    try {
      if (!this.#columns.length) {
        // Filters in the page's address need the columns, which say what is a number.
        this.#columns = ((await (await this.#get('rows.json?limit=1', { signal })).json()) as Page).columns;
        this.#drawHead();
      }
      const page = (await (await this.#get(`rows.json?${this.#query()}`, { signal })).json()) as Page;
      if (!signal.aborted) this.#draw(page);
    } catch (error) {
      if (aborted(error)) return;
      this.#wrong.hidden = false;
      this.#wrong.textContent = `These rows cannot be shown: ${reason(error)}. A number is compared with a number: >5, 2..7.`;
    }
  }

  #drawHead(): void {
    const titles = this.#columns.map((column) => {
      const unit = column.unit && !column.name.includes(column.unit) ? ` (${column.unit})` : '';
      return el('th', { scope: 'col', class: column.numeric ? 'number' : '', 'data-field': column.field },
        el('button', { type: 'button', class: 'sort', text: column.name + unit, onclick: () => this.#sort(column.field) }));
    });
    const filters = this.#columns.map((column) => {
      const box: HTMLInputElement = el('input', {
        'aria-label': `Filter ${column.name}`,
        placeholder: column.numeric ? '>5, 2..7' : 'part of it',
        value: this.#state.get(`f.${column.field}`) ?? '',
        spellcheck: 'false',
        oninput: () => this.#typed(`f.${column.field}`, box.value),
      });
      return el('td', {}, box);
    });
    this.#head.replaceChildren(el('tr', {}, ...titles), el('tr', { class: 'filter' }, ...filters));
  }

  #draw(page: Page): void {
    this.#wrong.hidden = true;
    this.#frame.classList.toggle('few', page.all <= FEW && page.total === page.all);
    const [sort, desc] = [this.#state.get('sort'), this.#state.get('desc')];
    for (const title of this.#head.querySelectorAll<HTMLElement>('th')) {
      if (title.dataset['field'] === sort) title.setAttribute('aria-sort', desc ? 'descending' : 'ascending');
      else title.removeAttribute('aria-sort');
    }
    this.#body.replaceChildren(...page.rows.map((row, n) => this.#row(row, page.links[n] ?? null)));
    const last = page.offset + page.rows.length;
    const of = page.total === page.all ? grouped(page.total) : `${grouped(page.total)} (${grouped(page.all)} in all)`;
    this.#count.textContent = page.rows.length ? `${grouped(page.offset + 1)} to ${grouped(last)} of ${of} rows` : `no row of ${grouped(page.all)} matches`;
    this.#before.disabled = page.offset === 0;
    this.#after.disabled = last >= page.total;
  }

  #row(cells: string[], link: string | null): HTMLElement {
    const time = this.#time(cells);
    return el('tr', {}, ...cells.map((text, n) => {
      const cell = el('td', { class: this.#columns[n]?.numeric ? 'number' : '' });
      if (n === 0 && link && this.#linked) cell.append(el('a', { href: link, text: text || '(no name)' }));
      else if (time && STARTS.includes(this.#columns[n]?.name ?? ''))
        cell.append(el('button', { type: 'button', class: 'link', text, title: 'Show this time above', 'aria-label': `Show the time ${text} s`, onclick: time }));
      else cell.textContent = text;
      return cell;
    }));
  }

  /** What shows the time of a row, where a view beside this one has an axis of time. */
  #time(cells: string[]): (() => void) | null {
    const near = this.#root.closest('[data-bus]') ?? this.#root.ownerDocument;
    const view = near.querySelector(TIMES);
    const value = (names: readonly string[]): number => {
      const text = cells[this.#columns.findIndex(({ name, numeric }) => numeric && names.includes(name))];
      return text ? Number(text) : NaN;
    };
    const start = value(STARTS);
    if (!view || !Number.isFinite(start)) return null;
    return () => {
      const stop = value(STOPS);
      const length = stop > start ? stop - start : 0;
      const around = Math.max(AROUND_S, length / 2);
      this.#bus.emit('span', { from_s: start - around, to_s: start + length + around });
      view.scrollIntoView({ block: 'nearest' });
    };
  }

  #typed(name: string, value: string): void {
    this.#state.set(name, value || null);
    this.#state.set('offset', null);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#load(), TYPED_MS) as unknown as number;
  }

  /** Ascending, descending, as it came. */
  #sort(field: string): void {
    const now = this.#state.get('sort') === field;
    const desc = this.#state.get('desc') !== null;
    this.#state.set('sort', now && desc ? null : field);
    this.#state.set('desc', now && !desc ? '1' : null);
    this.#state.set('offset', null);
    void this.#load();
  }

  #turn(by: number): void {
    const offset = Math.max(0, this.#offset + by * PAGE);
    this.#state.set('offset', offset ? String(offset) : null);
    void this.#load();
  }

  #clear(): void {
    for (const name of ['q', 'sort', 'desc', 'offset', ...this.#columns.map(({ field }) => `f.${field}`)])
      this.#state.set(name, null);
    this.#search.value = '';
    this.#drawHead();
    void this.#load();
  }
}
