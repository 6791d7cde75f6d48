"""Strands Agents, served by ag-ui-strands.

`python strands_app.py PORT MODEL_URL` serves `/`, whose tool `send_mail` a user has to approve, and `/team`, an agent with a
sub-agent that is a tool.
"""

import sys

import uvicorn
from ag_ui_strands import StrandsAgent, StrandsAgentConfig, ToolBehavior, add_strands_fastapi_endpoint
from fastapi import FastAPI
from strands import Agent, tool
from strands.models.openai import OpenAIModel

port, model_url = int(sys.argv[1]), sys.argv[2]
model = OpenAIModel(model_id="scripted", client_args={"base_url": model_url, "api_key": "none", "max_retries": 0})


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def remember(fact: str) -> str:
    """Keeps a fact."""
    return f"kept {fact}"


@tool
def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    return f"mail sent to {to}"


def state_with_fact(context) -> dict:
    """The state after `remember` has kept a fact."""
    state = context.input_data.state or {}
    facts = [*state.get("facts", []), context.tool_input["fact"]]
    return {**state, "facts": facts}


@tool
def ask_researcher(question: str) -> str:
    """Asks the researcher."""
    researcher = Agent(model=model, tools=[weather], system_prompt="Find out.", callback_handler=None)
    return str(researcher(question))


agent = StrandsAgent(
    Agent(model=model, tools=[weather, remember, send_mail], system_prompt="Answer briefly.", callback_handler=None),
    name="agent",
    config=StrandsAgentConfig(
        tool_behaviors={
            "send_mail": ToolBehavior(interrupt_on_call=True),
            "remember": ToolBehavior(state_from_result=state_with_fact),
        }
    ),
)
team = StrandsAgent(
    Agent(model=model, tools=[ask_researcher], system_prompt="Let the researcher find out.", callback_handler=None),
    name="team",
)

app = FastAPI()
add_strands_fastapi_endpoint(app, agent, "/")
add_strands_fastapi_endpoint(app, team, "/team")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
