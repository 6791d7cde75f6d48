/** CopilotKit's runtime with the remote agent, directly or through Netra. */
import { HttpAgent } from '@ag-ui/client';
import { CopilotRuntime, createCopilotRuntimeHandler } from '@copilotkit/runtime/v2';
import { createCopilotNodeHandler } from '@copilotkit/runtime/v2/node';
import { NetraAgent } from 'netra-client';

export function runtimeHandler(basePath: string, url: string, token?: () => Promise<string>) {
  const agents = () => ({ default: token ? new NetraAgent({ url, token }) : new HttpAgent({ url }) });
  return createCopilotNodeHandler(createCopilotRuntimeHandler({ runtime: new CopilotRuntime({ agents }), basePath }));
}
