"""Pydantic AI with its own AG-UI adapter.

`python pydantic_ai_app.py PORT MODEL_URL` serves `/`, whose tool `send_mail` a user has to approve, and `/team`, an agent with
a sub-agent that is a tool.
"""

import sys

import uvicorn
from ag_ui.core import EventType, StateSnapshotEvent
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, RunContext, ToolReturn
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.ui import StateDeps
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

port, model_url = int(sys.argv[1]), sys.argv[2]
model = OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=model_url, api_key="none"))


class State(BaseModel):
    """What the conversation and the page share."""

    facts: list[str] = []
    document: str = ""


agent = Agent(
    model, instructions="Answer briefly.", deps_type=StateDeps[State], output_type=[str, DeferredToolRequests]
)
researcher = Agent(model, instructions="Find out.")
team = Agent(model, instructions="Let the researcher find out.")


@agent.tool_plain
@researcher.tool_plain
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@agent.tool
def remember(context: RunContext[StateDeps[State]], fact: str) -> ToolReturn:
    """Keeps a fact."""
    context.deps.state.facts.append(fact)
    snapshot = StateSnapshotEvent(type=EventType.STATE_SNAPSHOT, snapshot=context.deps.state.model_dump())
    return ToolReturn(return_value=f"kept {fact}", metadata=[snapshot])


@agent.tool_plain(requires_approval=True)
def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    return f"mail sent to {to}"


@team.tool_plain
async def ask_researcher(question: str) -> str:
    """Asks the researcher."""
    return (await researcher.run(question)).output


async def ask(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=agent, deps=StateDeps(State()))


async def ask_team(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=team)


app = Starlette(routes=[Route("/", ask, methods=["POST"]), Route("/team", ask_team, methods=["POST"])])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
