"""agno, served by the AG-UI interface of its AgentOS.

`python agno_app.py PORT MODEL_URL` serves `/agui`, whose tool `send_mail` a user has to confirm, and `/team/agui`, a team with
a member.
"""

import sys

import uvicorn
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.openai import OpenAIChat
from agno.os import AgentOS
from agno.os.interfaces.agui import AGUI
from agno.run import RunContext
from agno.team import Team
from agno.tools import tool

port, model_url = int(sys.argv[1]), sys.argv[2]


def model() -> OpenAIChat:
    # By default the instructions' role is "developer", which many model servers do not support.
    roles = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool", "model": "assistant"}
    return OpenAIChat(id="scripted", base_url=model_url, api_key="none", max_retries=0, role_map=roles)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def remember(run_context: RunContext, fact: str) -> str:
    """Keeps a fact."""
    run_context.session_state.setdefault("facts", []).append(fact)
    return f"kept {fact}"


@tool(requires_confirmation=True)
def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    return f"mail sent to {to}"


agent = Agent(
    id="agent",
    name="Agent",
    model=model(),
    db=InMemoryDb(),
    instructions="Answer briefly.",
    tools=[weather, remember, send_mail],
    add_history_to_context=True,
    session_state={"facts": []},
    telemetry=False,
)
researcher = Agent(id="researcher", name="Researcher", model=model(), tools=[weather], telemetry=False)
team = Team(
    id="team", name="Team", model=model(), members=[researcher], db=InMemoryDb(), add_history_to_context=True,
    telemetry=False,
)

interfaces = [AGUI(agent=agent), AGUI(team=team, prefix="/team")]
app = AgentOS(agents=[agent], teams=[team], interfaces=interfaces, telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
