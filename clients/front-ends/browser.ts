/** What a page is told by its address: which agent to talk to, `HttpAgent` directly or Netra's, and in which thread. */
const asked = new URLSearchParams(location.search);

/** The agent on Netra; without it, the page talks to the remote agent directly. */
export const netra = asked.get('netra');
export const token = asked.get('token') ?? '';
export const threadId = asked.get('thread') ?? 'thread';
/** Where CopilotKit's runtime is, where the agent is there and not in the page. */
export const runtime = asked.get('runtime');
/** The remote agent. */
export const direct = new URL('/agent', location.href).href;
