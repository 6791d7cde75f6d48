/** Serves a front end's page, its bundle, and the remote agent. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Agent } from './agent.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

export class Site {
  readonly agent = new Agent();
  /** Request handlers, by path prefix. Other paths get the page and its bundle. */
  readonly handlers = new Map<string, Handler>([['/agent', (request, response) => this.agent.respond(request, response)]]);

  private constructor(private readonly server: Server) {}

  /** Bundles and serves the page of a front end, `<name>/page.tsx`. */
  static async start(name: string): Promise<Site> {
    const folder = join(import.meta.dirname, name);
    const built = await build({
      entryPoints: [join(folder, 'page.tsx')],
      bundle: true,
      write: false,
      outdir: folder,
      format: 'esm',
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"production"' },
      loader: { '.woff2': 'dataurl', '.woff': 'dataurl', '.ttf': 'dataurl' },
      logLevel: 'error',
    });
    const files = new Map(built.outputFiles.map(({ path, contents }) => [path.endsWith('.css') ? '/page.css' : '/page.js', contents]));
    const types = { css: 'text/css', js: 'text/javascript' };
    return new Promise((resolve) => {
      const server = createServer((request, response) => {
        const { pathname } = new URL(request.url ?? '/', 'http://site');
        const handler = [...site.handlers].find(([prefix]) => pathname.startsWith(prefix))?.[1];
        if (handler) return void handler(request, response);
        const file = files.get(pathname);
        if (file) return void response.setHeader('content-type', types[pathname.split('.')[1] as 'css' | 'js']).end(file);
        response.setHeader('content-type', 'text/html').end(page(files.has('/page.css')));
      });
      const site = new Site(server);
      server.listen(0, '127.0.0.1', () => resolve(site));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    // End the paused answers.
    this.agent.resume();
    this.server.close();
    this.server.closeAllConnections();
  }
}

const page = (styled: boolean) => `<!doctype html><meta charset="utf-8"><title>Front end</title><link rel="icon" href="data:,">
${styled ? '<link rel="stylesheet" href="/page.css">' : ''}<div id="root" style="height: 100vh"></div><script type="module" src="/page.js"></script>`;
