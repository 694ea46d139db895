/** Makes a served page live: each `section.visual` gets the view of its kind, loaded when it is there. */
import { el } from './dom.js';
import { over, reason, type Get } from './get.js';
import { urlState, type State, type View } from './state.js';

interface Module {
  mount(root: HTMLElement, get: Get, state: State): View;
}

/** `data-kind` (a view of `data-base`) or `data-module` (a part of the page itself) names the file to load. */
async function bringAlive(root: HTMLElement, name: string, base: string, state: State): Promise<void> {
  if (!/^[a-z]+$/.test(name)) return;
  try {
    const module = (await import(new URL(`./${name}.js`, import.meta.url).href)) as Module;
    module.mount(root, over(base), state);
    root.dataset['live'] = '';
  } catch (error) {
    // What the server wrote stays and can be read.
    root.append(el('p', { class: 'notice', role: 'status', text: `The live view did not start: ${reason(error)}.` }));
  }
}

/** Call `then` once what is folded around `root` is open: now where nothing is. */
function whenSeen(root: HTMLElement, prefix: string, then: () => void): void {
  const fold = root.closest<HTMLDetailsElement>('details.fold');
  if (!fold) return then();
  // What the address says of a view that is folded is why somebody comes.
  if (prefix && [...new URLSearchParams(location.search).keys()].some((name) => name.startsWith(prefix))) fold.open = true;
  if (fold.open) return then();
  fold.addEventListener('toggle', then, { once: true });
}

const visuals = [...document.querySelectorAll<HTMLElement>('section.visual[data-kind]')];
for (const root of visuals) {
  const { kind = '', base = '/' } = root.dataset;
  // Where a page has several of a kind, each has its own names in the address.
  const several = visuals.filter((other) => other.dataset['kind'] === kind).length > 1;
  const own = base.split('/').filter(Boolean).at(-1) ?? '';
  const prefix = several || root.closest('details.fold') ? `${own}.` : '';
  whenSeen(root, prefix, () => void bringAlive(root, kind, base, urlState(prefix)));
}
for (const root of document.querySelectorAll<HTMLElement>('[data-module]'))
  void bringAlive(root, root.dataset['module'] ?? '', root.dataset['base'] ?? '/', urlState());
