"""Google's Agent Development Kit, served by ag-ui-adk.

`python adk_app.py PORT MODEL_URL` serves `/`, whose tool `send_mail` a user has to confirm and which reports interrupts as
the outcome of a run; `/default`, with the adapter's default settings; and `/team`, an agent with a sub-agent that is a tool.
"""

import sys

import uvicorn
from ag_ui_adk import ADKAgent, add_adk_fastapi_endpoint
from fastapi import FastAPI
from google.adk.agents import LlmAgent
from google.adk.models.lite_llm import LiteLlm
from google.adk.tools import FunctionTool, ToolContext
from google.adk.tools.agent_tool import AgentTool

port, model_url = int(sys.argv[1]), sys.argv[2]


def model() -> LiteLlm:
    return LiteLlm(model="openai/scripted", api_base=model_url, api_key="none", max_retries=0)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


def remember(fact: str, tool_context: ToolContext) -> str:
    """Keeps a fact."""
    tool_context.state["facts"] = [*tool_context.state.get("facts", []), fact]
    return f"kept {fact}"


def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    return f"mail sent to {to}"


def agent() -> LlmAgent:
    tools = [weather, remember, FunctionTool(send_mail, require_confirmation=True)]
    return LlmAgent(name="agent", model=model(), instruction="Answer briefly.", tools=tools)


researcher = LlmAgent(
    name="researcher", description="Finds out.", model=model(), instruction="Find out.", tools=[weather]
)
team = LlmAgent(
    name="team", model=model(), instruction="Let the researcher find out.", tools=[AgentTool(researcher)]
)

served = {"app_name": "tests", "user_id": "person", "execution_timeout_seconds": 600}
app = FastAPI()
add_adk_fastapi_endpoint(app, ADKAgent(adk_agent=agent(), emit_interrupt_outcome=True, **served), path="/")
add_adk_fastapi_endpoint(app, ADKAgent(adk_agent=agent(), **{**served, "app_name": "default"}), path="/default")
add_adk_fastapi_endpoint(app, ADKAgent(adk_agent=team, **{**served, "app_name": "team"}), path="/team")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
