import { HttpAgent } from '@ag-ui/client';
import { AssistantRuntimeProvider, ComposerPrimitive, ExportedMessageRepository, MessagePrimitive, type ThreadHistoryAdapter, ThreadPrimitive } from '@assistant-ui/react';
import { fromAgUiMessages, useAgUiRuntime } from '@assistant-ui/react-ag-ui';
import { NetraAgent } from 'netra-client';
import { createRoot } from 'react-dom/client';
import { directUrl, netraUrl, threadId, token } from '../parameters';

const agent = netraUrl ? new NetraAgent({ url: netraUrl, token, threadId }) : new HttpAgent({ url: directUrl, threadId });

/** Restores the conversation from the server, and waits for the end of an active run. */
const history: ThreadHistoryAdapter = {
  async load() {
    if (agent instanceof NetraAgent) await agent.connectAgent();
    return ExportedMessageRepository.fromArray(fromAgUiMessages(agent.messages));
  },
  // The server has stored it already.
  async append() {},
};

function Message() {
  return (
    <MessagePrimitive.Root>
      <MessagePrimitive.Parts components={{ tools: { Fallback: ({ toolName, result }) => <em>{`${toolName}: ${String(result)}`}</em> } }} />
    </MessagePrimitive.Root>
  );
}

function Chat() {
  const runtime = useAgUiRuntime({ agent, adapters: { history } });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Viewport>
          <ThreadPrimitive.Messages components={{ Message }} />
          <ComposerPrimitive.Root>
            <ComposerPrimitive.Input aria-label="Message" />
            <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
          </ComposerPrimitive.Root>
        </ThreadPrimitive.Viewport>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.getElementById('root')!).render(<Chat />);
