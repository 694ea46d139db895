/** A `Get` over the message channel of a notebook's widget: no server, so that it works wherever the kernel is. */
import { GetError, type Answer, type Get } from './get.js';

/** What a notebook hands to a widget; the part of it that is used. */
export interface Model {
  get(name: string): unknown;
  on(name: 'msg:custom', hear: Hear): void;
  off(name: 'msg:custom', hear: Hear): void;
  send(content: unknown): void;
}

type Hear = (content: unknown, buffers?: readonly (DataView | ArrayBuffer)[]) => void;

/** What the kernel replies: an answer with its bytes in the first buffer, or what went wrong. */
interface Reply {
  id?: string;
  media?: string;
  encoding?: string;
  status?: number;
}

interface Waiting {
  path: string;
  done(answer: Answer): void;
  failed(error: unknown): void;
}

export class Channel {
  readonly #model: Model;
  readonly #heard: () => void;
  readonly #waiting = new Map<string, Waiting>();
  // Two outputs that show one widget hear each other's replies.
  readonly #mark = crypto.getRandomValues(new Uint32Array(2)).join('-');
  #count = 0;
  readonly #hear: Hear = (content, buffers) => this.#replied(content as Reply, buffers ?? []);

  /** `heard` is called when the kernel has answered for the first time. */
  constructor(model: Model, heard: () => void) {
    this.#model = model;
    this.#heard = heard;
    model.on('msg:custom', this.#hear);
  }

  /** A `Get` for the view called `name`. */
  get(name: string): Get {
    return (path, { signal, priority = 'high' } = {}) =>
      new Promise<Answer>((done, failed) => {
        if (signal?.aborted) return failed(gone());
        const id = `${this.#mark}-${++this.#count}`;
        const { parts, query } = resolved(name, path);
        signal?.addEventListener('abort', () => this.#drop(id), { once: true });
        this.#waiting.set(id, { path, done, failed });
        this.#model.send({ id, name: parts[0] ?? '', path: parts.slice(1).join('/'), query, priority });
      });
  }

  #drop(id: string): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    this.#model.send({ drop: id });
    waiting.failed(gone());
  }

  #replied(reply: Reply, buffers: readonly (DataView | ArrayBuffer)[]): void {
    const waiting = this.#waiting.get(reply.id ?? '');
    if (!waiting) return;
    this.#waiting.delete(reply.id ?? '');
    if (this.#count > 0) this.#heard();
    const [body] = buffers;
    if (reply.status !== undefined || !body) return waiting.failed(new GetError(waiting.path, reply.status ?? 500));
    const held = new Response(body as BodyInit, { headers: { 'content-type': reply.media ?? '' } });
    if (reply.encoding !== 'gzip' || !held.body) return waiting.done(held);
    waiting.done(new Response(held.body.pipeThrough(new DecompressionStream('gzip')), { headers: held.headers }));
  }

  destroy(): void {
    this.#model.off('msg:custom', this.#hear);
    for (const id of [...this.#waiting.keys()]) this.#drop(id);
  }
}

/** What a path of the view called `name` means: the name of a view and what is below it, and a query. */
function resolved(name: string, path: string): { parts: string[]; query: Record<string, string> } {
  const [where = '', text = ''] = path.split('?', 2);
  const parts = [name];
  for (const part of where.split('/')) {
    if (part === '..') parts.pop();
    else parts.push(decodeURIComponent(part));
  }
  return { parts, query: Object.fromEntries(new URLSearchParams(text)) };
}

const gone = (): DOMException => new DOMException('nobody waits any more', 'AbortError');
