/** HTTP requests to the server, and opening a socket: discovery (`GET /api/config`), a ticket if there is a token, the handshake. */
import type { RunAgentInput } from '@ag-ui/client';
import { type Accepted, NetraError, isRetryable } from './wire.js';

/** What this client needs of a WebSocket: the browser's, Node's (from 22 on) and that of `ws` have it. */
export interface Socket {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

export interface TransportOptions {
  /** The server: `https://netra.example.org`. */
  base: string;
  /** An access token (`POST /api/auth/token`), or a function that returns one; it is called for each connection. */
  token?: string | (() => string | Promise<string>);
  /** Instead of a token: a function that returns a ticket for a socket (`POST /api/auth/ticket`). */
  getTicket?: () => string | Promise<string>;
  /** Headers of the requests; `Authorization` among them counts as the token. */
  headers?: Record<string, string>;
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  WebSocket?: SocketConstructor;
}

interface Discovery {
  socket?: { url?: string; protocol?: string };
  auth?: { signed_in?: boolean };
}

const PROTOCOL = 'netra.v1';
/** The offered subprotocols. A server that knows both chooses the second. */
const OFFERED_PROTOCOLS = [PROTOCOL, 'netra.v1.compact'];
/** Milliseconds until the headers of a response. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Opens a socket. A {@link NetraError} is final; after any other error a retry may succeed. */
export async function openSocket(options: TransportOptions): Promise<Socket> {
  const WebSocket = await socketConstructor(options);
  const config = (await requestJson(options, 'GET', '/api/config')) as Discovery;
  const { url, protocol } = config.socket ?? {};
  if (!url || protocol !== PROTOCOL) {
    throw new NetraError('unsupported', `${options.base} does not speak ${PROTOCOL}; is it a Netra server, and is this client up to date?`);
  }
  const ticket = await requestTicket(options);
  if (ticket === undefined && !config.auth?.signed_in) {
    throw new NetraError('signed_out', `not signed in at ${options.base}; sign in there, or pass a token`);
  }
  return new WebSocket(url, ticket === undefined ? OFFERED_PROTOCOLS : [...OFFERED_PROTOCOLS, `ticket.${ticket}`]);
}

async function requestTicket(options: TransportOptions): Promise<string | undefined> {
  if (options.getTicket) return callOption('getTicket', options.getTicket);
  // Without a token, the browser sends the session's cookie with the handshake.
  if (!(await requestHeaders(options)).has('authorization')) return undefined;
  return ((await requestJson(options, 'POST', '/api/auth/ticket')) as { ticket: string }).ticket;
}

/** Starts a run over HTTP, with the whole input. The response's body is not read: the run is followed on the socket. */
export async function startRun(options: TransportOptions, agent: string, input: RunAgentInput): Promise<Accepted> {
  if (options.getTicket) {
    const message = 'files, tools, context, state and forwardedProps are sent over HTTP, where the ticket of `getTicket` is not accepted; give a token instead';
    throw new NetraError('invalid_input', message);
  }
  const body = JSON.stringify(input);
  const response = await request(options, 'POST', `/api/agents/${encodeURIComponent(agent)}/agui`, body);
  void response.body?.cancel();
  const [run_id, seq] = [response.headers.get('x-netra-run-id'), Number(response.headers.get('x-netra-seq'))];
  if (!run_id || !seq) throw new NetraError('unsupported', `${options.base} did not return the id of the run; is it up to date?`);
  return { run_id, seq };
}

async function requestJson(options: TransportOptions, method: string, path: string): Promise<unknown> {
  return (await request(options, method, path)).json();
}

async function request(options: TransportOptions, method: string, path: string, body?: string): Promise<Response> {
  const headers = await requestHeaders(options);
  headers.set('accept', body === undefined ? 'application/json' : 'text/event-stream, application/problem+json');
  if (body !== undefined) headers.set('content-type', 'application/json');
  const send = options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), REQUEST_TIMEOUT_MS);
  // Sends the session's cookie if this page has one.
  const init = { method, headers, credentials: 'include', signal: timeout.signal, ...(body !== undefined && { body }) } as const;
  const response = await send(`${options.base}${path}`, init).finally(() => clearTimeout(timer));
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; code?: string; retry_after_ms?: number };
  const detail = problem.detail ?? `${method} ${path} was answered with status ${response.status}`;
  if (response.status === 401) throw new NetraError('signed_out', detail);
  const error = new NetraError(problem.code ?? (response.status >= 500 ? 'unavailable' : 'refused'), detail, problem.retry_after_ms);
  if (response.status >= 500 || isRetryable(error)) throw new RetryableError(error);
  throw error;
}

/** The server cannot answer now; a retry may succeed. */
export class RetryableError extends Error {
  constructor(readonly error: NetraError) {
    super(error.message);
  }
}

async function requestHeaders(options: TransportOptions): Promise<Headers> {
  const headers = new Headers(options.headers);
  const token = typeof options.token === 'function' ? await callOption('token', options.token) : options.token;
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  return headers;
}

/** Calls a function that the caller gave. A network error (`fetch` throws a `TypeError`) can be retried; any other error is final. */
async function callOption(name: string, get: () => string | Promise<string>): Promise<string> {
  try {
    return await get();
  } catch (error) {
    if (error instanceof TypeError || error instanceof NetraError) throw error;
    throw new NetraError('signed_out', `\`${name}\` failed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function socketConstructor(options: TransportOptions): Promise<SocketConstructor> {
  if (options.WebSocket) return options.WebSocket;
  if (typeof globalThis.WebSocket === 'function') return globalThis.WebSocket as unknown as SocketConstructor;
  try {
    const name = 'ws';
    return ((await import(name)) as { WebSocket: SocketConstructor }).WebSocket;
  } catch {
    throw new NetraError('unsupported', 'this platform has no WebSocket: install the package `ws`, or pass the option `WebSocket`');
  }
}
