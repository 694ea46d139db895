/** The units as a table: its order is that of the rows of the picture, and a row chooses its unit. */
import { el } from './dom.js';
import type { Units } from './raster-meta.js';

const MOST_ROWS = 3000;

export interface Doings {
  choose(unit: number): void;
  order(column: string, down: boolean): void;
}

export class UnitTable {
  readonly element = el('div', { class: 'units' });
  readonly #units: Units;
  readonly #does: Doings;
  readonly #head = el('tr');
  readonly #body = el('tbody');
  readonly #rows = new Map<number, HTMLTableRowElement>();
  readonly #scroll: HTMLElement;

  constructor(units: Units, does: Doings) {
    this.#units = units;
    this.#does = does;
    this.#scroll = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Units of the picture' }, el('table', {}, el('thead', {}, this.#head), this.#body));
    this.element.append(this.#scroll);
    this.#body.addEventListener('click', (event) => {
      const row = (event.target as HTMLElement).closest('tr');
      if (row) this.#does.choose(Number(row.dataset['unit']));
    });
    // Arrow keys go from unit to unit, as in a list.
    this.#scroll.addEventListener('keydown', (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const now = this.#body.querySelector('[aria-selected="true"]');
      if (!step || !now) return;
      const next = (step > 0 ? now.nextElementSibling : now.previousElementSibling) as HTMLElement | null;
      if (!next) return;
      event.preventDefault();
      this.#does.choose(Number(next.dataset['unit']));
    });
  }

  show(order: readonly number[], column: string, down: boolean, chosen: number | null): void {
    this.#head.replaceChildren(...this.#units.columns.map(({ name, numeric }) => {
      const on = name === column;
      const head = el('th', { scope: 'col', ...(numeric ? { class: 'number' } : {}), ...(on ? { 'aria-sort': down ? 'descending' : 'ascending' } : {}) },
        el('button', { type: 'button', text: `${name.replaceAll('_', ' ')}${on ? (down ? ' ↓' : ' ↑') : ''}`, onclick: () => this.#does.order(name, on && !down) }));
      return head;
    }));
    this.#body.replaceChildren(...order.slice(0, MOST_ROWS).map((unit) => this.#row(unit)));
    this.mark(chosen);
  }

  mark(chosen: number | null): void {
    for (const [unit, row] of this.#rows) {
      const on = unit === chosen;
      if (on) row.setAttribute('aria-selected', 'true');
      else row.removeAttribute('aria-selected');
      if (on && row.isConnected) this.#reveal(row);
    }
  }

  #row(unit: number): HTMLTableRowElement {
    let row = this.#rows.get(unit);
    if (!row) {
      row = el('tr', { 'data-unit': unit }, ...this.#units.columns.map(({ numeric, name }, i) => {
        const value = this.#units.rows[unit]?.[i] ?? '';
        const text = typeof value === 'number' && name !== 'id' ? Number(value.toPrecision(4)).toLocaleString('en-US', { maximumFractionDigits: 6 }) : String(value);
        return el('td', { text, ...(numeric ? { class: 'number' } : {}) });
      }));
      this.#rows.set(unit, row);
    }
    return row;
  }

  /** Scroll the list, never the page. */
  #reveal(row: HTMLElement): void {
    const box = this.#scroll;
    const top = row.offsetTop - 30;
    if (top < box.scrollTop || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = Math.max(0, top - box.clientHeight / 3);
  }
}
