/** The parameters of a page's URL: which agent it uses, directly or through Netra, and in which thread. */
const parameters = new URLSearchParams(location.search);

/** The URL of the agent on Netra; without it, the page uses the remote agent directly. */
export const netraUrl = parameters.get('netra');
export const token = parameters.get('token') ?? '';
export const threadId = parameters.get('thread') ?? 'thread';
/** The URL of CopilotKit's runtime, if the agent is there and not in the page. */
export const runtimeUrl = parameters.get('runtime');
/** The URL of the remote agent. */
export const directUrl = new URL('/agent', location.href).href;
