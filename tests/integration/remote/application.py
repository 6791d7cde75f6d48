"""A real AG-UI application: Pydantic AI with its test model, which calls every tool and then answers with their results.

`python application.py PORT` serves `/weather`, whose tool is called at once and changes the shared state, `/parcel`,
whose tool a user has to approve, and `/seen`, which answers with the files it was sent.
"""

import sys

import uvicorn
from ag_ui.core import EventType, StateSnapshotEvent
from pydantic_ai import Agent, BinaryContent, DeferredToolRequests, RunContext, ToolReturn
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.ui import StateDeps
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Asked(BaseModel):
    """The state that is shared with the caller."""

    questions: int = 0


def told(content: object) -> str:
    if isinstance(content, BinaryContent):
        return f"{content.media_type} of {len(content.data)} bytes"
    return str(content)


async def say_what_is_seen(messages: list[ModelMessage], info: AgentInfo):
    prompts = [part for message in messages if isinstance(message, ModelRequest) for part in message.parts]
    prompts = [part.content for part in prompts if isinstance(part, UserPromptPart)]
    yield " | ".join(told(part) for prompt in prompts for part in ([prompt] if isinstance(prompt, str) else prompt))


weather = Agent(TestModel(), deps_type=StateDeps[Asked], instructions="Answer by the weather.")
seen = Agent(FunctionModel(stream_function=say_what_is_seen))
parcel = Agent(TestModel(), output_type=[str, DeferredToolRequests])


@weather.tool
def temperature(context: RunContext[StateDeps[Asked]], city: str) -> ToolReturn:
    """The temperature in a city, in degrees Celsius."""
    context.deps.state.questions += 1
    snapshot = StateSnapshotEvent(type=EventType.STATE_SNAPSHOT, snapshot=context.deps.state.model_dump())
    return ToolReturn(return_value=f"21 degrees in {city}", metadata=[snapshot])


@parcel.tool_plain(requires_approval=True)
def send(address: str) -> str:
    """Sends the parcel."""
    return f"sent to {address}"


async def ask_weather(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=weather, deps=StateDeps(Asked()))


async def ask_parcel(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=parcel)


async def ask_seen(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=seen)


app = Starlette(routes=[
    Route("/weather", ask_weather, methods=["POST"]),
    Route("/parcel", ask_parcel, methods=["POST"]),
    Route("/seen", ask_seen, methods=["POST"]),
])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
