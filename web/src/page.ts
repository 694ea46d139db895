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
    root.dataset['failed'] = '';
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

// How long what stands beside waits for the first picture of what the page is about.
const ASIDE_WAIT_MS = 1500;

/** Call `then` when the first picture of the stack is there, or now: both at once would keep each other waiting. */
function afterStack(root: HTMLElement, then: () => void): void {
  const stack = document.querySelector<HTMLElement>('.views .visual[data-kind="stack"]');
  if (!stack || !root.closest('aside')) return then();
  const done = (): void => {
    seen.disconnect();
    clearTimeout(timer);
    then();
  };
  const seen = new MutationObserver(() => {
    if (['first', 'whole', 'gap'].includes(stack.dataset['state'] ?? '')) done();
  });
  seen.observe(stack, { attributeFilter: ['data-state'] });
  const timer = setTimeout(done, ASIDE_WAIT_MS);
}

const visuals = [...document.querySelectorAll<HTMLElement>('section.visual[data-kind]')];
for (const root of visuals) {
  const { kind = '', base = '/' } = root.dataset;
  // Where a page has several of a kind, each has its own names in the address.
  const several = visuals.filter((other) => other.dataset['kind'] === kind).length > 1;
  const own = base.split('/').filter(Boolean).at(-1) ?? '';
  const prefix = several || root.closest('details.fold') ? `${own}.` : '';
  const alive = (): void => void bringAlive(root, kind, base, urlState(prefix));
  whenSeen(root, prefix, () => afterStack(root, alive));
}
for (const root of document.querySelectorAll<HTMLElement>('[data-module]'))
  void bringAlive(root, root.dataset['module'] ?? '', root.dataset['base'] ?? '/', urlState());
