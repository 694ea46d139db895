/** A stack that is still being fetched or prepared: what has come since is asked for until it is whole. */
import type { Get } from './get.js';
import { fetched, readMeta, type Focus, type StackMeta } from './stack-meta.js';

const POLL_MS = 3000;

export interface Heard {
  /** More planes are here. */
  meta(meta: StackMeta): void;
  focus(focus: Focus): void;
}

/** Tell `heard` of the first answers about focus and of all that change; returns what ends it. */
export function follow(get: Get, meta: StackMeta, first: Promise<Focus | null>, heard: Heard): () => void {
  const end = new AbortController();
  const { signal } = end;
  let timer = 0;
  let last = meta;
  let prepared = true;
  const hear = (focus: Focus | null): void => {
    if (signal.aborted) return;
    prepared = focus?.complete ?? true;
    if (focus) heard.focus(focus);
  };
  const look = async (): Promise<void> => {
    let more = false;
    if (!last.complete) {
      const next = readMeta(await (await get('meta.json', { signal })).json());
      more = fetched(next) !== fetched(last) && next.planes.length === last.planes.length;
      last = next;
      if (more && !signal.aborted) heard.meta(next);
    }
    if (more || !prepared) hear((await (await get('focus.json', { signal })).json()) as Focus);
  };
  const later = (): void => {
    if (signal.aborted || (last.complete && prepared)) return;
    timer = setTimeout(() => {
      // What fails is asked for again; a page in the background can wait.
      void (document.hidden ? Promise.resolve() : look()).catch(() => {}).then(later);
    }, POLL_MS) as unknown as number;
  };
  void first.then(hear).then(later);
  return () => {
    end.abort();
    clearTimeout(timer);
  };
}
