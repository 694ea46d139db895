/** How a view asks for its data: over HTTP on a page, over the widget's channel in a notebook. */

export interface Answer {
  blob(): Promise<Blob>;
  json(): Promise<unknown>;
  text(): Promise<string>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface GetOptions {
  signal?: AbortSignal;
  priority?: 'high' | 'low';
}

/** Ask for `path`, relative to the visual (`../NAME/…` is a visual beside it). Rejects with a `GetError`. */
export type Get = (path: string, options?: GetOptions) => Promise<Answer>;

/** The server answered, but not with what was asked for. */
export class GetError extends Error {
  readonly status: number;
  constructor(path: string, status: number) {
    super(`${path}: ${status}`);
    this.name = 'GetError';
    this.status = status;
  }
}

/** A `Get` that fetches below `base`, which ends in a slash. */
export function over(base: string): Get {
  const root = new URL(base, document.baseURI);
  return async (path, options = {}) => {
    const answer = await fetch(new URL(path, root), { credentials: 'same-origin', ...options });
    if (!answer.ok) throw new GetError(path, answer.status);
    return answer;
  };
}

export const token = (): string => document.querySelector<HTMLMetaElement>('meta[name="openallen-token"]')?.content ?? '';

/** Ask the server of this page to do something; rejects with what it says is wrong. */
export async function post<T>(path: string, what: object): Promise<T> {
  const answer = await fetch(path, {
    method: 'POST',
    credentials: 'same-origin',
    headers: { 'content-type': 'application/json', 'x-openallen-token': token() },
    body: JSON.stringify(what),
  });
  const told = (await answer.json()) as T & { error?: { what: string; why: string } };
  if (told.error) throw new Error([told.error.what, told.error.why].filter(Boolean).join(': '));
  return told;
}

/** Listen to what the server of this page tells while it happens. */
export const listen = (path: string): EventSource => new EventSource(path);

/** Whether an error only says that nobody wants the answer any more. */
export const aborted = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError';

/** What went wrong, in a few words for a reader. */
export function reason(error: unknown): string {
  if (error instanceof GetError) return `the viewer answered ${error.status}`;
  if (error instanceof TypeError) return 'the viewer does not answer; is it still running?';
  return error instanceof Error ? error.message : String(error);
}
