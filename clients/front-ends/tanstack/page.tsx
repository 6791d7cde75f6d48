import { fetchServerSentEvents, useChat } from '@tanstack/ai-react';
import { netraConnection } from 'netra-client/tanstack';
import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { directUrl, netraUrl, threadId, token } from '../parameters';

const connection = netraUrl ? netraConnection({ url: netraUrl, token }) : fetchServerSentEvents(directUrl);

function Chat() {
  const { messages, sendMessage } = useChat({ connection, threadId, persistence: netraUrl !== null });
  const [text, setText] = useState('');
  const send = (event: React.FormEvent) => {
    event.preventDefault();
    setText('');
    void sendMessage(text);
  };
  return (
    <>
      {messages.map(({ id, parts }) => (
        <div key={id} data-message-id={id}>
          {parts.map((part, index) => (
            <p key={index}>{part.type === 'text' ? part.content : part.type === 'tool-call' ? part.name : part.type === 'tool-result' ? String(part.content) : part.type}</p>
          ))}
        </div>
      ))}
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={({ target }) => setText(target.value)} />
        <button type="submit">Send</button>
      </form>
    </>
  );
}

createRoot(document.getElementById('root')!).render(<Chat />);
