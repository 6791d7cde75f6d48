import { HttpAgent } from '@ag-ui/client';
import { CopilotChat, CopilotKit, WildcardToolCallRender } from '@copilotkit/react-core/v2';
import '@copilotkit/react-core/v2/styles.css';
import { NetraAgent } from 'netra-client';
import { createRoot } from 'react-dom/client';
import { directUrl, netraUrl, runtimeUrl, threadId, token } from '../parameters';

const agent = netraUrl ? new NetraAgent({ url: netraUrl, token, threadId }) : new HttpAgent({ url: directUrl, threadId });
const source = runtimeUrl ? { runtimeUrl } : { agents__unsafe_dev_only: { default: agent } };

createRoot(document.getElementById('root')!).render(
  <CopilotKit {...source} renderToolCalls={[WildcardToolCallRender]}>
    <CopilotChat threadId={threadId} />
  </CopilotKit>,
);
