export { NetraAgent, type NetraAgentConfig } from './agent.js';
export { newId } from './ids.js';
export type { Socket, SocketConstructor } from './transport.js';
export { NetraError } from './wire.js';
