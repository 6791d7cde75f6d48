/** An HTTP server on a free port: the base of the agents and models that tests script. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export abstract class Endpoint {
  private readonly server = createServer((request, response) => {
    // The sender may close the connection before its request is read: then there is nothing to answer.
    text(request).then(
      (body) => this.respond(body, response),
      () => response.destroy(),
    );
  });

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  protected async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  /** Answers a request, at once or later. */
  protected abstract respond(body: string, response: ServerResponse): void;
}
