"""A real AG-UI application: Pydantic AI with its test model, which calls every tool and then says what they answered.

`python application.py PORT` serves `/weather`, whose tool is called at once and changes the shared state, and `/parcel`,
whose tool a person has to approve.
"""

import sys

import uvicorn
from ag_ui.core import EventType, StateSnapshotEvent
from pydantic_ai import Agent, DeferredToolRequests, RunContext, ToolReturn
from pydantic_ai.models.test import TestModel
from pydantic_ai.ui import StateDeps
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Asked(BaseModel):
    """The state that is shared with whoever asks."""

    questions: int = 0


weather = Agent(TestModel(), deps_type=StateDeps[Asked], instructions="Answer by the weather.")
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


app = Starlette(routes=[
    Route("/weather", ask_weather, methods=["POST"]),
    Route("/parcel", ask_parcel, methods=["POST"]),
])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
