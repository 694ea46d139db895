/** What is being fetched and verified: live, with buttons that ask for more without leaving the page. */
import { el, grouped } from './dom.js';
import { listen, post, reason, token, type Get } from './get.js';
import type { State, View } from './state.js';

interface Problem {
  path: string;
  what: string;
  hint: string;
}

interface Job {
  id: string;
  address: string;
  kind: string;
  state: string;
  files_done: number;
  files: number;
  bytes_done: number;
  bytes: number;
  rate: number;
  message: string;
  errors: Problem[];
  plan: string;
  actions: string[];
}

const BUSY = new Set(['planning', 'fetching', 'verifying', 'repairing', 'pausing']);
const WORDS: Record<string, string> = { asks: 'needs a yes' };
const OVER = new Set(['done', 'incomplete', 'failed', 'cancelled', 'paused', 'asks']);
const SHOWN = 5;
const LOOK_MS = 5000;
// A screen reader is told of a quarter of the files, not of each.
const QUARTERS = 4;

export function bytesText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let n = bytes;
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit && n < 99.5 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/** Keep the list of jobs in `root` as the server tells it. */
export function mount(root: HTMLElement, get: Get, _state: State): View {
  const list = new List(root);
  let events: EventSource | null = null;
  // Browsers open six connections to a server in all: one is taken only while something happens.
  const follow = (): void => {
    if (!list.busy) {
      events?.close();
      events = null;
    }
    if (events || !list.busy) return;
    const now = (events = listen('/events'));
    now.addEventListener('job', (event) => list.show(JSON.parse((event as MessageEvent<string>).data) as Job));
    now.addEventListener('error', () => root.toggleAttribute('data-lost', now.readyState !== EventSource.OPEN));
    now.addEventListener('open', () => root.removeAttribute('data-lost'));
  };
  list.onchange = follow;
  const look = (): void => {
    if (events || document.hidden) return;
    get('jobs.json')
      .then((answer) => answer.json())
      .then((told) => (told as { jobs: Job[] }).jobs.reverse().forEach((job) => list.show(job)))
      .then(() => root.removeAttribute('data-lost'))
      .catch(() => root.setAttribute('data-lost', ''));
  };
  // What a browser kept of the page may be old, and jobs begin on other pages too.
  look();
  const looking = setInterval(look, LOOK_MS);
  const submit = (event: SubmitEvent): void => list.submitted(event);
  document.addEventListener('submit', submit);
  const leave = (): void => events?.close();
  addEventListener('pagehide', leave);
  return {
    destroy() {
      clearInterval(looking);
      events?.close();
      document.removeEventListener('submit', submit);
      removeEventListener('pagehide', leave);
    },
  };
}

class List {
  readonly #root: HTMLElement;
  readonly #list: HTMLElement;
  readonly #live: HTMLElement;
  readonly #only: string;
  readonly #told = new Map<string, string>();
  readonly #shown = new Map<string, string>();
  readonly #states = new Map<string, string>();
  onchange = (): void => {};

  constructor(root: HTMLElement) {
    this.#root = root;
    this.#list = root.querySelector('ul') ?? root.appendChild(el('ul', { 'aria-label': 'Jobs' }));
    this.#live = root.querySelector('.spoken') ?? root.appendChild(el('p', { class: 'spoken', role: 'status' }));
    this.#only = root.dataset['only'] ?? '';
  }

  /** Whether something is going on that is worth a connection. */
  get busy(): boolean {
    return [...this.#states.values()].some((state) => !OVER.has(state));
  }

  say(text: string): void {
    this.#live.textContent = text;
  }

  /** A form of the page was sent: its job begins here, and the page stays. */
  submitted(event: SubmitEvent): void {
    const form = event.target as HTMLFormElement;
    if (!form.hasAttribute('data-starts') || event.submitter?.hasAttribute('data-leaves')) return;
    event.preventDefault();
    const { token: _, back: __, ...values } = Object.fromEntries(new FormData(form)) as Record<string, string>;
    form.querySelector('.wrong')?.remove();
    post<Job>(form.action, values)
      .then((job) => {
        this.show(job);
        this.#item(job.id)?.scrollIntoView({ block: 'nearest' });
      })
      .catch((error: unknown) =>
        form.append(el('p', { class: 'notice wrong', role: 'alert', text: reason(error) })));
  }

  show(job: Job): void {
    if (this.#only && job.address.split('?')[0] !== this.#only) return;
    this.#states.set(job.id, job.state);
    this.onchange();
    const told = JSON.stringify(job);
    if (this.#shown.get(job.id) === told) return;
    this.#shown.set(job.id, told);
    const old = this.#item(job.id);
    const focus = old?.contains(document.activeElement) ? document.activeElement?.getAttribute('data-action') : null;
    const made = this.#made(job);
    if (old) old.replaceWith(made);
    else this.#list.prepend(made);
    if (focus) (made.querySelector<HTMLElement>(`[data-action="${focus}"]`) ?? made.querySelector('button'))?.focus();
    while (this.#only && this.#list.children.length > 1) this.#list.lastElementChild?.remove();
    if (this.#root.dataset['back'] === '/')
      while (this.#list.children.length > SHOWN) this.#list.lastElementChild?.remove();
    this.#root.closest('[data-idle]')?.removeAttribute('data-idle');
    this.#announce(job);
  }

  #item(id: string): HTMLElement | null {
    return [...this.#list.children].find((one) => (one as HTMLElement).dataset['job'] === id) as HTMLElement ?? null;
  }

  #announce(job: Job): void {
    const quarter = job.files && job.state === 'fetching' ? Math.floor((QUARTERS * job.files_done) / job.files) : 0;
    const key = `${job.state} ${quarter}`;
    if (this.#told.get(job.id) === key) return;
    this.#told.set(job.id, key);
    const part = quarter ? `, ${grouped(job.files_done)} of ${grouped(job.files)} files` : '';
    this.say(`${job.address}: ${WORDS[job.state] ?? job.state}${part}`);
  }

  #made(job: Job): HTMLElement {
    const kind = job.kind === 'fetch' ? '' : `${job.kind} `;
    const made = el('li', { class: 'job', 'data-job': job.id, 'data-state': job.state },
      el('div', { class: 'head' },
        el('a', { href: `/item/${encodeURI(job.address).replaceAll('?', '%3F').replaceAll('#', '%23')}`, text: job.address }), ' ',
        el('span', { class: 'tag state', text: kind + (WORDS[job.state] ?? job.state) })));
    if (BUSY.has(job.state)) made.append(this.#bar(job));
    made.append(el('p', { class: 'counts', text: counts(job) }));
    if (job.message) made.append(el('p', { class: 'message', text: job.message }));
    if (job.plan) made.append(el('pre', { class: 'plan', tabindex: 0, text: job.plan }));
    if (job.errors.length) made.append(el('ul', { class: 'errors' }, ...job.errors.map(problem)));
    const actions = token() ? job.actions.map((action) => this.#button(job, action)) : [];
    if (job.state === 'done' && job.kind === 'fetch' && this.#only)
      actions.unshift(el('a', { class: 'button primary', href: location.pathname, text: 'Show it' }));
    if (actions.length) made.append(el('div', { class: 'actions' }, ...actions));
    return made;
  }

  #bar(job: Job): HTMLElement {
    const known = job.files > 0 && job.state !== 'verifying';
    return el('progress', {
      'aria-label': `Progress of ${job.address}`,
      ...(known ? { max: job.files, value: job.files_done } : {}),
    });
  }

  #button(job: Job, action: string): HTMLElement {
    const button: HTMLButtonElement = el('button', {
      type: 'button',
      class: action === 'confirm' ? 'button primary' : 'button',
      'data-action': action,
      'aria-label': `${action} ${job.address}`,
      text: action === 'confirm' ? 'fetch it' : action,
      onclick: () => {
        button.disabled = true;
        post<Job>(`/jobs/${job.id}/${action}`, {})
          .then((now) => this.show(now))
          .catch((error: unknown) => {
            button.disabled = false;
            this.say(reason(error));
          });
      },
    });
    return button;
  }
}

function counts(job: Job): string {
  const parts = [];
  if (job.files) {
    const of = job.files === job.files_done ? '' : ` of ${grouped(job.files)}`;
    parts.push(`${grouped(job.files_done)}${of} ${job.files === 1 ? 'file' : 'files'}`);
  }
  if (job.bytes_done) parts.push(bytesText(job.bytes_done) + (job.bytes ? ` of about ${bytesText(job.bytes)}` : ''));
  if (job.rate) parts.push(`${bytesText(job.rate)}/s`);
  return parts.join(', ');
}

function problem({ path, what, hint }: Problem): HTMLElement {
  const made = el('li', {});
  if (path) made.append(el('code', { text: path }), ' ');
  made.append(what);
  if (hint) made.append(el('br'), el('small', {}, 'try: ', el('code', { text: hint })));
  return made;
}
