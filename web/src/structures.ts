/** A box to search structures in, and their tree. */
import { el } from './dom.js';
import type { Ontology, Structure } from './slices-meta.js';

const MOST_FOUND = 60;

export class StructureTree {
  readonly element = el('div', { class: 'structures' });
  readonly #ontology: Ontology;
  readonly #choose: (structure: Structure | null) => void;
  readonly #input: HTMLInputElement;
  readonly #found = el('ul', { class: 'found', hidden: true });
  readonly #tree = el('ul', { class: 'tree' });
  readonly #told = el('p', { class: 'told', role: 'status' });
  readonly #rows = new Map<number, { item: HTMLElement; open: () => void }>();
  #chosen: Structure | null = null;

  constructor(ontology: Ontology, choose: (structure: Structure | null) => void) {
    this.#ontology = ontology;
    this.#choose = choose;
    this.#input = el('input', {
      type: 'search', placeholder: 'Acronym, name or id', 'aria-label': 'Search the structures', autocomplete: 'off',
      oninput: () => this.#search(),
    });
    this.#input.addEventListener('keydown', (event) => {
      const first = this.#found.querySelector('button');
      if (event.key === 'Enter') first?.click();
      else if (event.key === 'ArrowDown' && first) first.focus();
      else if (event.key === 'Escape' && !this.#input.value) this.#choose(null);
      else return;
      event.preventDefault();
    });
    this.#found.addEventListener('keydown', (event) => this.#walk(event));
    this.#tree.append(...ontology.parts(null).map((one) => this.#row(one)));
    const [root] = ontology.parts(null);
    if (root) this.#rows.get(root.id)?.open();
    this.element.append(this.#input, this.#told, this.#found, this.#tree);
  }

  /** Mark a structure in the tree, and what it is part of is opened; null for none. */
  show(structure: Structure | null): void {
    this.#mark(this.#chosen, false);
    this.#chosen = structure;
    if (!structure) return;
    for (const above of this.#ontology.above(structure)) this.#rows.get(above.id)?.open();
    this.#mark(structure, true);
    const item = this.#rows.get(structure.id)?.item;
    // Only the tree is scrolled: the page stays where it is.
    if (item) this.#tree.scrollTop = item.offsetTop - this.#tree.offsetTop - this.#tree.clientHeight / 3;
  }

  #mark(structure: Structure | null, on: boolean): void {
    const button = structure && this.#rows.get(structure.id)?.item.querySelector(':scope > .name');
    if (on) button?.setAttribute('aria-current', 'true');
    else button?.removeAttribute('aria-current');
  }

  #row(one: Structure): HTMLElement {
    const parts = this.#ontology.parts(one);
    const item = el('li');
    let inner: HTMLElement | null = null;
    const toggle = (open: boolean): void => {
      if (open && !inner) item.append((inner = el('ul', {}, ...parts.map((part) => this.#row(part)))));
      if (inner) inner.hidden = !open;
      fold.setAttribute('aria-expanded', String(open));
    };
    const fold = el('button', {
      type: 'button', class: 'fold', 'aria-expanded': 'false', 'aria-label': `Parts of ${one.name}`,
      onclick: () => toggle(fold.getAttribute('aria-expanded') !== 'true'),
    });
    item.append(parts.length ? fold : el('span', { class: 'fold' }), this.#name(one));
    this.#rows.set(one.id, { item, open: () => parts.length && toggle(true) });
    return item;
  }

  #name(one: Structure): HTMLElement {
    return el('button', {
      type: 'button', class: 'name', title: `${one.name} (${one.id})`,
      onclick: () => this.#choose(one === this.#chosen ? null : one),
    }, swatch(one), el('b', { text: one.acronym || String(one.id) }), el('span', { text: one.name }));
  }

  #search(): void {
    const text = this.#input.value.trim();
    const found = this.#ontology.search(text, MOST_FOUND + 1);
    const more = found.length > MOST_FOUND;
    this.#found.replaceChildren(...found.slice(0, MOST_FOUND).map((one) => el('li', {}, this.#name(one))));
    this.#found.hidden = !text;
    this.#tree.hidden = Boolean(text);
    this.#told.textContent = !text ? '' : more ? `more than ${MOST_FOUND} structures` : `${found.length} structure${found.length === 1 ? '' : 's'}`;
  }

  #walk(event: KeyboardEvent): void {
    const all = [...this.#found.querySelectorAll('button')];
    const at = all.indexOf(document.activeElement as HTMLButtonElement);
    if (event.key === 'ArrowDown') all[at + 1]?.focus();
    else if (event.key === 'ArrowUp') (all[at - 1] ?? this.#input).focus();
    else return;
    event.preventDefault();
  }
}

/** A dot in a structure's colour. */
export function swatch({ rgb }: Structure): HTMLElement {
  const dot = el('i', { class: 'swatch', 'aria-hidden': 'true' });
  dot.style.background = `rgb(${rgb.join(' ')})`;
  return dot;
}
