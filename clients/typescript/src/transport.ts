/** How a socket is opened: discovery (`GET /api/config`), a ticket where there is a token, and the WebSocket of this platform. */
import type { RunAgentInput } from '@ag-ui/client';
import { type Accepted, NetraError, waits } from './wire.js';

/** What this client needs of a WebSocket: the browser's, Node's (from 22) and that of `ws` have it. */
export interface Socket {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

export interface WayOptions {
  /** The server: `https://netra.example.org`. */
  base: string;
  /** An access token (`POST /api/auth/token`), or where to get one: it is asked for again at each connection. */
  token?: string | (() => string | Promise<string>);
  /** Instead of a token: where to get a ticket for a socket (`POST /api/auth/ticket`). */
  getTicket?: () => string | Promise<string>;
  /** Headers of the calls; `Authorization` among them counts as the token. */
  headers?: Record<string, string>;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  WebSocket?: SocketConstructor;
}

interface Discovery {
  socket?: { url?: string; protocol?: string };
  auth?: { signed_in?: boolean };
}

const PROTOCOL = 'netra.v1';
/** Milliseconds for each call. */
const CALL_MS = 10_000;

/** Opens a socket. What fails for good is a {@link NetraError}; after anything else another try may work. */
export async function open(options: WayOptions): Promise<Socket> {
  const WebSocket = await constructor(options);
  const config = (await call(options, 'GET', '/api/config')) as Discovery;
  const { url, protocol } = config.socket ?? {};
  if (!url || protocol !== PROTOCOL) {
    throw new NetraError('closed', `${options.base} does not speak ${PROTOCOL}; is it a Netra server, and is this client up to date?`);
  }
  const ticket = await ticketOf(options);
  if (ticket === undefined && !config.auth?.signed_in) {
    throw new NetraError('signed_out', `nobody is signed in at ${options.base}; sign in there, or pass a token`);
  }
  return new WebSocket(url, ticket === undefined ? [PROTOCOL] : [PROTOCOL, `ticket.${ticket}`]);
}

async function ticketOf(options: WayOptions): Promise<string | undefined> {
  if (options.getTicket) return own('getTicket', options.getTicket);
  // Without a token, the browser sends the session's cookie with the handshake.
  if (!(await headersOf(options)).has('authorization')) return undefined;
  return ((await call(options, 'POST', '/api/auth/ticket')) as { ticket: string }).ticket;
}

/** Begins a run over HTTP, with all that a run of AG-UI may be given along. Its answer is left: the run is followed on the socket. */
export async function begin(options: WayOptions, agent: string, input: RunAgentInput): Promise<Accepted> {
  if (options.getTicket) {
    const message = 'files, tools, context, state and forwardedProps go over HTTP, which `getTicket` is no way into; give a token instead';
    throw new NetraError('invalid_input', message);
  }
  const body = JSON.stringify(input);
  const answer = await send(options, 'POST', `/api/agents/${encodeURIComponent(agent)}/agui`, body);
  void answer.body?.cancel();
  const [run_id, seq] = [answer.headers.get('x-netra-run-id'), Number(answer.headers.get('x-netra-seq'))];
  if (!run_id || !seq) throw new NetraError('closed', `${options.base} does not say which run it began; is it up to date?`);
  return { run_id, seq };
}

async function call(options: WayOptions, method: string, path: string): Promise<unknown> {
  return (await send(options, method, path)).json();
}

async function send(options: WayOptions, method: string, path: string, body?: string): Promise<Response> {
  const headers = await headersOf(options);
  headers.set('accept', body === undefined ? 'application/json' : 'text/event-stream, application/problem+json');
  if (body !== undefined) headers.set('content-type', 'application/json');
  const fetched = options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), CALL_MS);
  // The session's cookie, where this page has one.
  const init = { method, headers, credentials: 'include', signal: late.signal, ...(body !== undefined && { body }) } as const;
  const answer = await fetched(`${options.base}${path}`, init).finally(() => clearTimeout(timer));
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { detail?: string; code?: string; retry_after_ms?: number };
  const detail = problem.detail ?? `${method} ${path} was answered ${answer.status}`;
  if (answer.status === 401) throw new NetraError('signed_out', detail);
  const error = new NetraError(problem.code ?? (answer.status >= 500 ? 'unavailable' : 'closed'), detail, problem.retry_after_ms);
  if (answer.status >= 500 || waits(error)) throw new Later(error);
  throw error;
}

/** The server cannot now; after a while it may. */
export class Later extends Error {
  constructor(readonly error: NetraError) {
    super(error.message);
  }
}

async function headersOf(options: WayOptions): Promise<Headers> {
  const headers = new Headers(options.headers);
  const token = typeof options.token === 'function' ? await own('token', options.token) : options.token;
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  return headers;
}

/** Asks the caller's own function. A network that is away (`fetch` throws a `TypeError`) may come back; anything else is final. */
async function own(name: string, get: () => string | Promise<string>): Promise<string> {
  try {
    return await get();
  } catch (error) {
    if (error instanceof TypeError || error instanceof NetraError) throw error;
    throw new NetraError('signed_out', `\`${name}\` failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function constructor(options: WayOptions): Promise<SocketConstructor> {
  if (options.WebSocket) return options.WebSocket;
  if (typeof globalThis.WebSocket === 'function') return globalThis.WebSocket as unknown as SocketConstructor;
  try {
    const name = 'ws';
    return ((await import(name)) as { WebSocket: SocketConstructor }).WebSocket;
  } catch {
    throw new NetraError('closed', 'there is no WebSocket here: install the package `ws`, or pass the option `WebSocket`');
  }
}
