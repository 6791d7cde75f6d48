"""AG2 with its own AG-UI adapter.

`python ag2_app.py PORT MODEL_URL` serves `/`, whose tool `send_mail` a user has to approve, and `/team`, an agent with a
sub-agent.
"""

import sys

import uvicorn
from ag2 import Agent, Context, tool
from ag2.ag_ui import AGUIStream
from ag2.config import OpenAIConfig
from ag2.middleware import approval_required
from starlette.applications import Starlette
from starlette.routing import Route

port, model_url = int(sys.argv[1]), sys.argv[2]
config = OpenAIConfig(model="scripted", base_url=model_url, api_key="none", streaming=True)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def remember(fact: str, context: Context) -> str:
    """Keeps a fact."""
    context.variables["facts"] = [*context.variables.get("facts", []), fact]
    return f"kept {fact}"


@tool(middleware=[approval_required()])
def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    return f"mail sent to {to}"


agent = Agent("agent", prompt="Answer briefly.", config=config, tools=[weather, remember, send_mail])
researcher = Agent("researcher", prompt="Find out.", config=config, tools=[weather])
team = Agent(
    "team", prompt="Let the researcher find out.", config=config, tools=[researcher.as_tool(description="Finds out.")]
)

app = Starlette(
    routes=[Route("/", AGUIStream(agent).build_asgi()), Route("/team", AGUIStream(team).build_asgi())]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
