import { HttpAgent } from '@ag-ui/client';
import { CopilotChat, CopilotKit, WildcardToolCallRender } from '@copilotkit/react-core/v2';
import '@copilotkit/react-core/v2/styles.css';
import { NetraAgent } from 'netra-client';
import { createRoot } from 'react-dom/client';
import { direct, netra, runtime, threadId, token } from '../browser';

const agent = netra ? new NetraAgent({ url: netra, token, threadId }) : new HttpAgent({ url: direct, threadId });
const source = runtime ? { runtimeUrl: runtime } : { agents__unsafe_dev_only: { default: agent } };

createRoot(document.getElementById('root')!).render(
  <CopilotKit {...source} renderToolCalls={[WildcardToolCallRender]}>
    <CopilotChat threadId={threadId} />
  </CopilotKit>,
);
