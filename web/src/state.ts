/** What a view shows, kept in the page's address so that a link or a reload brings it back. */

export interface State {
  get(name: string): string | null;
  /** Remember `value`; null removes it (it is as at the start). */
  set(name: string, value: string | null): void;
}

/** What a view exports, so that a page or a notebook can hold it. */
export interface View {
  destroy(): void;
}

// Browsers refuse more than about 100 changes of the address in 10 s, and a drag makes 60 a second.
const WRITE_AFTER_MS = 200;

/** State in the query of the page's address; `prefix` tells views of one kind apart. */
export function urlState(prefix = ''): State {
  return { get: (name) => pending.query().get(prefix + name), set: (name, value) => pending.set(prefix + name, value) };
}

/** State that lives as long as the view: for a notebook, whose address is not ours. */
export function memoryState(first: Record<string, string> = {}): State {
  const values = new Map(Object.entries(first));
  return {
    get: (name) => values.get(name) ?? null,
    set: (name, value) => void (value === null ? values.delete(name) : values.set(name, value)),
  };
}

/** All views of a page share one query and one timer. */
const pending = new (class {
  #query: URLSearchParams | null = null;
  #timer = 0;

  query(): URLSearchParams {
    return this.#query ?? new URLSearchParams(location.search);
  }

  set(name: string, value: string | null): void {
    const query = this.query();
    if (value === query.get(name)) return;
    if (value === null) query.delete(name);
    else query.set(name, value);
    this.#query = query;
    this.#timer ||= setTimeout(() => this.write(), WRITE_AFTER_MS) as unknown as number;
  }

  write(): void {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const query = this.#query;
    this.#query = null;
    if (!query) return;
    // A comma is allowed as it is and reads better than %2C.
    const text = query.toString().replaceAll('%2C', ',');
    history.replaceState(history.state, '', (text ? `?${text}` : location.pathname) + location.hash);
  }
})();

// Who leaves or reloads at once still finds the last change.
if (typeof addEventListener === 'function') addEventListener('pagehide', () => pending.write());

/** The numbers of a comma-separated value, or null unless there are exactly `count`. */
export function numbers(text: string | null, count: number): number[] | null {
  const found = text?.split(',').map(Number) ?? [];
  return found.length === count && found.every(Number.isFinite) ? found : null;
}
