/** The view of an ontology: a box to search in, and the tree. */
import { el, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { Ontology, type Structure } from './slices-meta.js';
import type { State, View } from './state.js';
import { StructureTree, swatch } from './structures.js';

/** Show the ontology that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let undo = (): void => {};
  get('meta.json', { signal: end.signal })
    .then((answer) => answer.json())
    .then((meta) => {
      if (!end.signal.aborted) undo = show(root, state, new Ontology((meta as { structures: Structure[] }).structures));
    })
    .catch((error: unknown) => {
      if (aborted(error)) return;
      root.prepend(el('p', { class: 'notice', role: 'status', text: `The structures cannot be shown: ${reason(error)}.` }));
    });
  return {
    destroy() {
      end.abort();
      undo();
    },
  };
}

function show(root: HTMLElement, state: State, ontology: Ontology): () => void {
  const facts = el('div', { class: 'here', role: 'status' });
  const choose = (one: Structure | null): void => {
    state.set('structure', one && String(one.id));
    tree.show(one);
    facts.replaceChildren(...(one ? told(one, ontology) : [el('p', { class: 'path', text: 'Choose a structure.' })]));
  };
  const tree = new StructureTree(ontology, choose);
  const view = el('div', { class: 'ontology' }, tree.element, facts);
  const undo = stage(root, view);
  const id = state.get('structure');
  choose(id === null ? null : ontology.find(Number(id)));
  return undo;
}

function told(one: Structure, ontology: Ontology): HTMLElement[] {
  const rows = [['id', String(one.id)], ['acronym', one.acronym], ['direct parts', String(ontology.parts(one).length)], ['all parts', String(ontology.members(one).size - 1)]];
  const list = el('dl', { class: 'facts' }, ...rows.map(([title = '', text = '']) => el('div', {}, el('dt', { text: title }), el('dd', { text }))));
  if (one.address) list.append(el('div', {}, el('dt', { text: 'address' }), el('dd', {}, el('a', { href: `/item/${one.address}`, text: one.address }))));
  return [
    el('p', { class: 'name' }, swatch(one), el('b', { text: one.name })),
    el('p', { class: 'path', text: ontology.above(one).map(({ acronym }) => acronym).join(' › ') }),
    list,
  ];
}
