/** A TCP proxy between client and server that can cut connections and refuse new ones. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Proxy {
  private readonly pairs = new Set<[Socket, Socket]>();
  /** Connections accepted, and bytes sent to clients, since the start. */
  connections = 0;
  bytes = 0;
  private refuses = false;

  private constructor(private readonly listener: Server) {}

  static start(target: number): Promise<Proxy> {
    return new Promise((resolve) => {
      const listener = createServer((client) => proxy.accept(client, target));
      const proxy = new Proxy(listener);
      listener.listen(0, '127.0.0.1', () => resolve(proxy));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  /** Resets every connection. */
  cut(): void {
    for (const pair of this.pairs) pair.forEach((socket) => socket.resetAndDestroy());
  }

  /** Resets every connection, and refuses new ones until {@link restore}. */
  block(): void {
    this.refuses = true;
    this.cut();
  }

  restore(): void {
    this.refuses = false;
  }

  stop(): void {
    this.block();
    this.listener.close();
  }

  private accept(client: Socket, target: number): void {
    if (this.refuses) return void client.resetAndDestroy();
    this.connections += 1;
    const server = connect(target, '127.0.0.1');
    const pair: [Socket, Socket] = [client, server];
    this.pairs.add(pair);
    server.on('data', (data) => (this.bytes += data.length));
    client.pipe(server).pipe(client);
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => {
        this.pairs.delete(pair);
        pair.forEach((other) => other.destroy());
      });
    }
  }
}
