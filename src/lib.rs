//! Netra: a durable, authenticated home for AI agents on one WebSocket.
