/** A network between client and server: it can be cut, and stay away for a while. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class Proxy {
  private readonly pairs = new Set<[Socket, Socket]>();
  /** Connections that came through since the start, and bytes on their way to clients. */
  connections = 0;
  bytes = 0;
  private away = false;

  private constructor(private readonly listener: Server) {}

  static start(target: number): Promise<Proxy> {
    return new Promise((done) => {
      const listener = createServer((client) => proxy.accept(client, target));
      const proxy = new Proxy(listener);
      listener.listen(0, '127.0.0.1', () => done(proxy));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  /** Ends every connection, without a word. */
  cut(): void {
    for (const pair of this.pairs) pair.forEach((socket) => socket.resetAndDestroy());
  }

  /** Cuts, and lets nobody through until {@link mend}. */
  takeAway(): void {
    this.away = true;
    this.cut();
  }

  mend(): void {
    this.away = false;
  }

  stop(): void {
    this.takeAway();
    this.listener.close();
  }

  private accept(client: Socket, target: number): void {
    if (this.away) return void client.resetAndDestroy();
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
